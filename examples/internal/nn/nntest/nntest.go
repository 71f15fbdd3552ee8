// Package nntest is the test suite for backends of the training engine. It compares with
// reference values and definitions, checks gradients by finite differences, and checks the
// contract about memory and errors. Each backend's own test calls [Run].
package nntest

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// Run tests a backend. open returns a new backend with the given element type, or nil if the
// backend does not support that type.
func Run(t *testing.T, open func(t *testing.T, dtype nn.DType) nn.Backend) {
	for _, dtype := range []nn.DType{nn.Float64, nn.Float32} {
		t.Run(dtype.String(), func(t *testing.T) {
			b := open(t, dtype)
			if b == nil {
				t.Skipf("the backend does not support %v", dtype)
			}
			require.Equal(t, dtype, b.DType())
			s := suite{b}
			t.Run("Host", s.host)
			t.Run("Layers", s.layers)
			t.Run("Definitions", s.definitions)
			t.Run("Pools", s.pools)
			t.Run("Resizes", s.resizes)
			t.Run("Activations", s.activations)
			t.Run("ScaledActivations", s.scaledActivations)
			t.Run("GroupNorm", s.groupNorm)
			t.Run("Chains", s.chains)
			t.Run("SyncBatchNorm", s.syncBatchNorm)
			t.Run("RepeatChannels", s.repeatChannels)
			if dtype == nn.Float64 {
				t.Run("Gradients", s.gradients)
			}
			t.Run("Dropout", s.dropout)
			t.Run("SGD", s.sgd)
			t.Run("AdamW", s.adamW)
			t.Run("OptimizerState", s.optimizerState)
			t.Run("OptimizerRuns", s.optimizerRuns)
			t.Run("Reductions", s.reductions)
			t.Run("Clipping", s.clipping)
			t.Run("Determinism", s.determinism)
			t.Run("Losses", s.losses)
			t.Run("Errors", s.errors)
			t.Run("Steps", s.steps)
		})
	}
}

type suite struct{ nn.Backend }

// tolerance returns the allowed relative error of results and of gradients.
func (s suite) tolerance() (result, gradient float64) {
	if s.DType() == nn.Float64 {
		return 1e-12, 1e-10
	}
	return 1e-5, 1e-4
}

// array copies values to a Step array.
func (s suite) array(t *testing.T, values []float64, shape ...int) nn.Array {
	t.Helper()
	return s.of(t, nn.Step, values, shape)
}

// kept copies values to a Kept array.
func (s suite) kept(t *testing.T, values []float64, shape ...int) nn.Array {
	t.Helper()
	return s.of(t, nn.Kept, values, shape)
}

func (s suite) of(t *testing.T, life nn.Lifetime, values []float64, shape []int) nn.Array {
	t.Helper()
	a, err := s.FromHost(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(append([]float64(nil), values...))), life)
	require.NoError(t, err)
	return a
}

// values copies an array to the host.
func (s suite) values(t *testing.T, a nn.Array) []float64 {
	t.Helper()
	require.NotNil(t, a)
	d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(a.Shape()...))
	require.NoError(t, s.ToHost(a, d))
	return d.Data().([]float64)
}

// requireClose compares an array with reference values.
func (s suite) requireClose(t *testing.T, want []float64, got nn.Array, tolerance float64, what string) {
	t.Helper()
	require.LessOrEqual(t, RelativeError(want, s.values(t, got)), tolerance, what)
}

// normal returns n values from a normal distribution that are at least 0.05 away from zero
// and exact in float32.
func normal(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		for v[i] > -0.05 && v[i] < 0.05 {
			v[i] = float64(float32(rng.NormFloat64()))
		}
	}
	return v
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func allNeeded(n int) []bool {
	need := make([]bool, n)
	for i := range need {
		need[i] = true
	}
	return need
}
