package cpu

import (
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/plan"
)

// Binary is a pass for losses of two classes, by the sigmoid of a single channel's logit or
// the softmax of two. The target holds class indices, of which 1 is positive. Its elements are
//
//	w·m·(1−p_y)^γ·(−log p_y),  or with Log  w·m·(−log p_y)^γ,
//
// where w are the voxel weights, and m and γ depend on the class y. It runs the row kernels.
type Binary struct {
	Batch *plan.Batch
	Log   bool
	// Factor is m and Gamma γ, [1] of the positive class. With Log both γ are the same.
	Factor, Gamma [2]float64
	// Scale multiplies the gradient of the elements.
	Scale float64
	// Slope is the derivative of another term of the loss by the probability of the positive
	// class at a voxel of weight 1 of either class, by sample.
	Slope [][2]float64
	// Grad is nil, and the pass sums, or receives the gradient with respect to the logits.
	Grad *tensor.Dense
}

// BinarySums are the sums of a sample, each under the voxel weights.
type BinarySums struct {
	Elements       float64
	TP, FP, FN, TN float64 // Σ p·t, Σ p·(1−t), Σ (1−p)·t and Σ (1−p)·(1−t) of the positive class
}

const binarySums = 5

// Binary makes a pass and returns the sums by sample, nil with a gradient.
func (k Backend) Binary(b *Binary) ([]BinarySums, error) {
	sums, err := hostPass(k, b.Batch, b.Grad, binarySums, binaryPass[float32]{b}, binaryPass[float64]{b})
	if err != nil || b.Grad != nil {
		return nil, err
	}
	all := make([]BinarySums, b.Batch.N)
	for n := range all {
		s := sums[n*binarySums:]
		all[n] = BinarySums{s[0], s[1], s[2], s[3], s[4]}
	}
	return all, nil
}

// binaryPass is [Binary] in T.
type binaryPass[T real] struct{ *Binary }

// channel is that of the positive class.
func (b binaryPass[T]) channel() int { return b.Batch.C - 1 }

func (b binaryPass[T]) summed() []int {
	return []int{kernel.RowSumPointwise, kernel.RowSumTP, kernel.RowSumFP, kernel.RowSumFN, kernel.RowSumTN}
}

func (b binaryPass[T]) constants(sample, channel int, set, factor func(at int, v float64)) {
	if channel != b.channel() {
		return
	}
	factor(kernel.CoefNeg, b.Factor[0])
	factor(kernel.CoefPos, b.Factor[1])
	set(kernel.CoefMinusGammaNeg, -b.Gamma[0])
	set(kernel.CoefMinusGamma, -b.Gamma[1])
	set(kernel.CoefGamma, b.Gamma[1])
	if b.Grad != nil {
		factor(kernel.CoefScale, b.Scale)
		factor(kernel.CoefPlain, b.Slope[sample][0])
		factor(kernel.CoefT, b.Slope[sample][1])
	}
}

func (b binaryPass[T]) compute(t *rowTile[T]) {
	t.logistic(b.channel(), b.Batch.C == 2)
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

func (b binaryPass[T]) total(acc []float64, sum func(channel, i int) float64) {
	for i, s := range b.summed() {
		acc[i] += sum(b.channel(), s)
	}
}
