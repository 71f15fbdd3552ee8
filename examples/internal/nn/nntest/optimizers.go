package nntest

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// sgd compares three updates with the formulas, for every combination of settings.
func (s suite) sgd(t *testing.T) {
	for _, momentum := range []float64{0, 0.9} {
		for _, nesterov := range []bool{false, true} {
			for _, decay := range []float64{0, 1e-2} {
				if nesterov && momentum == 0 {
					continue
				}
				rng := rand.New(rand.NewPCG(1, 1))
				w := normal(rng, 15)
				v := make([]float64, len(w))
				p := &nn.Param{Name: "w", Value: s.kept(t, w, 3, 5)}
				opt := nn.SGD{LearningRate: 0.1, Momentum: momentum, Nesterov: nesterov, WeightDecay: decay}
				for step := range 3 {
					g := normal(rng, len(w))
					p.Grad = s.array(t, g, 3, 5)
					require.NoError(t, opt.Step(s, []*nn.Param{p}))
					assert.Nil(t, p.Grad)
					for i := range w {
						d := g[i] + decay*w[i]
						v[i] = momentum*v[i] + d
						if step == 0 {
							v[i] = d
						}
						if nesterov {
							d += momentum * v[i]
						} else {
							d = v[i]
						}
						w[i] -= 0.1 * d
					}
					tol, _ := s.tolerance()
					s.requireClose(t, w, p.Value, tol, fmt.Sprintf("momentum %v nesterov %v decay %v step %d", momentum, nesterov, decay, step))
					s.EndStep()
				}
			}
		}
	}
}

// adamW compares updates with the formulas of Loshchilov and Hutter, and checks that every
// parameter counts its own steps.
func (s suite) adamW(t *testing.T) {
	const rate = 0.1
	for _, decay := range []float64{0, 0.05} {
		for _, betas := range [][2]float64{{0.9, 0.999}, {0.5, 0.8}, {0, 0}} {
			rng := rand.New(rand.NewPCG(1, 1))
			opt := nn.NewAdamW(rate)
			opt.WeightDecay, opt.Beta1, opt.Beta2 = decay, betas[0], betas[1]
			sizes := [][]int{{3, 5}, {40_000}}
			params := make([]*nn.Param, len(sizes))
			w, m, v := make([][]float64, len(sizes)), make([][]float64, len(sizes)), make([][]float64, len(sizes))
			count := make([]float64, len(sizes))
			for i, shape := range sizes {
				n := elements(shape)
				w[i], m[i], v[i] = normal(rng, n), make([]float64, n), make([]float64, n)
				params[i] = &nn.Param{Name: fmt.Sprint(i), Value: s.kept(t, w[i], shape...)}
			}
			for step := range 4 {
				for i, shape := range sizes {
					if i == 1 && step%2 == 0 {
						continue // no gradient in this step
					}
					g := normal(rng, len(w[i]))
					params[i].Grad = s.array(t, g, shape...)
					count[i]++
					for j := range g {
						m[i][j] = betas[0]*m[i][j] + (1-betas[0])*g[j]
						v[i][j] = betas[1]*v[i][j] + (1-betas[1])*g[j]*g[j]
						mean := m[i][j] / (1 - math.Pow(betas[0], count[i]))
						square := v[i][j] / (1 - math.Pow(betas[1], count[i]))
						w[i][j] -= rate * (mean/(math.Sqrt(square)+1e-8) + decay*w[i][j])
					}
				}
				require.NoError(t, opt.Step(s, params))
				for i, p := range params {
					assert.Nil(t, p.Grad)
					tolerance, _ := s.tolerance()
					s.requireClose(t, w[i], p.Value, tolerance, fmt.Sprintf("decay %v betas %v step %d parameter %d", decay, betas, step, i))
				}
				s.EndStep()
			}
		}
	}
}

