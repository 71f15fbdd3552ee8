package nntest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
)

// operation is a backend operation as a function of arrays.
type operation struct {
	name   string
	shapes [][]int
	run    func(in []nn.Array) (nn.Array, nn.Pullback, error)
}

func (s suite) operations(t *testing.T) []operation {
	ops := []operation{
		{"Add", [][]int{{2, 3, 5, 1, 7}, {2, 3, 5, 1, 7}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) { return s.Add(in[0], in[1]) }},
		{"Concat", [][]int{{2, 3, 5, 1, 7}, {2, 1, 5, 1, 7}, {2, 4, 5, 1, 7}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) { return s.Concat(in...) }},
		{"Mean", [][]int{{2, 3, 5, 1, 7}, {2, 3, 5, 1, 7}, {2, 3, 5, 1, 7}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) { return s.Mean(in...) }},
		{"Gate", [][]int{{2, 3, 5, 1, 7}, {2, 1, 5, 1, 7}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) { return s.Gate(in[0], in[1]) }},
		{"RepeatChannels", [][]int{{2, 3, 5, 1, 7}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) { return s.RepeatChannels(in[0], 8) }},
		{"PReLU/one", [][]int{{2, 3, 5, 1, 7}, {1}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) { return s.PReLU(in[0], in[1]) }},
		{"PReLU/perChannel", [][]int{{2, 3, 5, 1, 7}, {3}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) { return s.PReLU(in[0], in[1]) }},
		{"Dropout3D", [][]int{{2, 5, 3, 1, 7}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) { return s.Dropout3D(in[0], 0.4, 9) }},
	}
	for _, f := range []nn.Activation{nn.ReLU, nn.ELU, nn.Sigmoid} {
		ops = append(ops, operation{f.String(), [][]int{{2, 3, 5, 1, 7}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) {
			return s.Activate(in[0], f)
		}})
	}
	for _, groups := range []int{1, 2, 6} {
		ops = append(ops, operation{fmt.Sprintf("GroupNorm/%d", groups), [][]int{{2, 6, 5, 1, 7}, {6}, {6}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) {
			return s.GroupNorm(in[0], in[1], in[2], groups, 1e-5)
		}}, operation{fmt.Sprintf("GroupNorm/%d/plain", groups), [][]int{{2, 6, 5, 1, 7}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) {
			y, pullback, err := s.GroupNorm(in[0], nil, nil, groups, 1e-5)
			return y, firstOf(pullback), err
		}})
	}
	for _, c := range poolCases {
		ops = append(ops, operation{"MaxPool3D/" + c.String(), [][]int{c.shape()}, func(in []nn.Array) (nn.Array, nn.Pullback, error) {
			return s.MaxPool3D(in[0], c.spec)
		}})
	}
	for _, c := range resizeCases {
		for _, mode := range resizeModes {
			ops = append(ops, operation{fmt.Sprintf("Resize/%v/%v", mode, c), [][]int{c.shape()}, func(in []nn.Array) (nn.Array, nn.Pullback, error) {
				return s.Resize(in[0], c.to, mode)
			}})
		}
	}
	for _, training := range []bool{true, false} {
		for _, shape := range [][]int{{2, 3, 5, 1, 7}, {1, 1, 1, 1, 3}, {3, 2, 1, 1, 1}} {
			c := shape[1]
			ops = append(ops, operation{fmt.Sprintf("BatchNorm/training=%v/%v", training, shape), [][]int{shape, {c}, {c}}, func(in []nn.Array) (nn.Array, nn.Pullback, error) {
				mean, variance := make([]float64, c), make([]float64, c)
				for i := range c {
					mean[i], variance[i] = 0.1*float64(i)-0.2, 0.5+float64(i)
				}
				return s.BatchNorm(in[0], in[1], in[2], s.kept(t, mean, c), s.kept(t, variance, c),
					nn.BatchNormSpec{Training: training, Epsilon: 1e-5, Momentum: 0.1})
			}})
		}
	}
	for _, transposed := range []bool{false, true} {
		conv, name := s.Conv3D, "Conv3D"
		if transposed {
			conv, name = s.ConvTranspose3D, "ConvTranspose3D"
		}
		for _, c := range convCases(rand.New(rand.NewPCG(5, 6)), transposed, 24) {
			if c.size[0]*c.size[1]*c.size[2] > 200 {
				continue // slow, and the small cases test the same
			}
			ops = append(ops, operation{name + "/" + c.String(), c.shapes(transposed), func(in []nn.Array) (nn.Array, nn.Pullback, error) {
				return conv(in[0], in[1], in[2], c.spec)
			}})
		}
	}
	return ops
}

// firstOf converts the pullback of an operation that was called without weight and bias to a
// pullback of its first input only.
func firstOf(pullback nn.Pullback) nn.Pullback {
	return func(g nn.Array, need []bool) ([]nn.Array, error) {
		grads, err := pullback(g, append(need, false, false))
		if err != nil {
			return nil, err
		}
		return grads[:1], nil
	}
}

// gradients compares every pullback with central differences of the result, along random
// directions and along single elements.
func (s suite) gradients(t *testing.T) {
	const h = 1e-5
	for _, op := range s.operations(t) {
		t.Run(op.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, 8))
			in := make([][]float64, len(op.shapes))
			for i, shape := range op.shapes {
				in[i] = normal(rng, elements(shape))
			}
			run := func(in [][]float64) (nn.Array, nn.Pullback) {
				arrays := make([]nn.Array, len(in))
				for i := range in {
					arrays[i] = s.array(t, in[i], op.shapes[i]...)
				}
				y, pullback, err := op.run(arrays)
				require.NoError(t, err)
				return y, pullback
			}
			y, pullback := run(in)
			g := normal(rng, elements(y.Shape()))
			inputs := len(in)
			arrays, err := pullback(s.array(t, g, y.Shape()...), allNeeded(inputs))
			require.NoError(t, err)
			grads := make([][]float64, inputs)
			for i := range grads {
				require.Equal(t, op.shapes[i], arrays[i].Shape())
				grads[i] = s.values(t, arrays[i])
			}
			s.EndStep()
			loss := func(in [][]float64) float64 {
				y, _ := run(in)
				defer s.EndStep()
				var sum float64
				for i, v := range s.values(t, y) {
					sum += g[i] * v
				}
				return sum
			}
			for i := range in {
				for trial := range 6 {
					direction := make([]float64, len(in[i]))
					if trial < 3 {
						direction = normal(rng, len(direction))
					} else {
						direction[rng.IntN(len(direction))] = 1
					}
					moved := func(by float64) [][]float64 {
						out := append([][]float64(nil), in...)
						out[i] = append([]float64(nil), in[i]...)
						for k, d := range direction {
							out[i][k] += by * d
						}
						return out
					}
					var want, size float64
					for k, d := range direction {
						want += grads[i][k] * d
						size += math.Abs(grads[i][k] * d)
					}
					got := (loss(moved(h)) - loss(moved(-h))) / (2 * h)
					require.InDelta(t, got, want, 1e-6*(size+1), "input %d, direction %d", i, trial)
				}
			}
		})
	}
}
