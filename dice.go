package afl

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Dice is the Dice loss. For each sample and channel, or each channel of the
// whole batch, with the sums over voxels I = Σ p·t, P = Σ p, G = Σ t (P = Σ p²,
// G = Σ t² with SquaredPred)
//
//	f = 1 − (2I + SmoothNr) / (P + G + SmoothDr)
//
// and with Jaccard the denominator is 2(P + G − I) + SmoothDr, which makes it
// the IoU loss. Milletari et al., "V-Net", 2016 (squared form); the conventions
// are MONAI's. Where a single channel takes part, the only one or that of two which
// is not background, class weights have no effect. With one channel the softmax is
// replaced by Identity. 0/0, possible only with both smoothing terms 0, counts as
// perfect agreement, f = 0.
type Dice struct {
	Options
	// Activation is Sigmoid (default), Softmax or Identity.
	Activation Activation
	// SquaredPred squares the terms of the denominator's sums.
	SquaredPred bool
	// Jaccard replaces Dice by the Jaccard index (IoU).
	Jaccard bool
	// Batch sums over the whole batch before the ratio, default false.
	Batch bool
	// SmoothNr and SmoothDr default to 1e-5.
	SmoothNr, SmoothDr float64
}

// NewDice returns the Dice loss by sigmoid with squared sums, background
// included: row "Dice" of the paper's comparison. (MONAI's own default does not
// square.)
func NewDice() Dice {
	return Dice{Options: defaultOptions(), SquaredPred: true, SmoothNr: 1e-5, SmoothDr: 1e-5}
}

// Eval implements [Loss].
func (l Dice) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (l Dice) plan(in *input) (*plan.Loss, error) {
	first := l.first(in.batch.C)
	w, err := perChannel("Weight", l.Weight, in.batch.C-first)
	if err != nil {
		return nil, err
	}
	o, err := l.overlap(in, first, w)
	return &plan.Loss{Overlap: o}, err
}

// overlap describes the Dice term over the channels from first on, with a weight
// for each.
func (l Dice) overlap(in *input, first int, w []float64) (*plan.Overlap, error) {
	if len(w) == 1 {
		w = []float64{1}
	}
	o := &plan.Overlap{Kind: plan.Dice, First: first, Squared: l.SquaredPred, Jaccard: l.Jaccard, Weight: w}
	return o, in.finishOverlap(o, l.Activation, l.Batch, l.SmoothNr, l.SmoothDr, l.Reduction)
}

// finishOverlap checks and fills what all overlap losses share.
func (in *input) finishOverlap(o *plan.Overlap, a Activation, batch bool, nr, dr float64, r Reduction) error {
	switch a {
	case Sigmoid:
		o.Activation = plan.Sigmoid
	case Softmax:
		o.Activation = plan.Softmax
		if in.batch.C == 1 {
			o.Activation = plan.None
		}
	case Identity:
		o.Activation = plan.None
	default:
		return plan.Refuse("Activation", a, "sigmoid, softmax or identity")
	}
	if err := checkNumber("SmoothNr", nr, math.Inf(1)); err != nil {
		return err
	}
	if err := checkNumber("SmoothDr", dr, math.Inf(1)); err != nil {
		return err
	}
	if r == ReduceVoxelMean {
		return plan.Refuse("Reduction", r, "mean, sum or none: an overlap loss has no voxel elements")
	}
	o.Batch, o.Nr, o.Dr = batch, nr, dr
	o.Scale, o.Mean = 1, r == ReduceMean
	if o.Exponent == 0 {
		o.Exponent = 1
	}
	return nil
}

// ClassWeighting is how [GeneralizedDice] weighs a class by its volume G.
type ClassWeighting uint8

// The weightings of [GeneralizedDice].
const (
	WeightSquare  ClassWeighting = iota // 1/G²
	WeightSimple                        // 1/G
	WeightUniform                       // 1
)

var weightingNames = [...]string{"square", "simple", "uniform"}

func (w ClassWeighting) String() string { return name(weightingNames[:], int(w), "ClassWeighting") }

// GeneralizedDice is the generalized Dice loss (Sudre et al., 2017): one ratio
// over all classes of a sample, or of the whole batch,
//
//	f = 1 − (2·Σ_c v_c·I_c + SmoothNr) / (Σ_c v_c·(G_c + P_c) + SmoothDr)
//
// with v_c = Weight_c times 1/G_c², 1/G_c or 1. The infinite v of an empty class
// is replaced by the largest finite one of its group, or 0 if there is none. The
// v carry no gradient.
type GeneralizedDice struct {
	Options
	// Activation is Sigmoid (default), Softmax or Identity.
	Activation Activation
	// Weighting is WeightSquare (default), WeightSimple or WeightUniform.
	Weighting ClassWeighting
	// Batch sums over the whole batch before the ratio, default false.
	Batch bool
	// SmoothNr and SmoothDr default to 1e-5.
	SmoothNr, SmoothDr float64
}

// NewGeneralizedDice returns the generalized Dice loss by sigmoid with weights
// 1/G², background included.
func NewGeneralizedDice() GeneralizedDice {
	return GeneralizedDice{Options: defaultOptions(), SmoothNr: 1e-5, SmoothDr: 1e-5}
}

