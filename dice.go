package afl

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Dice is the Dice loss. For each sample and channel, or each channel of the
// whole batch, with the sums over voxels I = Σ p·t, P = Σ p, G = Σ t (P = Σ p²,
// G = Σ t² with SquaredPred) of the probability p and the target t
//
//	f = 1 − (2I + SmoothNr) / (P + G + SmoothDr)
//
// and with Jaccard the denominator is 2(P + G − I) + SmoothDr, which makes it
// the IoU loss. Class weights multiply f. Milletari et al., "V-Net", 2016 (squared
// form); the conventions are MONAI's DiceLoss. 0/0, possible only with both
// smoothing terms 0, counts as perfect agreement, f = 0.
type Dice struct {
	Options
	constructed
	// Activation is Sigmoid (default), Softmax, SoftmaxMONAI or Identity.
	Activation Activation
	// SquaredPred squares the terms of the denominator's sums.
	SquaredPred bool
	// Jaccard replaces Dice by the Jaccard index (IoU).
	Jaccard bool
	// Semimetric replaces Σ p·t by Σ min(p,t) = Σ (p + t − |p−t|)/2, which makes the loss 0
	// where a soft target is met exactly (Wang et al., "Dice Semimetric Losses: Optimizing
	// the Dice Score with Soft Labels", 2023; MONAI's soft_label). For targets of zeros and
	// ones, and for squared sums, it changes nothing. Default false; a [Compound] and a GPU
	// refuse it with maps.
	Semimetric bool
	// Batch sums over the whole batch before the ratio, default false.
	Batch bool
	// SmoothNr and SmoothDr default to 1e-5.
	SmoothNr, SmoothDr float64
}

// NewDice returns the Dice loss with sigmoid activation and squared sums, background
// included: the "Dice" row of the paper's table. (MONAI's own default does not
// square.)
func NewDice() Dice {
	return Dice{constructed: constructed{true}, SquaredPred: true, SmoothNr: 1e-5, SmoothDr: 1e-5}
}

// Eval implements [Loss].
func (l Dice) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (Dice) constructor() string { return "NewDice or NewIoU" }

func (l Dice) plan(in *input) (*plan.Loss, error) {
	first := l.first(in.batch.C)
	w, err := l.weights(in.batch.C - first)
	if err != nil {
		return nil, err
	}
	in.semimetric = l.Semimetric && !l.SquaredPred
	o := &plan.Overlap{Kind: plan.Dice, First: first, Squared: l.SquaredPred, Jaccard: l.Jaccard, Weight: w}
	return &plan.Loss{Overlap: o}, in.finishOverlap(o, l.Activation, l.Batch, l.SmoothNr, l.SmoothDr, l.Reduction)
}

// finishOverlap checks and fills what all overlap losses share.
func (in *input) finishOverlap(o *plan.Overlap, a Activation, batch bool, nr, dr float64, r Reduction) error {
	activation, err := in.activation(a, false)
	if err != nil {
		return err
	}
	o.Activation = activation
	if err := checkNumber("SmoothNr", nr, math.Inf(1)); err != nil {
		return err
	}
	if err := checkNumber("SmoothDr", dr, math.Inf(1)); err != nil {
		return err
	}
	if r == ReduceVoxelMean {
		return refuse("Reduction", r, "mean, sum or none: an overlap loss has no voxel elements")
	}
	o.Batch, o.Nr, o.Dr = batch, nr, dr
	o.Scale, o.Mean = 1, r == ReduceMean
	return nil
}

// ClassWeighting is how [GeneralizedDice] weights a class by its volume G.
type ClassWeighting uint8

// The weightings of [GeneralizedDice].
const (
	WeightSquare  ClassWeighting = iota // 1/G²
	WeightSimple                        // 1/G
	WeightUniform                       // 1
)

// The cast of plan is right: an index other than 0 does not compile.
var (
	_ = [1]struct{}{}[WeightSquare-ClassWeighting(plan.WeightSquare)]
	_ = [1]struct{}{}[WeightSimple-ClassWeighting(plan.WeightSimple)]
	_ = [1]struct{}{}[WeightUniform-ClassWeighting(plan.WeightUniform)]
)

var weightingNames = [...]string{"square", "simple", "uniform"}

func (w ClassWeighting) String() string { return name(weightingNames[:], int(w), "ClassWeighting") }

// GeneralizedDice is the generalized Dice loss (Sudre et al., "Generalised Dice
// overlap as a deep learning loss function for highly unbalanced segmentations",
// 2017): one ratio over all classes c of a sample, or of the whole batch. With the
// sums over voxels I_c = Σ p_c·t_c, P_c = Σ p_c and G_c = Σ t_c (the volume of the
// class in the target),
//
//	f = 1 − (2·Σ_c v_c·I_c + SmoothNr) / (Σ_c v_c·(G_c + P_c) + SmoothDr)
//
// where v_c is Weight_c times 1/G_c², 1/G_c or 1, as Weighting says. The infinite v
// of an empty class is replaced by the largest finite one of its group, or 0 if
// there is none. The v carry no gradient. Conventions are MONAI's
// GeneralizedDiceLoss.
type GeneralizedDice struct {
	Options
	constructed
	// Activation is Sigmoid (default), Softmax, SoftmaxMONAI or Identity.
	Activation Activation
	// Weighting is WeightSquare (default), WeightSimple or WeightUniform.
	Weighting ClassWeighting
	// Batch sums over the whole batch before the ratio, default false.
	Batch bool
	// SmoothNr and SmoothDr default to 1e-5.
	SmoothNr, SmoothDr float64
}

// NewGeneralizedDice returns the generalized Dice loss with sigmoid activation and
// weights 1/G², background included.
func NewGeneralizedDice() GeneralizedDice {
	return GeneralizedDice{constructed: constructed{true}, SmoothNr: 1e-5, SmoothDr: 1e-5}
}

// Eval implements [Loss].
func (l GeneralizedDice) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (GeneralizedDice) constructor() string { return "NewGeneralizedDice" }

func (l GeneralizedDice) plan(in *input) (*plan.Loss, error) {
	first := l.first(in.batch.C)
	w, err := l.weights(in.batch.C - first)
	if err != nil {
		return nil, err
	}
	if l.Weighting > WeightUniform {
		return nil, refuse("Weighting", l.Weighting, "square, simple or uniform")
	}
	o := &plan.Overlap{Kind: plan.GeneralizedDice, First: first, Weighting: plan.ClassWeighting(l.Weighting), Weight: w}
	return &plan.Loss{Overlap: o}, in.finishOverlap(o, l.Activation, l.Batch, l.SmoothNr, l.SmoothDr, l.Reduction)
}
