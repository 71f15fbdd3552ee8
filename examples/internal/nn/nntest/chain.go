package nntest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// Chain is a norm and what networks put behind it, which backends may compute in one pass:
// Post(Act(Norm(x)) + residual).
type Chain struct {
	Shape    []int
	Norm     string // batch, fixed (a batch norm in inference), group or instance (without weights)
	Act      string // none, ReLU, ELU, Sigmoid, PReLU/1 or PReLU/C
	Residual string // none, volume or norm (the instance norm of a volume)
	Post     string // as Act, without PReLU
}

// String returns the name of a test.
func (c Chain) String() string {
	return fmt.Sprintf("%v/%s,%s,%s,%s", c.Shape, c.Norm, c.Act, c.Residual, c.Post)
}

// Chains returns all chains of activations and residuals, with norms and shapes in turn.
func Chains() []Chain {
	shapes := [][]int{{2, 3, 5, 1, 7}, {1, 6, 4, 3, 11}, {2, 1, 9, 5, 7}}
	norms := []string{"batch", "fixed", "group", "instance"}
	functions := []string{"none", "ReLU", "ELU", "Sigmoid"}
	var all []Chain
	for _, act := range append(functions, "PReLU/1", "PReLU/C") {
		for _, residual := range []string{"none", "volume", "norm"} {
			posts := functions
			if residual == "none" {
				posts = functions[:1]
			}
			for _, post := range posts {
				all = append(all, Chain{shapes[len(all)%len(shapes)], norms[len(all)%len(norms)], act, residual, post})
			}
		}
	}
	return all
}

// Values are the operands of a chain and the gradient of its result.
type Values struct{ X, Residual, Weight, Bias, Slope, G []float64 }

// Values returns normally distributed operands.
func (c Chain) Values(rng *rand.Rand) Values {
	n, channels := elements(c.Shape), c.Shape[1]
	slopes := 1
	if c.Act == "PReLU/C" {
		slopes = channels
	}
	return Values{normal(rng, n), normal(rng, n), normal(rng, channels), normal(rng, channels), normal(rng, slopes), normal(rng, n)}
}

// Results returns the result of a chain and the gradients of its operands, by name. With stored
// set, every intermediate result is read before the next operation, so that no operation can be
// computed together with the next.
func (c Chain) Results(t *testing.T, b nn.Backend, v Values, stored bool) map[string][]float64 {
	t.Helper()
	defer b.EndStep()
	s := suite{b}
	read := func(a nn.Array) nn.Array {
		if stored {
			s.values(t, a)
		}
		return a
	}
	result := func(y nn.Array, pullback nn.Pullback, err error) (nn.Array, func(g nn.Array, need ...bool) []nn.Array) {
		t.Helper()
		require.NoError(t, err)
		return read(y), func(g nn.Array, need ...bool) []nn.Array {
			t.Helper()
			grads, err := pullback(g, need)
			require.NoError(t, err)
			for i, a := range grads {
				require.Equal(t, need[i], a != nil)
				if a != nil {
					read(a)
				}
			}
			return grads
		}
	}
	channels := c.Shape[1]
	one := s.array(t, []float64{1}, 1)
	x, r := s.array(t, v.X, c.Shape...), s.array(t, v.Residual, c.Shape...)
	// Volumes of a network are results of operations.
	x, _ = result(b.PReLU(x, one))
	r, _ = result(b.PReLU(r, one))
	w, bias := s.array(t, v.Weight, channels), s.array(t, v.Bias, channels)
	running := func(value float64) nn.Array {
		d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(channels))
		require.NoError(t, d.Memset(value))
		a, err := b.FromHost(d, nn.Step)
		require.NoError(t, err)
		return a
	}

	var z nn.Array
	var back func(g nn.Array, need ...bool) []nn.Array
	switch c.Norm {
	case "batch", "fixed":
		z, back = result(b.BatchNorm(x, w, bias, running(0.25), running(1.5), nn.BatchNormSpec{Training: c.Norm == "batch", Epsilon: 1e-5, Momentum: 0.1}))
	case "group":
		groups := channels
		if channels%3 == 0 {
			groups = channels / 3
		}
		z, back = result(b.GroupNorm(x, w, bias, groups, 1e-5))
	default:
		z, back = result(b.GroupNorm(x, nil, nil, channels, 1e-5))
	}
	all := map[string][]float64{}
	normGradient := back
	back = func(g nn.Array, _ ...bool) []nn.Array {
		weighted := c.Norm != "instance"
		grads := normGradient(g, true, weighted, weighted)
		all["x"] = s.values(t, grads[0])
		if weighted {
			all["weight"], all["bias"] = s.values(t, grads[1]), s.values(t, grads[2])
		}
		return nil
	}
	functions := map[string]nn.Activation{"ReLU": nn.ReLU, "ELU": nn.ELU, "Sigmoid": nn.Sigmoid}
	activate := func(y nn.Array, name string, back func(g nn.Array, need ...bool) []nn.Array) (nn.Array, func(g nn.Array, need ...bool) []nn.Array) {
		switch name {
		case "none":
			return y, back
		case "PReLU/1", "PReLU/C":
			a, gradient := result(b.PReLU(y, s.array(t, v.Slope, len(v.Slope))))
			return a, func(g nn.Array, _ ...bool) []nn.Array {
				grads := gradient(g, true, true)
				all["slope"] = s.values(t, grads[1])
				return back(grads[0])
			}
		}
		a, gradient := result(b.Activate(y, functions[name]))
		return a, func(g nn.Array, _ ...bool) []nn.Array { return back(gradient(g, true)[0]) }
	}
	y, back := activate(z, c.Act, back)
	if c.Residual != "none" {
		q, residualBack := r, func(g nn.Array, _ ...bool) []nn.Array { return []nn.Array{g, nil, nil} }
		if c.Residual == "norm" {
			q, residualBack = result(b.GroupNorm(r, nil, nil, channels, 1e-5))
		}
		main := back
		sum, gradient := result(b.Add(y, q))
		y, back = activate(sum, c.Post, func(g nn.Array, _ ...bool) []nn.Array {
			grads := gradient(g, true, true)
			all["residual"] = s.values(t, residualBack(grads[1], true, false, false)[0])
			return main(grads[0])
		})
	}
	all["y"] = s.values(t, y)
	back(s.array(t, v.G, c.Shape...))
	return all
}

// chains requires the same results whether or not intermediate results are read.
func (s suite) chains(t *testing.T) {
	for i, c := range Chains() {
		v := c.Values(rand.New(rand.NewPCG(21, uint64(i))))
		want, got := c.Results(t, s.Backend, v, true), c.Results(t, s.Backend, v, false)
		require.Len(t, got, len(want))
		tolY, tolG := s.tolerance()
		for name := range want {
			tolerance := tolG
			if name == "y" {
				tolerance = tolY
			}
			require.LessOrEqual(t, RelativeError(want[name], got[name]), tolerance, "%v: %s", c, name)
		}
	}
}
