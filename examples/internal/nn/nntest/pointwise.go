package nntest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
)

// activations checks values and derivatives of the activations, including at zero and for
// arguments at which naive formulas overflow or cancel.
func (s suite) activations(t *testing.T) {
	x := []float64{-1000, -90, -3, -1e-7, 0, 1e-7, 0.5, 90, 1000}
	ones := make([]float64, len(x))
	for i := range ones {
		ones[i] = 1
	}
	logistic := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
	for f, definition := range map[nn.Activation]func(v float64) (value, derivative float64){
		nn.ReLU: func(v float64) (float64, float64) {
			if v > 0 {
				return v, 1
			}
			return 0, 0
		},
		nn.ELU: func(v float64) (float64, float64) {
			if v > 0 {
				return v, 1
			}
			return math.Expm1(v), math.Exp(v)
		},
		nn.Sigmoid: func(v float64) (float64, float64) { return logistic(v), logistic(v) * logistic(-v) },
	} {
		y, pullback, err := s.Activate(s.array(t, x, 1, 1, 1, 1, len(x)), f)
		require.NoError(t, err)
		grads, err := pullback(s.array(t, ones, 1, 1, 1, 1, len(x)), allNeeded(1))
		require.NoError(t, err)
		values, slopes := s.values(t, y), s.values(t, grads[0])
		tolY, _ := s.tolerance()
		for i, v := range x {
			value, slope := definition(v)
			assert.InDelta(t, value, values[i], tolY*math.Abs(value), "%v(%v)", f, v)
			assert.InDelta(t, slope, slopes[i], tolY, "%v'(%v)", f, v)
		}
	}
	s.EndStep()
}

// scaledActivations checks the activations with a number of their own against their
// definitions.
func (s suite) scaledActivations(t *testing.T) {
	x := []float64{-90, -3, -1e-3, 0, 1e-3, 0.5, 90}
	ones := make([]float64, len(x))
	for i := range ones {
		ones[i] = 1
	}
	for _, a := range []float64{0.3, 1, 2, 0, -1.5} {
		b := nn.NewBuilder(s.Backend, 1)
		for name, c := range map[string]struct {
			layer                   nn.Layer
			value, derivativeBelow0 func(v float64) float64
		}{
			"ELU":       {b.ELU(a), func(v float64) float64 { return a * math.Expm1(v) }, func(v float64) float64 { return a * math.Exp(v) }},
			"LeakyReLU": {b.LeakyReLU(a), func(v float64) float64 { return a * v }, func(float64) float64 { return a }},
		} {
			require.NoError(t, b.Err())
			assert.Empty(t, b.Parameters(), "the number is not trained")
			tape := nn.NewTape(s.Backend, nn.Training, 1)
			in := tape.InputWithGrad(s.array(t, x, 1, 1, 1, 1, len(x)))
			y, err := c.layer.Forward(tape, in)
			require.NoError(t, err)
			values := s.values(t, y.Array())
			require.NoError(t, tape.Backward(y, s.array(t, ones, 1, 1, 1, 1, len(x))))
			grad, err := tape.Grad(in)
			require.NoError(t, err)
			slopes := s.values(t, grad)
			tolY, _ := s.tolerance()
			for i, v := range x {
				value, slope := v, 1.0
				if v <= 0 {
					value, slope = c.value(v), c.derivativeBelow0(v)
				}
				assert.InDelta(t, value, values[i], 2*tolY*math.Abs(value), "%s %v(%v)", name, a, v)
				assert.InDelta(t, slope, slopes[i], 2*tolY*math.Max(1, math.Abs(a)), "%s %v'(%v)", name, a, v)
			}
			s.EndStep()
		}
	}
}

// groupNorm compares the norm with its definition, including a channel whose values are far
// from zero.
func (s suite) groupNorm(t *testing.T) {
	const n, c, voxels, epsilon = 2, 6, 35, 1e-5
	rng := rand.New(rand.NewPCG(15, 16))
	x, w, b := normal(rng, n*c*voxels), normal(rng, c), normal(rng, c)
	for i := range voxels {
		x[2*voxels+i] += 30
	}
	for _, groups := range []int{1, 2, 3, 6} {
		want := make([]float64, len(x))
		size := c / groups * voxels
		for from := 0; from < len(x); from += size {
			var mean, variance float64
			for _, v := range x[from : from+size] {
				mean += v / float64(size)
			}
			for _, v := range x[from : from+size] {
				variance += (v - mean) * (v - mean) / float64(size)
			}
			for i := from; i < from+size; i++ {
				channel := i / voxels % c
				want[i] = (x[i]-mean)/math.Sqrt(variance+epsilon)*w[channel] + b[channel]
			}
		}
		y, _, err := s.GroupNorm(s.array(t, x, n, c, 5, 1, 7), s.array(t, w, c), s.array(t, b, c), groups, epsilon)
		require.NoError(t, err)
		tolY, _ := s.tolerance()
		s.requireClose(t, want, y, tolY, "y")
	}
	s.EndStep()
}

// repeatChannels checks the order of the channels, for numbers that are and are not multiples
// of the number of input channels.
func (s suite) repeatChannels(t *testing.T) {
	x := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} // 2 samples, 3 channels, 2 voxels
	for channels, order := range map[int][]int{3: {0, 1, 2}, 6: {0, 1, 2, 0, 1, 2}, 8: {0, 1, 2, 0, 1, 2, 0, 1}} {
		y, pullback, err := s.RepeatChannels(s.array(t, x, 2, 3, 1, 1, 2), channels)
		require.NoError(t, err)
		require.Equal(t, []int{2, channels, 1, 1, 2}, y.Shape())
		var want, g []float64
		sum := make([]float64, len(x))
		for sample := range 2 {
			for _, c := range order {
				i := (sample*3 + c) * 2
				want = append(want, x[i], x[i+1])
				g = append(g, float64(len(want)), -1)
				sum[i] += float64(len(want))
				sum[i+1]--
			}
		}
		assert.Equal(t, want, s.values(t, y))
		grads, err := pullback(s.array(t, g, y.Shape()...), allNeeded(1))
		require.NoError(t, err)
		assert.Equal(t, sum, s.values(t, grads[0]))
	}
	s.EndStep()
}
