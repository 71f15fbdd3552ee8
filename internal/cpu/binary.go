package cpu

import (
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/plan"
)

// Binary is a pass for losses of two classes, by the sigmoid of a single channel's logit, the
// softmax of two, or with Channels the sigmoid of each of several, which are two classes each: its
// own, and all others. The target holds class indices, of which 1 or the channel's own is
// positive. Its elements are
//
//	w·m·(1−p_y)^γ·(−log p_y),  or with Log  w·m·(−log p_y)^γ,
//
// where w are the voxel weights, and m and γ depend on the class y. It runs the row kernels.
type Binary struct {
	Batch *plan.Batch
	Log   bool
	// Channels says that every channel is a problem of its own.
	Channels bool
	// Factor is m and Gamma γ by problem, [1] of the positive class. With Log both γ are the
	// same.
	Factor, Gamma [][2]float64
	// Scale multiplies the gradient of the elements.
	Scale float64
	// Slope is the derivative of another term of the loss by the probability of the positive
	// class at a voxel of weight 1 of either class, by sample and problem.
	Slope [][2]float64
	// Grad is nil, and the pass sums, or receives the gradient with respect to the logits.
	Grad *tensor.Dense
}

// BinarySums are the sums of a problem of a sample, each under the voxel weights.
type BinarySums struct {
	Elements       float64
	TP, FP, FN, TN float64 // Σ p·t, Σ p·(1−t), Σ (1−p)·t and Σ (1−p)·(1−t) of the positive class
}

const binarySums = 5

// problems is how many there are in a sample.
func (b *Binary) problems() int {
	if b.Channels {
		return b.Batch.C
	}
	return 1
}

// Binary makes a pass and returns the sums by sample and problem, nil with a gradient.
func (k Backend) Binary(b *Binary) ([]BinarySums, error) {
	width := b.problems() * binarySums
	sums, err := hostPass(k, b.Batch, b.Grad, width, binaryPass[float32]{b}, binaryPass[float64]{b})
	if err != nil || b.Grad != nil {
		return nil, err
	}
	all := make([]BinarySums, b.Batch.N*b.problems())
	for i := range all {
		s := sums[i*binarySums:]
		all[i] = BinarySums{s[0], s[1], s[2], s[3], s[4]}
	}
	return all, nil
}

// binaryPass is [Binary] in T.
type binaryPass[T real] struct{ *Binary }

// channel is that of the positive class of a problem.
func (b binaryPass[T]) channel(problem int) int {
	if b.Channels {
		return problem
	}
	return b.Batch.C - 1
}

func (b binaryPass[T]) summed() []int {
	return []int{kernel.RowSumPointwise, kernel.RowSumTP, kernel.RowSumFP, kernel.RowSumFN, kernel.RowSumTN}
}

func (b binaryPass[T]) constants(sample, channel int, set, factor func(at int, v float64)) {
	for i := range b.problems() {
		if b.channel(i) != channel {
			continue
		}
		factor(kernel.CoefNeg, b.Factor[i][0])
		factor(kernel.CoefPos, b.Factor[i][1])
		set(kernel.CoefMinusGammaNeg, -b.Gamma[i][0])
		set(kernel.CoefMinusGamma, -b.Gamma[i][1])
		set(kernel.CoefGamma, b.Gamma[i][1])
		if b.Grad != nil {
			slope := b.Slope[sample*b.problems()+i]
			factor(kernel.CoefScale, b.Scale)
			factor(kernel.CoefPlain, slope[0])
			factor(kernel.CoefT, slope[1])
		}
	}
}

func (b binaryPass[T]) compute(t *rowTile[T]) {
	for i := range b.problems() {
		t.logistic(b.channel(i), b.Batch.C == 2 && !b.Channels)
		t.run(kernel.RowLog)
		if b.Grad == nil {
			t.run(kernel.RowErrors)
		}
		if b.Log {
			t.run(kernel.RowLogPower)
			t.run(kernel.RowLogFocal)
		} else {
			t.run(kernel.RowBinaryPower)
			t.run(kernel.RowBinaryFocal)
		}
	}
}

func (b binaryPass[T]) total(acc []float64, sum func(channel, i int) float64) {
	for i := range b.problems() {
		for j, s := range b.summed() {
			acc[i*binarySums+j] += sum(b.channel(i), s)
		}
	}
}