// optimizerState checks that an optimizer continues bit for bit from its state, and that it
// rejects the state of other parameters without changing its own.
func (s suite) optimizerState(t *testing.T) {
	for name, make := range map[string]func() nn.Optimizer{
		"SGD":   func() nn.Optimizer { return &nn.SGD{LearningRate: 0.1, Momentum: 0.9, Nesterov: true} },
		"AdamW": func() nn.Optimizer { return nn.NewAdamW(0.1) },
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(2, 3))
			shape := []int{3, 2, 3, 1, 3}
			start := normal(rng, elements(shape))
			gradients := [][]float64{normal(rng, len(start)), normal(rng, len(start)), normal(rng, len(start))}
			param := func() []*nn.Param {
				return []*nn.Param{{Name: "w", Value: s.kept(t, start, shape...)}, {Name: "never", Value: s.kept(t, start[:3], 3)}}
			}
			step := func(opt nn.Optimizer, params []*nn.Param, i int) {
				params[0].Grad = s.array(t, gradients[i], shape...)
				require.NoError(t, opt.Step(s, params))
				s.EndStep()
			}
			opt, params := make(), param()
			empty, err := opt.StateDict(s)
			require.NoError(t, err)
			assert.Empty(t, empty)
			step(opt, params, 0)
			step(opt, params, 1)
			state, err := opt.StateDict(s)
			require.NoError(t, err)
			middle := s.values(t, params[0].Value)
			step(opt, params, 2)

			again, same := make(), param()
			require.NoError(t, again.LoadStateDict(s, same, state))
			same[0].Value = s.kept(t, middle, shape...)
			bad := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2))
			changed := maps.Clone(state)
			changed["stranger"] = bad
			assert.ErrorContains(t, again.LoadStateDict(s, same, changed), `"stranger"`)
			changed = map[string]*tensor.Dense{}
			for key, value := range state {
				changed[key] = bad
				if value.Dims() == 0 {
					changed[key] = value // a number of steps
				}
			}
			assert.ErrorContains(t, again.LoadStateDict(s, same, changed), "tensor has shape [2], want [3 2 3 1 3]")
			step(again, same, 2)
			assert.Equal(t, s.values(t, params[0].Value), s.values(t, same[0].Value))

			again.SetLearningRate(0)
			before := s.values(t, same[0].Value)
			step(again, same, 0)
			assert.Equal(t, before, s.values(t, same[0].Value), "learning rate 0")
			again.SetLearningRate(math.NaN())
			assert.ErrorContains(t, again.Step(s, same), "learning rate is NaN")
			again.SetLearningRate(1)
			assert.ErrorContains(t, again.Step(s, same), "no parameter has a gradient")
		})
	}
	opt, params := nn.NewAdamW(1), []*nn.Param{{Name: "w", Value: s.kept(t, []float64{1}, 1)}}
	one := tensor.New(tensor.WithShape(1), tensor.WithBacking([]float32{1}))
	for want, state := range map[string]map[string]*tensor.Dense{
		"step.w: is missing":           {"exp_avg.w": one, "exp_avg_sq.w": one},
		"exp_avg.w: tensor is nil":     {"step.w": tensor.New(tensor.FromScalar(int64(1))), "exp_avg_sq.w": one},
		"want an int64 of at least 1":  {"step.w": tensor.New(tensor.FromScalar(int64(0))), "exp_avg.w": one, "exp_avg_sq.w": one},
		`the state contains "exp_avg"`: {"exp_avg": one},
	} {
		assert.ErrorContains(t, opt.LoadStateDict(s, params, state), want)
	}
}

// reductions checks sums of squares and scaling on values of very different sizes.
func (s suite) reductions(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	shapes := [][]int{{1}, {7}, {100_003}, {2, 3, 5, 7, 11}}
	var arrays []nn.Array
	want := 0.0
	for _, shape := range shapes {
		values := normal(rng, elements(shape))
		values[0] *= 1e15
		values[0] = float64(float32(values[0]))
		for _, v := range values {
			want += v * v
		}
		arrays = append(arrays, s.array(t, values, shape...))
		scaled, err := s.Scale(arrays[len(arrays)-1], 0.25)
		require.NoError(t, err)
		for i := range values {
			values[i] *= 0.25
		}
		assert.Equal(t, shape, scaled.Shape())
		assert.Equal(t, values, s.values(t, scaled))
	}
	got, err := s.SumOfSquares(arrays...)
	require.NoError(t, err)
	assert.InEpsilon(t, want, got, 1e-12)
	got, err = s.SumOfSquares(s.array(t, []float64{3e38, -3e38}, 2))
	require.NoError(t, err)
	assert.InEpsilon(t, 2*float64(float32(3e38))*float64(float32(3e38)), got, 1e-6)
	for _, bad := range []float64{math.NaN(), math.Inf(-1)} {
		got, err := s.SumOfSquares(s.array(t, []float64{1, bad}, 2))
		require.NoError(t, err)
		assert.False(t, got < math.Inf(1), "%v", got)
	}
	zeros, err := s.Zeros([]int{2, 3})
	require.NoError(t, err)
	s.EndStep()
	assert.Equal(t, make([]float64, 6), s.values(t, zeros))
	got, err = s.SumOfSquares()
	require.NoError(t, err)
	assert.Zero(t, got)
}
