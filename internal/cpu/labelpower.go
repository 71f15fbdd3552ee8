package cpu

import (
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/plan"
)

// LabelPower is a pass for losses by the softmax of three or more channels, of targets of class
// indices. Its elements are w·m_y·(−log p_y)^γ, where w are the voxel weights and y is the label. It
// runs the row kernels.
type LabelPower struct {
	Batch *plan.Batch
	// Factor is m by channel.
	Factor []float64
	Gamma  float64
	// Scale multiplies the gradient of the elements.
	Scale float64
	// Slope is the derivative of another term of the loss by the probability of a channel at a
	// voxel of weight 1 of other classes and of its own, by sample and channel.
	Slope [][2]float64
	// Grad is nil, and the pass sums, or receives the gradient with respect to the logits.
	Grad *tensor.Dense
}

// LabelSums are the sums of a channel of a sample, each under the voxel weights.
type LabelSums struct {
	Elements   float64 // of the voxels of the channel's class
	TP, FP, FN float64 // Σ p·t, Σ p·(1−t) and Σ (1−p)·t
}

const labelSums = 4

// LabelPower makes a pass and returns the sums by sample and channel, nil with a gradient.
func (k Backend) LabelPower(l *LabelPower) ([]LabelSums, error) {
	sums, err := hostPass(k, l.Batch, l.Grad, l.Batch.C*labelSums, labelPass[float32]{l}, labelPass[float64]{l})
	if err != nil || l.Grad != nil {
		return nil, err
	}
	all := make([]LabelSums, l.Batch.N*l.Batch.C)
	for i := range all {
		s := sums[i*labelSums:]
		all[i] = LabelSums{s[0], s[1], s[2], s[3]}
	}
	return all, nil
}

// labelPass is [LabelPower] in T.
type labelPass[T real] struct{ *LabelPower }

func (l labelPass[T]) summed() []int {
	return []int{kernel.RowSumPointwise, kernel.RowSumTP, kernel.RowSumFP, kernel.RowSumFN}
}

func (l labelPass[T]) constants(sample, channel int, set, factor func(at int, v float64)) {
	factor(kernel.CoefPos, l.Factor[channel])
	set(kernel.CoefGamma, l.Gamma)
	if l.Grad != nil {
		slope := l.Slope[sample*l.Batch.C+channel]
		factor(kernel.CoefScale, l.Scale)
		factor(kernel.CoefPlain, slope[0])
		factor(kernel.CoefT, slope[1])
	}
}

func (l labelPass[T]) compute(t *rowTile[T]) {
	t.exponentials(0)
	clear(t.buffer(kernel.BufLabel))
	run := kernel.RowLabelSums
	if l.Grad != nil {
		run = kernel.RowLabelGrad
	}
	for c := range t.C {
		t.channel(c)
		t.run(kernel.RowLabel)
	}
	t.run(kernel.RowLabelPower)
	for c := range t.C {
		t.channel(c)
		t.run(run)
	}
	if l.Grad != nil {
		t.pullback(0)
	}
}

func (l labelPass[T]) total(acc []float64, sum func(channel, i int) float64) {
	for c := range l.Batch.C {
		for j, s := range l.summed() {
			acc[c*labelSums+j] += sum(c, s)
		}
	}
}
