package afl

import (
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// LogCoshDice is the logarithm of the hyperbolic cosine of the [Dice] loss f of each group,
//
//	log cosh f,
//
// before the class weights and the reduction (Jadon, "A survey of loss functions for
// semantic segmentation", 2020). It is about f²/2 for small f, so that the gradient
// vanishes as the prediction becomes perfect.
type LogCoshDice struct {
	Dice
}

// NewLogCoshDice returns the log-cosh Dice loss with sigmoid activation and plain sums,
// background included.
func NewLogCoshDice() LogCoshDice {
	l := LogCoshDice{NewDice()}
	l.SquaredPred = false
	return l
}

// Eval implements [Loss].
func (l LogCoshDice) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (LogCoshDice) constructor() string { return "NewLogCoshDice" }

func (l LogCoshDice) plan(in *input) (*plan.Loss, error) {
	p, err := l.Dice.plan(in)
	if err != nil {
		return nil, err
	}
	p.Overlap.LogCosh = true
	return p, nil
}
