package losstest

import (
	"testing"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// CPU evaluates losses in Go memory.
type CPU struct{}

// Name implements [Runner].
func (CPU) Name() string { return "CPU" }

// Traits implements [Runner].
func (CPU) Traits() Traits {
	return Traits{
		Brief: testing.Short(),
		Float32: Accuracy{
			Value:    Tolerance{Relative: 2e-6, Absolute: 1e-7},
			Gradient: Tolerance{Relative: 5e-6, Largest: 1e-6},
		},
	}
}

// Eval implements [Runner].
func (CPU) Eval(t testing.TB, l afl.Loss, c Call) (value, grad *tensor.Dense, err error) {
	t.Helper()
	if c.Half != None {
		t.Fatalf("the CPU takes no %v logits", c.Half)
	}
	if c.WantGrad {
		grad = NaNs(c.Logits.Dtype(), c.Logits.Shape()...)
	}
	value, err = l.Eval(c.Logits, c.Target, grad, c.Options()...)
	return value, grad, err
}

// Parameters implements [Runner].
func (CPU) Parameters(_ testing.TB, l afl.AdaptiveFocal, logits, target *tensor.Dense) ([]afl.AdaptiveParameters, error) {
	return l.Parameters(logits, target)
}

// StatsOf implements [Runner].
func (CPU) StatsOf(_ testing.TB, label *tensor.Dense) (afl.LabelStats, error) {
	return afl.StatsOf(label, afl.IgnoreIndex{})
}
