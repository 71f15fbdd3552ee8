package afl

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Tversky is the Tversky loss (Salehi et al., "Tversky loss function for image
// segmentation using 3D fully convolutional deep networks", 2017). For each sample and
// channel, or each channel of the whole batch, with the sums over voxels TP = Σ p·t,
// FP = Σ p·(1−t) and FN = Σ (1−p)·t of the probability p and the target t,
//
//	f = 1 − (TP + SmoothNr) / (TP + Alpha·FP + Beta·FN + SmoothDr).
//
// Alpha = Beta = ½ is [Dice] without squares and with half the smoothing;
// Alpha = Beta = 1 is IoU. Class weights multiply f.
type Tversky struct {
	Options
	constructed
	// Activation is Sigmoid (default), Softmax, SoftmaxMONAI or Identity.
	Activation Activation
	// Alpha weights false positives and Beta false negatives, both at least 0,
	// default 0.5.
	Alpha, Beta float64
	// Batch sums over the whole batch before the ratio, default false.
	Batch bool
	// SmoothNr and SmoothDr default to 1e-5.
	SmoothNr, SmoothDr float64
}

// NewTversky returns the Tversky loss with sigmoid activation and α = β = ½,
// background included: the "Tversky" row of the paper's table.
func NewTversky() Tversky {
	return Tversky{constructed: constructed{true}, Alpha: 0.5, Beta: 0.5, SmoothNr: 1e-5, SmoothDr: 1e-5}
}

// Eval implements [Loss].
func (l Tversky) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (Tversky) constructor() string { return "NewTversky" }

func (l Tversky) plan(in *input) (*plan.Loss, error) {
	first := l.first(in.batch.C)
	w, err := l.weights(in.batch.C - first)
	if err != nil {
		return nil, err
	}
	if err := checkNumber("Alpha", l.Alpha, math.Inf(1)); err != nil {
		return nil, err
	}
	if err := checkNumber("Beta", l.Beta, math.Inf(1)); err != nil {
		return nil, err
	}
	if l.Alpha == 0 && l.Beta == 0 {
		return nil, refuse("Alpha and Beta", "0 and 0", "at least one above 0: the loss would not depend on the errors")
	}
	o := &plan.Overlap{Kind: plan.Tversky, First: first, Alpha: l.Alpha, Beta: l.Beta, Weight: w}
	return &plan.Loss{Overlap: o}, in.finishOverlap(o, l.Activation, l.Batch, l.SmoothNr, l.SmoothDr, l.Reduction)
}

// FocalTversky is the [Tversky] loss f of each group raised to the power γ, Gamma,
// before the class weights and the reduction,
//
//	f^γ = (1 − (TP + SmoothNr) / (TP + Alpha·FP + Beta·FN + SmoothDr))^γ.
//
// Abraham and Khan, "A Novel Focal Tversky Loss Function with Improved Attention U-Net
// for Lesion Segmentation", 2019, eq. 5, write the exponent as 1/γ with γ = 4/3: set
// Gamma to 0.75 for theirs. Where SmoothNr above SmoothDr makes f negative, a γ other than
// 1 takes it as 0.
//
// At f = 0, a perfect prediction, the gradient is 0 for every γ other than 1. Below
// 1 the derivative of f^γ is infinite there, but that with respect to the logits
// tends to 0.
type FocalTversky struct {
	Tversky
	// Gamma is the exponent, above 0: one for all included channels, or one
	// for each; default 4/3 for all.
	Gamma []float64
}

// NewFocalTversky returns the focal Tversky loss with sigmoid activation, α = 0.3,
// β = 0.7, γ = 4/3, background included.
func NewFocalTversky() FocalTversky {
	l := FocalTversky{Tversky: NewTversky(), Gamma: []float64{4.0 / 3}}
	l.Alpha, l.Beta = 0.3, 0.7
	return l
}

// Eval implements [Loss].
func (l FocalTversky) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (FocalTversky) constructor() string { return "NewFocalTversky" }

func (l FocalTversky) plan(in *input) (*plan.Loss, error) {
	p, err := l.Tversky.plan(in)
	if err != nil {
		return nil, err
	}
	gamma, err := requiredPerChannel("Gamma", l.Gamma, len(p.Overlap.Weight))
	if err != nil {
		return nil, err
	}
	for i, g := range l.Gamma {
		if g == 0 {
			return nil, refuse(fmt.Sprintf("Gamma[%d]", i), g, "a finite number above 0")
		}
	}
	p.Overlap.Exponent = gamma
	return p, nil
}
