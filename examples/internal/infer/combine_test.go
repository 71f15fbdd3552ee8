package infer

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/nn/nntest"
)

func TestCombine(t *testing.T) {
	const channels, n = 3, 2 * 3 * 5
	pass := func(name string, scale float64) Pass {
		values := make([]float32, channels*n)
		for i, v := range nntest.HashValues(name, len(values), 1) {
			values[i] = float32(scale * v)
		}
		return tensor.New(tensor.WithShape(1, channels, 2, 3, 5), tensor.WithBacking(values))
	}
	passes := []Pass{pass("a", 3), pass("b", 1), pass("c", 10)}
	sigmoid := func(z []float64) []float64 {
		p := make([]float64, len(z))
		for c, v := range z {
			p[c] = 1 / (1 + math.Exp(-v))
		}
		return p
	}
	softmax := func(z []float64) []float64 {
		p, sum := make([]float64, len(z)), 0.0
		for c, v := range z {
			p[c] = math.Exp(v)
			sum += p[c]
		}
		for c := range p {
			p[c] /= sum
		}
		return p
	}
	at := func(p Pass, i int) []float64 {
		z := make([]float64, channels)
		for c := range z {
			z[c] = float64(p.Data().([]float32)[c*n+i])
		}
		return z
	}
	for rule, probability := range map[afl.PredictionRule]func([]float64) []float64{
		afl.SigmoidChannel1: sigmoid, afl.SigmoidPerChannel: sigmoid, afl.Argmax: softmax,
	} {
		got, err := Combine(rule, passes...)
		require.NoError(t, err)
		for i := range n {
			mean := make([]float64, channels)
			for _, p := range passes {
				for c, v := range probability(at(p, i)) {
					mean[c] += v / float64(len(passes))
				}
			}
			assert.InDeltaSlice(t, mean, probability(at(got, i)), 1e-6, "%v", rule)
		}

		one, err := Combine(rule, passes[0])
		require.NoError(t, err)
		assert.Same(t, passes[0], one)
		equal, err := Combine(rule, passes[0], passes[0], passes[0])
		require.NoError(t, err)
		assert.InDeltaSlice(t, passes[0].Data(), equal.Data(), 1e-5, "%v: equal passes give their own logits", rule)

		// Probabilities that round to 0 and 1 stay apart.
		extreme := tensor.New(tensor.WithShape(1, channels, 1, 1, 1), tensor.WithBacking([]float32{-900, 1000, 50}))
		got, err = Combine(rule, extreme, extreme)
		require.NoError(t, err)
		assert.InDeltaSlice(t, extreme.Data(), got.Data(), 1e-3)
	}
	_, err := Combine(afl.Argmax)
	assert.ErrorContains(t, err, "there are no logits")
	_, err = Combine(afl.Argmax, passes[0], tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 3, 2, 3, 4)))
	assert.ErrorContains(t, err, "pass 1 is float32 of shape [1 3 2 3 4]")
	_, err = Combine(afl.PredictionRule(9), passes...)
	assert.ErrorContains(t, err, "rule is")
}