// Eval implements [Loss].
func (l GeneralizedDice) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (l GeneralizedDice) plan(in *input) (*plan.Loss, error) {
	first := l.first(in.batch.C)
	w, err := perChannel("Weight", l.Weight, in.batch.C-first)
	if err != nil {
		return nil, err
	}
	if l.Weighting > WeightUniform {
		return nil, plan.Refuse("Weighting", l.Weighting, "square, simple or uniform")
	}
	o := &plan.Overlap{Kind: plan.GeneralizedDice, First: first, Weighting: plan.ClassWeighting(l.Weighting), Weight: w}
	return &plan.Loss{Overlap: o}, in.finishOverlap(o, l.Activation, l.Batch, l.SmoothNr, l.SmoothDr, l.Reduction)
}

// DiceCE is LambdaDice·Dice + LambdaCE·cross-entropy, each under the embedded
// Dice's Reduction, which is the mean or a sum. The cross-entropy is the softmax
// one over all channels, whatever Dice's activation and background (with C = 1
// the sigmoid one, with Weight as its PosWeight).
//
// Weight has C entries, or one for all; Dice without background uses all but
// the first of them, the cross-entropy uses all.
type DiceCE struct {
	Dice
	// LambdaDice and LambdaCE are at least 0 and default to 1.
	LambdaDice, LambdaCE float64
}

// NewDiceCE returns the Dice (softmax, not squared) plus cross-entropy loss:
// row "Dice CE" of the paper's comparison.
func NewDiceCE() DiceCE {
	l := DiceCE{Dice: NewDice(), LambdaDice: 1, LambdaCE: 1}
	l.Activation, l.SquaredPred = Softmax, false
	return l
}

// Eval implements [Loss].
func (l DiceCE) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (l DiceCE) plan(in *input) (*plan.Loss, error) {
	if l.Reduction == ReduceNone {
		return nil, plan.Refuse("Reduction", l.Reduction, "mean or sum: the elements of the two terms do not match")
	}
	first := l.first(in.batch.C)
	w, err := perChannel("Weight", l.Weight, in.batch.C)
	if err != nil {
		return nil, err
	}
	o, err := l.overlap(in, first, w[first:])
	if err != nil {
		return nil, err
	}
	ce := CrossEntropy{Options: l.Options, Activation: Softmax}
	ce.IncludeBackground = true
	if in.batch.C == 1 {
		ce.Activation, ce.Weight, ce.PosWeight = Sigmoid, nil, l.Weight
	}
	p, err := ce.plan(in)
	if err != nil {
		return nil, err
	}
	return combine(p, o, l.LambdaDice, "LambdaDice", l.LambdaCE, "LambdaCE")
}

// DiceFocal is LambdaDice·Dice + LambdaFocal·focal, each under the embedded
// Dice's Reduction, with its Weight, IgnoreIndex and IncludeBackground. MONAI's
// focal term is always the sigmoid one; FocalActivation offers the softmax (over
// all channels) too. With [ReduceNone] each Dice group is added to all elements
// of its channel.
type DiceFocal struct {
	Dice
	// FocalActivation is Sigmoid (default) or Softmax.
	FocalActivation Activation
	// Gamma is the focusing parameter γ ≥ 0, default 2.
	Gamma float64
	// Alpha is as in [Focal].
	Alpha []float64
	// LambdaDice and LambdaFocal are at least 0 and default to 1.
	LambdaDice, LambdaFocal float64
}

// NewDiceFocal returns the Dice (sigmoid, not squared) plus focal (γ = 2) loss:
// row "DiceFocal" of the paper's comparison.
func NewDiceFocal() DiceFocal {
	l := DiceFocal{Dice: NewDice(), Gamma: 2, LambdaDice: 1, LambdaFocal: 1}
	l.SquaredPred = false
	return l
}

// Eval implements [Loss].
func (l DiceFocal) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (l DiceFocal) plan(in *input) (*plan.Loss, error) {
	d, err := l.Dice.plan(in)
	if err != nil {
		return nil, err
	}
	focal := Focal{Options: l.Options, Activation: l.FocalActivation, Gamma: l.Gamma, Alpha: l.Alpha}
	p, err := focal.plan(in)
	if err != nil {
		return nil, err
	}
	return combine(p, d.Overlap, l.LambdaDice, "LambdaDice", l.LambdaFocal, "LambdaFocal")
}

// combine adds an overlap term to a loss that has a pointwise term.
func combine(p *plan.Loss, o *plan.Overlap, lambdaOverlap float64, nameOverlap string, lambdaPoint float64, namePoint string) (*plan.Loss, error) {
	if err := checkNumber(nameOverlap, lambdaOverlap, math.Inf(1)); err != nil {
		return nil, err
	}
	if err := checkNumber(namePoint, lambdaPoint, math.Inf(1)); err != nil {
		return nil, err
	}
	if lambdaOverlap == 0 && lambdaPoint == 0 {
		return nil, plan.Refuse(nameOverlap+" and "+namePoint, "0 and 0", "at least one above 0")
	}
	o.Scale *= lambdaOverlap
	if p.Focal.Scale *= lambdaPoint; lambdaPoint == 0 {
		p.Focal.Denominator = plan.One // 0 also where it would be infinite
	}
	p.Overlap = o
	return p, nil
}
