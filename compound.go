package afl

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// PointwiseLoss is a loss that is a sum over voxels.
type PointwiseLoss interface {
	Loss
	CrossEntropy | Focal | AdaptiveFocal
}

// OverlapLoss is a loss that is a ratio of sums over voxels.
type OverlapLoss interface {
	Loss
	Dice | GeneralizedDice | Tversky | FocalTversky
}

// Compound is the sum of a pointwise and an overlap loss,
//
//	L = LambdaPointwise·Pointwise + LambdaOverlap·Overlap,
//
// each under its own options as if it stood alone, in the passes that the overlap
// loss alone takes over the image. Three things are common to both terms. They have
// one IgnoreIndex: others are refused. With one channel either takes [Softmax] for
// [Sigmoid]. And where an [AdaptiveFocal] binarizes class indices, it does so for
// both.
//
// With [ReduceNone], which is for both terms or neither, each group of the overlap
// loss is added to all the elements of its channel. That needs a term of one
// element a channel and one of one group a channel, over the same channels: the
// softmax cross-entropy and the generalized Dice loss are refused.
//
// [Sum] adds losses of any kind, at the cost of each.
type Compound[P PointwiseLoss, O OverlapLoss] struct {
	constructed
	Pointwise P
	Overlap   O
	// LambdaPointwise and LambdaOverlap are at least 0, not both of them 0, and
	// default to 1.
	LambdaPointwise, LambdaOverlap float64
}

// NewCompound returns pointwise + overlap:
//
//	afl.NewCompound(afl.NewAdaptiveFocal(), afl.NewTversky())
func NewCompound[P PointwiseLoss, O OverlapLoss](pointwise P, overlap O) Compound[P, O] {
	return Compound[P, O]{
		constructed: constructed{true},
		Pointwise:   pointwise, Overlap: overlap, LambdaPointwise: 1, LambdaOverlap: 1,
	}
}

// NewDiceCE returns the Dice loss (softmax, not squared) plus the softmax
// cross-entropy (Isensee et al., nnU-Net, 2021; MONAI's DiceCELoss), with the sums
// of [Dice] and of [CrossEntropy]
//
//	L = mean_c (1 − (2I_c + 1e-5) / (P_c + G_c + 1e-5)) − mean_i log p_i
//
// for the classes c, and p_i the probability of the label of voxel i: the "Dice CE" row
// of the paper's table. With one channel both terms use the sigmoid. MONAI's include_background=False is ExcludeBackground of the Overlap
// term alone.
func NewDiceCE() Compound[CrossEntropy, Dice] {
	dice := NewDice()
	dice.Activation, dice.SquaredPred = Softmax, false
	return NewCompound(NewCrossEntropy(), dice)
}

// NewDiceFocal returns the Dice loss (sigmoid, not squared) plus the focal loss
// (sigmoid, γ = 2; MONAI's DiceFocalLoss), with the sums of [Dice] and the elements
// of [Focal]
//
//	L = mean_c (1 − (2I_c + 1e-5) / (P_c + G_c + 1e-5)) + mean_{c,i} e_ci
//
// for the channels c and voxels i: the "DiceFocal" row of the paper's table.
func NewDiceFocal() Compound[Focal, Dice] {
	dice := NewDice()
	dice.SquaredPred = false
	return NewCompound(NewFocal(), dice)
}

// NewDiceAdaptiveFocal returns the Dice loss of [NewDiceFocal] plus A-FL as
// released, with the elements of [AdaptiveFocal]:
//
//	L = mean_c (1 − (2I_c + 1e-5) / (P_c + G_c + 1e-5)) + mean_{c,i} e_ci
func NewDiceAdaptiveFocal() Compound[AdaptiveFocal, Dice] {
	dice := NewDice()
	dice.SquaredPred = false
	return NewCompound(NewAdaptiveFocal(), dice)
}

// Eval implements [Loss].
func (l Compound[P, O]) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	p, o := l.terms()
	for _, term := range []planner{p, o} {
		if err := checkConstructed(term); l.isConstructed() && err != nil {
			return nil, err
		}
	}
	if a, b := p.options().IgnoreIndex, o.options().IgnoreIndex; a != b {
		return nil, refuse("Pointwise.IgnoreIndex and Overlap.IgnoreIndex", fmt.Sprintf("%v and %v", a, b), "the same")
	}
	return eval(l, logits, target, grad, opts)
}

func (l Compound[P, O]) terms() (pointwise, overlap planner) {
	return any(l.Pointwise).(planner), any(l.Overlap).(planner)
}

// options are those that eval needs to know of.
func (l Compound[P, O]) options() Options {
	p, o := l.terms()
	options := p.options()
	if o.options().Reduction == ReduceNone {
		options.Reduction = ReduceNone
	}
	return options
}

func (l Compound[P, O]) binarize() bool {
	b, ok := any(l.Pointwise).(binarizer)
	return ok && b.binarize()
}

func (Compound[P, O]) constructor() string { return "NewCompound" }

func (l Compound[P, O]) plan(in *input) (*plan.Loss, error) {
	in.compound = true
	p, o := l.terms()
	if err := checkReduction(p.options().Reduction); err != nil {
		return nil, err
	}
	if err := checkReduction(o.options().Reduction); err != nil {
		return nil, err
	}
	loss, err := p.plan(in)
	if err != nil {
		return nil, err
	}
	overlap, err := o.plan(in)
	if err != nil {
		return nil, err
	}
	loss.Overlap = overlap.Overlap
	if err := checkCompoundElements(loss, p.options().Reduction, o.options().Reduction); err != nil {
		return nil, err
	}
	if err := checkNumber("LambdaPointwise", l.LambdaPointwise, math.Inf(1)); err != nil {
		return nil, err
	}
	if err := checkNumber("LambdaOverlap", l.LambdaOverlap, math.Inf(1)); err != nil {
		return nil, err
	}
	if l.LambdaPointwise == 0 && l.LambdaOverlap == 0 {
		return nil, refuse("LambdaPointwise and LambdaOverlap", "0 and 0", "at least one above 0")
	}
	loss.Overlap.Scale *= l.LambdaOverlap
	if loss.Focal.Scale *= l.LambdaPointwise; l.LambdaPointwise == 0 {
		loss.Focal.Denominator = plan.One // 0 also where it would be infinite
	}
	return loss, nil
}

// checkCompoundElements refuses terms whose elements and groups do not match.
func checkCompoundElements(l *plan.Loss, pointwise, overlap Reduction) error {
	if pointwise != ReduceNone && overlap != ReduceNone {
		return nil
	}
	got := fmt.Sprintf("%v and %v", pointwise, overlap)
	const argument = "Pointwise.Reduction and Overlap.Reduction"
	switch {
	case pointwise != overlap:
		return refuse(argument, got, "none for both or for neither")
	case l.Focal.PerVoxel:
		return refuse(argument, got, "mean or sum: the softmax cross-entropy has no elements by channel, to which the groups could be added")
	case l.Overlap.Kind == plan.GeneralizedDice:
		return refuse(argument, got, "mean or sum: the generalized Dice loss has no groups by channel")
	case l.Focal.First != l.Overlap.First:
		return refuse(argument, got, "mean or sum, as one term excludes the background and the other does not")
	}
	return nil
}
