package afl

import (
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// CrossEntropy is the cross-entropy of the logits x and the target t, which is 1 in
// the channel of a voxel's class and 0 in the others, or a map. With softmax
// activation it has one element per voxel,
//
//	E = −Σ_c w_c·((1−ε)·t_c + ε/C)·log p_c,  p = softmax(x),
//
// and with sigmoid activation (binary cross-entropy) one per voxel and channel,
//
//	e_c = w_c·(pw_c·t_c·softplus(−x_c) + (1−t_c)·softplus(x_c)),
//
// where softplus(x) = log(1+eˣ), ε is LabelSmoothing, w is Weight and pw is PosWeight.
//
// [ReduceMean] of the softmax form with class indices divides by the sum of the
// weights w_y of the labels y of all voxels that are not ignored; with per-channel
// targets it divides by the number of voxels. With ExcludeBackground class 0 has weight
// 0. Where the sum is 0 although some voxels count, the mean is 0. Otherwise these are
// PyTorch's
// CrossEntropyLoss and BCEWithLogitsLoss.
type CrossEntropy struct {
	Options
	constructed
	// Activation is Softmax (default of NewCrossEntropy), SoftmaxMONAI or Sigmoid
	// (default of NewBinaryCrossEntropy).
	Activation Activation
	// LabelSmoothing ε is in [0,1], default 0. Softmax only.
	LabelSmoothing float64
	// PosWeight multiplies the positive term of each channel; one number for
	// all, or one for each included channel; nil means 1. Sigmoid only.
	PosWeight []float64
}

// NewCrossEntropy returns the softmax cross-entropy without weights, reduced to
// the mean: the "CE" row of the paper's table.
func NewCrossEntropy() CrossEntropy {
	return CrossEntropy{constructed: constructed{true}, Activation: Softmax}
}

// NewBinaryCrossEntropy returns the sigmoid cross-entropy of every channel
// against its own mask, without weights, reduced to the mean.
func NewBinaryCrossEntropy() CrossEntropy {
	return CrossEntropy{constructed: constructed{true}, Activation: Sigmoid}
}

// Eval implements [Loss].
func (l CrossEntropy) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (CrossEntropy) constructor() string { return "NewCrossEntropy or NewBinaryCrossEntropy" }

func (l CrossEntropy) plan(in *input) (*plan.Loss, error) {
	first := l.first(in.batch.C)
	channels := in.batch.C - first
	w, err := l.weights(channels)
	if err != nil {
		return nil, err
	}
	a, err := in.activation(l.Activation, true)
	if err != nil {
		return nil, err
	}
	p := in.newFocal(a, w)
	if a == plan.Sigmoid {
		if l.LabelSmoothing != 0 {
			return nil, refuse("LabelSmoothing", l.LabelSmoothing, "0 with the sigmoid")
		}
		pos, err := perChannel("PosWeight", l.PosWeight, channels)
		if err != nil {
			return nil, err
		}
		copy(p.CE[first:], pos)
		r := l.Reduction
		if r == ReduceSpatialMeanSum {
			r = ReduceSum
		}
		p.Scale, p.Denominator = in.scale(r, channels)
		return &plan.Loss{Focal: p}, nil
	}
	if len(l.PosWeight) != 0 {
		return nil, refuse("PosWeight", l.PosWeight, "none with the softmax")
	}
	if err := checkNumber("LabelSmoothing", l.LabelSmoothing, 1); err != nil {
		return nil, err
	}
	p.Smoothing = l.LabelSmoothing
	p.PerVoxel = true
	switch l.Reduction {
	case ReduceMean:
		l.setMean(in, p)
	case ReduceVoxelMean:
		p.Denominator = plan.Valid
	}
	return &plan.Loss{Focal: p}, nil
}

// setMean fills in PyTorch's mean.
func (l CrossEntropy) setMean(in *input, p *plan.Focal) {
	switch {
	case in.batch.Target.Dense:
		p.Denominator = plan.Valid
	case len(l.Weight) == 0 && p.First == 0:
		p.Denominator = plan.ValidOrNaN
	case in.batch.C > 1:
		p.Denominator = plan.LabelWeight
	default:
		// The only class of a softmax over one channel weighs every label.
		p.Denominator = plan.ValidOrNaN
		if p.Scale = 0; p.Pos[0] > 0 {
			p.Scale = 1 / p.Pos[0]
		}
	}
}
