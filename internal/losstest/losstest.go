// Package losstest is what every backend has to pass to evaluate the losses of
// package afl: reference numbers, a slow reference by definition, gradient checks
// by finite differences, laws, hostile input, refusals, and the comparison of one
// backend with another. A backend's own test calls [Run], [Golden] and, where it
// is not the first, [Compare].
package losstest

import (
	"testing"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// Runner evaluates losses on one backend. What goes in and comes out lies in Go
// memory; a backend with memory of its own copies.
type Runner interface {
	// Name is the backend's name, for messages.
	Name() string
	// Traits says what is particular to the backend.
	Traits() Traits
	// Eval evaluates a loss. The value is what [afl.Loss] returns, the gradient
	// is nil where the call does not want it. The memory that the gradient is
	// written to holds NaN before, so that an entry left out shows. err is the
	// loss's own error; anything else that fails ends the test.
	Eval(t testing.TB, l afl.Loss, c Call) (value, grad *tensor.Dense, err error)
	// Parameters returns what A-FL derives from the labels, and StatsOf the
	// statistics of one label image, with the errors of the functions of that
	// name.
	Parameters(t testing.TB, l afl.AdaptiveFocal, logits, target *tensor.Dense) ([]afl.AdaptiveParameters, error)
	StatsOf(t testing.TB, label *tensor.Dense) (afl.LabelStats, error)
}

// Call holds the arguments of one evaluation, tensors in Go memory.
type Call struct {
	Logits, Target *tensor.Dense
	// VoxelWeight and Upstream are nil or as in [afl.WithVoxelWeight] and
	// [afl.WithUpstream].
	VoxelWeight, Upstream *tensor.Dense
	// Stats is nil or as in [afl.WithStats].
	Stats []afl.LabelStats
	// GradScale is 0 or as in [afl.WithGradScale].
	GradScale float64
	// Half asks that float32 logits be evaluated as tensors of a half precision
	// type, which holds them exactly, and with them the gradient, the elements
	// and their upstream gradient. These come back as float32.
	Half Half
	// WantGrad asks for the gradient.
	WantGrad bool
}

// Options returns the optional arguments of [afl.Loss] for the call's tensors.
func (c Call) Options() []afl.EvalOption {
	var opts []afl.EvalOption
	if c.VoxelWeight != nil {
		opts = append(opts, afl.WithVoxelWeight(c.VoxelWeight))
	}
	if c.Upstream != nil {
		opts = append(opts, afl.WithUpstream(c.Upstream))
	}
	if c.Stats != nil {
		opts = append(opts, afl.WithStats(c.Stats...))
	}
	if c.GradScale != 0 {
		opts = append(opts, afl.WithGradScale(c.GradScale))
	}
	return opts
}

// Traits is what is particular to a backend. The zero value of each field asks
// most of it.
type Traits struct {
	// Brief runs a part of each test: every loss, every option of its own, every
	// option that losses share with every kind of loss, on small tensors. It is
	// for an emulated device and for go test -short.
	Brief bool
	// Float32 is how far the results for float32 logits may lie from those for
	// the same logits in float64.
	Float32 Accuracy
	// ValueVaries says that a value may differ in its last bits, within Float32
	// and 1e-13 in float64, with whether the gradient is asked for.
	ValueVaries bool
	// Half lists the half precision types that logits may have.
	Half []Half
	// Repeats is how many times a loss is evaluated to see the same bits, at
	// least 3.
	Repeats int
}

// Accuracy is how far values and gradients may lie from the right ones.
type Accuracy struct{ Value, Gradient Tolerance }

// Tolerance allows a difference from b of Relative·|b| + Absolute + Largest·max|b|,
// where the maximum is over the tensor.
type Tolerance struct{ Relative, Absolute, Largest float64 }

// plus adds two tolerances.
func (a Tolerance) plus(b Tolerance) Tolerance {
	return Tolerance{a.Relative + b.Relative, a.Absolute + b.Absolute, a.Largest + b.Largest}
}

// Run tests a backend by definitions and laws.
func Run(t *testing.T, r Runner) {
	s := suite{Runner: r, Traits: r.Traits()}
	t.Run("Gradient", s.gradient)
	t.Run("Upstream", s.upstream)
	t.Run("CompoundElements", s.compoundElements)
	t.Run("GradScale", s.gradScale)
	t.Run("HalfGradScale", s.halfGradScale)
	t.Run("Reference", s.reference)
	t.Run("Relations", s.relations)
	t.Run("IgnoreEqualsCrop", s.ignoreEqualsCrop)
	t.Run("WeightMapEqualsRepetition", s.weightMapEqualsRepetition)
	t.Run("Targets", s.targets)
	t.Run("BoolTargets", s.boolTargets)
	t.Run("WideLabels", s.wideLabels)
	t.Run("SoftMapSlack", s.softMapSlack)
	t.Run("IgnoredIndexOfAnyType", s.ignoredIndexOfAnyType)
	t.Run("ZeroWeights", s.zeroWeights)
	t.Run("AllIgnored", s.allIgnored)
	t.Run("WithoutSmoothing", s.withoutSmoothing)
	t.Run("HostileLogits", s.hostileLogits)
	t.Run("HostileFloat32", s.hostileFloat32)
	t.Run("NaNLogits", s.nanLogits)
	t.Run("HostileTargets", s.hostileTargets)
	t.Run("Float32", s.float32)
	t.Run("Float32Options", s.float32Options)
	t.Run("ManyChannels", s.manyChannels)
	t.Run("Float32Range", s.float32Range)
	t.Run("Float32Sum", s.float32Sum)
	t.Run("Float32Excluded", s.float32Excluded)
	t.Run("Half", s.half)
	t.Run("Determinism", s.determinism)
	t.Run("Refusals", s.refusals)
	t.Run("StatisticsByDefinition", s.statisticsByDefinition)
	t.Run("SoftMapStatistics", s.softMapStatistics)
	t.Run("GivenStatistics", s.givenStatistics)
	t.Run("Sum", s.sum)
}

// suite runs the tests of one backend.
type suite struct {
	Runner
	Traits Traits
}

// grad evaluates a loss that is reduced to a number, and its gradient.
func (s suite) grad(t testing.TB, what string, l afl.Loss, c Call) (float64, *tensor.Dense) {
	t.Helper()
	c.WantGrad = true
	value, grad, err := s.Eval(t, l, c)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if grad == nil || !grad.Shape().Eq(c.Logits.Shape()) || grad.Dtype() != c.Logits.Dtype() {
		t.Fatalf("%s: the gradient is not a tensor like the logits", what)
	}
	return number(t, what, value), grad
}

// value evaluates a loss that is reduced to a number.
func (s suite) value(t testing.TB, what string, l afl.Loss, c Call) float64 {
	t.Helper()
	value, _, err := s.Eval(t, l, c)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return number(t, what, value)
}

// elements evaluates a loss that is not reduced.
func (s suite) elements(t testing.TB, what string, l afl.Loss, c Call) *tensor.Dense {
	t.Helper()
	value, _, err := s.Eval(t, l, c)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return value
}

// number returns a reduced loss.
func number(t testing.TB, what string, value *tensor.Dense) float64 {
	t.Helper()
	if value == nil || !value.Shape().IsScalar() {
		t.Fatalf("%s: the value is no scalar", what)
	}
	v, ok := value.ScalarValue().(float64)
	if !ok {
		t.Fatalf("%s: the value is a %v, want float64", what, value.Dtype())
	}
	return v
}

// cover chooses the combinations that a brief run tests.
type cover struct {
	all  bool
	seen map[string]bool
}

func (s suite) cover() *cover { return &cover{all: !s.Traits.Brief, seen: map[string]bool{}} }

// needs reports whether a combination is to be tested, and takes it as tested:
// always, or in a brief run where at least one of its keys was not seen before.
func (c *cover) needs(keys ...string) bool {
	needed := c.all
	for _, k := range keys {
		if !c.seen[k] {
			c.seen[k], needed = true, true
		}
	}
	return needed
}
