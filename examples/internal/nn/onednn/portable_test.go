//go:build onednn

package onednn

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
)

// TestNetworkConvolutions compares the results and gradients of convolutions with those of
// the portable backend in float64, for the channels, kernels and strides that networks use:
// oneDNN chooses different code for different shapes.
func TestNetworkConvolutions(t *testing.T) {
	one, two := [3]int{1, 1, 1}, [3]int{2, 2, 2}
	for _, widths := range [][2]int{{1, 8}, {2, 2}, {3, 16}, {4, 3}, {3, 3}, {6, 3}, {3, 6}, {8, 8}, {16, 16}, {16, 2}, {24, 12}, {32, 64}, {8, 1}} {
		for _, c := range []struct {
			kernel     int
			stride     [3]int
			transposed bool
		}{{1, one, false}, {3, one, false}, {5, one, false}, {3, two, false}, {2, two, false}, {3, [3]int{2, 2, 1}, false}, {3, two, true}, {2, two, true}} {
			for _, batch := range []int{1, 2} {
				t.Run(fmt.Sprintf("%d×%d-%d,k%d,s%v,transposed=%v", batch, widths[0], widths[1], c.kernel, c.stride, c.transposed), func(t *testing.T) {
					spec := nn.ConvSpec{Stride: c.stride, Padding: [3]int{c.kernel / 2, c.kernel / 2, c.kernel / 2}}
					if c.kernel == 2 {
						spec.Padding = [3]int{}
					}
					if c.transposed && c.kernel == 3 {
						spec.OutputPadding = one
					}
					weight := []int{widths[1], widths[0], c.kernel, c.kernel, c.kernel}
					if c.transposed {
						weight[0], weight[1] = weight[1], weight[0]
					}
					fast, err := New(nn.Float32, Config{})
					require.NoError(t, err)
					exact, err := portable.New(nn.Float64)
					require.NoError(t, err)
					x := []int{batch, widths[0], 12, 16, 18}
					want, got := convolve(t, exact, x, weight, spec, c.transposed, nil), convolve(t, fast, x, weight, spec, c.transposed, nil)
					for i, what := range []string{"y", "gx", "gw", "gb"} {
						tolerance := 1e-5
						if c.kernel == 5 {
							tolerance = 1.5e-5 // filters of seven points per axis
						}
						if what == "gb" {
							tolerance = 1e-4 // a sum of values of both signs
						}
						assert.LessOrEqual(t, nntest.RelativeError(want[i], got[i]), tolerance, what)
					}
				})
			}
		}
	}
}

// convolve returns a convolution of random values and its three gradients. change, if not
// nil, may modify the input.
func convolve(t testing.TB, b nn.Backend, x, weight []int, spec nn.ConvSpec, transposed bool, change func([]float32)) (all [][]float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	put := func(change func([]float32), shape ...int) nn.Array {
		values := make([]float32, nn.Elements(shape))
		for i := range values {
			values[i] = float32(rng.NormFloat64())
		}
		if change != nil {
			change(values)
		}
		a, err := b.FromHost(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values)), nn.Step)
		require.NoError(t, err)
		return a
	}
	op, out := b.Conv3D, weight[0]
	if transposed {
		op, out = b.ConvTranspose3D, weight[1]
	}
	y, pullback, err := op(put(change, x...), put(nil, weight...), put(nil, out), spec)
	require.NoError(t, err)
	grads, err := pullback(put(nil, y.Shape()...), []bool{true, true, true})
	require.NoError(t, err)
	for _, a := range append([]nn.Array{y}, grads...) {
		d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(a.Shape()...))
		require.NoError(t, b.ToHost(a, d))
		all = append(all, d.Data().([]float64))
	}
	b.EndStep()
	return all
}
