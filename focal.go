package afl

import (
	"strconv"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Focal is the focal loss (Lin et al., "Focal Loss for Dense Object Detection",
// 2017, eq. 5), −α_t·(1−p_t)^γ·log p_t, where p_t is the probability of a voxel's
// label and α_t its weight, in MONAI's reading of it. With sigmoid activation the
// element of a voxel and channel is, for the logit x and the target t, with s = 2t−1,
// σ the logistic function and softplus(x) = log(1+eˣ),
//
//	e_c = w_c·α_t·[t·softplus(−x) + (1−t)·softplus(x)]·σ(−s·x)^γ
//
// and with softmax activation, p = softmax(x),
//
//	e_c = −w_c·α_c·t_c·(1−p_c)^γ·log p_c.
//
// γ = 0 is the cross-entropy. Gradients are finite for every γ ≥ 0, also below
// 1. [ReduceMean] divides by N·C'·V, so that the softmax form, to which one channel
// of a voxel contributes, is C' times smaller than a mean over voxels
// ([ReduceVoxelMean]).
type Focal struct {
	Options
	constructed
	// Activation is Sigmoid (default), Softmax or SoftmaxMONAI.
	Activation Activation
	// Gamma is the focusing parameter γ ≥ 0: one for all included channels,
	// or one for each; default 2 for all.
	Gamma []float64
	// Alpha balances positives and negatives, each entry in [0,1]; nil, the default,
	// means no balance. By sigmoid positives are multiplied by α and negatives by 1−α.
	// By softmax one number multiplies channel 0 by 1−α and the others by α (and
	// is ignored without the background, as in MONAI); a number for each included
	// channel multiplies its channel.
	Alpha []float64
}

// NewFocal returns the sigmoid focal loss with γ = 2 and no α, reduced to the
// mean: the "FL" row of the paper's table.
func NewFocal() Focal {
	return Focal{constructed: constructed{true}, Gamma: []float64{2}}
}

// Eval implements [Loss].
func (l Focal) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (Focal) constructor() string { return "NewFocal" }

func (l Focal) plan(in *input) (*plan.Loss, error) {
	first := l.first(in.batch.C)
	channels := in.batch.C - first
	w, err := l.weights(channels)
	if err != nil {
		return nil, err
	}
	gamma, err := requiredPerChannel("Gamma", l.Gamma, channels)
	if err != nil {
		return nil, err
	}
	a, err := in.activation(l.Activation, true)
	if err != nil {
		return nil, err
	}
	p := in.newFocal(a, w)
	copy(p.Gamma[first:], gamma)
	if l.Activation == SoftmaxMONAI {
		p.SoftmaxFrom = first
	}
	if err := l.applyAlpha(in, p, first); err != nil {
		return nil, err
	}
	p.Scale, p.Denominator = in.scale(l.Reduction, channels)
	return &plan.Loss{Focal: p}, nil
}

// applyAlpha multiplies the factors of positives and negatives by α and 1−α.
func (l Focal) applyAlpha(in *input, p *plan.Focal, first int) error {
	if len(l.Alpha) == 0 {
		return nil
	}
	c := in.batch.C
	alpha, err := perChannel("Alpha", l.Alpha, c-first)
	if err != nil {
		return err
	}
	for i, a := range l.Alpha {
		if err := checkNumber("Alpha["+strconv.Itoa(i)+"]", a, 1); err != nil {
			return err
		}
	}
	single := len(l.Alpha) == 1
	for ch := first; ch < c; ch++ {
		a := alpha[ch-first]
		switch {
		case p.Activation == plan.Sigmoid:
			p.Pos[ch] *= a
			p.Neg[ch] *= 1 - a
		case single && first > 0:
		case single && ch == 0 && c > 1:
			p.Pos[ch] *= 1 - a
		default:
			p.Pos[ch] *= a
		}
	}
	return nil
}
