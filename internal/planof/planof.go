// Package planof finds the plans by which a loss of package afl is evaluated, for code
// that evaluates losses in a way of its own or estimates their work.
package planof

import (
	"fmt"
	"reflect"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/plan"
)

// Evaluation is one evaluation of a loss: its plan, and how it reads the target.
type Evaluation struct {
	// Weight multiplies the value: that of the term of a sum, else 1.
	Weight float64
	Loss   *plan.Loss
	// Target is that of the batch. Nothing was stored in its tensor.
	Target plan.Target
	// Shape is nil for a reduced loss, or that of the un-reduced one.
	Shape []int
}

// Of returns the evaluations whose weighted sum is l, given logits N×C×space and a target
// of the given shape and type: one, or one for each term of an [afl.Sum]. It refuses what
// l refuses, and losses that are not values of a type of package afl, whose Eval may do
// anything with what it evaluates.
func Of(l afl.Loss, logits, target []int, targetType tensor.Dtype) ([]Evaluation, error) {
	weights, err := termWeights(nil, l, 1)
	if err != nil {
		return nil, err
	}
	r := &recorder{}
	e := recordingEngine{recorder: r}
	// Logits of one byte: they are never read.
	x := tensor.New(tensor.WithEngine(e), tensor.Of(logitsType), tensor.WithShape(logits...))
	y := tensor.New(tensor.WithEngine(e), tensor.Of(targetType), tensor.WithShape(target...))
	if _, err := l.Eval(x, y, nil); err != nil {
		return nil, err
	}
	if len(r.evaluations) != len(weights) {
		return nil, fmt.Errorf("planof: a %T of %d terms was evaluated by %d plans", l, len(weights), len(r.evaluations))
	}
	for i, w := range weights {
		r.evaluations[i].Weight = w
	}
	return r.evaluations, nil
}

// termWeights appends the weights of the terms of l, in the order of their evaluation.
func termWeights(weights []float64, l afl.Loss, weight float64) ([]float64, error) {
	sum, ok := l.(afl.Sum)
	if !ok {
		if l == nil || reflect.TypeOf(l).PkgPath() != reflect.TypeFor[afl.Sum]().PkgPath() {
			return nil, &afl.ArgumentError{Argument: "loss", Got: fmt.Sprintf("a %T", l), Want: "a loss of package afl, by value"}
		}
		return append(weights, weight), nil
	}
	for _, term := range sum.Terms {
		var err error
		if weights, err = termWeights(weights, term.Loss, weight*term.Weight); err != nil {
			return nil, err
		}
	}
	return weights, nil
}

var logitsType = tensor.Uint8

// recordingEngine is an engine of tensors whose losses are recorded.
type recordingEngine struct {
	tensor.StdEng
	*recorder
}

var _ plan.Provider = recordingEngine{}

// recorder is a backend that keeps the evaluations it is asked for.
type recorder struct{ evaluations []Evaluation }

// Backend implements [plan.Provider].
func (r *recorder) Backend() plan.Backend { return r }

// LogitsTypes implements [plan.Backend].
func (*recorder) LogitsTypes() []tensor.Dtype { return []tensor.Dtype{logitsType} }

// NewTensor implements [plan.Backend].
func (*recorder) NewTensor(like *tensor.Dense, shape ...int) (*tensor.Dense, error) {
	return tensor.New(tensor.WithEngine(like.Engine()), tensor.Of(like.Dtype()), tensor.WithShape(shape...)), nil
}

// Eval implements [plan.Backend]. The loss is 0.
func (r *recorder) Eval(b *plan.Batch, l *plan.Loss, c *plan.Call) (*tensor.Dense, error) {
	r.evaluations = append(r.evaluations, Evaluation{Loss: l, Target: b.Target, Shape: c.Shape})
	if c.Shape != nil {
		return r.NewTensor(b.Logits, c.Shape...)
	}
	return tensor.New(tensor.FromScalar(0.0)), nil
}

// Stats implements [plan.Backend]. No loss asks for statistics but by its plan.
func (*recorder) Stats(*plan.Batch, plan.StatsRequest) (*plan.Stats, error) {
	return nil, fmt.Errorf("planof: the plan depends on the label")
}

// Combine implements [plan.Backend].
func (*recorder) Combine(*tensor.Dense, float64, *tensor.Dense, float64) error { return nil }
