package afl

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Tversky is the Tversky loss (Salehi et al., 2017). For each sample and
// channel, or each channel of the whole batch, with TP = Σ p·t, FP = Σ p·(1−t)
// and FN = Σ (1−p)·t,
//
//	f = 1 − (TP + SmoothNr) / (TP + Alpha·FP + Beta·FN + SmoothDr).
//
// Alpha = Beta = ½ is [Dice] without squares and with half the smoothing;
// Alpha = Beta = 1 is IoU. Class weights multiply f.
type Tversky struct {
	Options
	// Activation is Sigmoid (default), Softmax or Identity.
	Activation Activation
	// Alpha weighs false positives and Beta false negatives, both at least 0,
	// default 0.5.
	Alpha, Beta float64
	// Batch sums over the whole batch before the ratio, default false.
	Batch bool
	// SmoothNr and SmoothDr default to 1e-5.
	SmoothNr, SmoothDr float64
}

// NewTversky returns the Tversky loss by sigmoid with α = β = ½, background
// included: row "Tversky" of the paper's comparison.
func NewTversky() Tversky {
	return Tversky{Options: defaultOptions(), Alpha: 0.5, Beta: 0.5, SmoothNr: 1e-5, SmoothDr: 1e-5}
}

// Eval implements [Loss].
func (l Tversky) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (l Tversky) plan(in *input) (*plan.Loss, error) {
	first := l.first(in.batch.C)
	w, err := perChannel("Weight", l.Weight, in.batch.C-first)
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
		return nil, plan.Refuse("Alpha and Beta", "0 and 0", "at least one above 0: the loss would not depend on the errors")
	}
	o := &plan.Overlap{Kind: plan.Tversky, First: first, Alpha: l.Alpha, Beta: l.Beta, Weight: w}
	return &plan.Loss{Overlap: o}, in.finishOverlap(o, l.Activation, l.Batch, l.SmoothNr, l.SmoothDr, l.Reduction)
}

// FocalTversky is the Tversky loss of each group raised to the power Gamma,
// f^γ, before the class weights and the reduction. (Abraham and Khan, 2019,
// write the exponent as 1/γ.) Where SmoothNr above SmoothDr makes f negative, a
// γ other than 1 takes it as 0.
type FocalTversky struct {
	Tversky
	// Gamma is the exponent, at least 1, default 4/3.
	Gamma float64
}

// NewFocalTversky returns the focal Tversky loss by sigmoid with α = 0.3,
// β = 0.7, γ = 4/3, background included.
func NewFocalTversky() FocalTversky {
	l := FocalTversky{Tversky: NewTversky(), Gamma: 4.0 / 3}
	l.Alpha, l.Beta = 0.3, 0.7
	return l
}

// Eval implements [Loss].
func (l FocalTversky) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (l FocalTversky) plan(in *input) (*plan.Loss, error) {
	if !(l.Gamma >= 1) || math.IsInf(l.Gamma, 0) {
		// Below 1 the gradient is infinite at a perfect prediction.
		return nil, plan.Refuse("Gamma", l.Gamma, "a finite number of at least 1")
	}
	p, err := l.Tversky.plan(in)
	if err != nil {
		return nil, err
	}
	p.Overlap.Exponent = l.Gamma
	return p, nil
}
