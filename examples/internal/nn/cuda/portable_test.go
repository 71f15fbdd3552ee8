//go:build cgo && linux && (amd64 || arm64)

package cuda_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
)

// operand is an argument of an operation.
type operand struct {
	shape  []int
	values []float64
}

// operation is an operation with its arguments.
type operation struct {
	name string
	in   []operand
	run  func(b nn.Backend, in []nn.Array) (nn.Array, nn.Pullback, error)
}

// fromHost copies operands to a backend.
func fromHost(t *testing.T, b nn.Backend, in []operand) []nn.Array {
	t.Helper()
	arrays := make([]nn.Array, len(in))
	for i, x := range in {
		arrays[i] = upload(t, b, x.values, x.shape...)
	}
	return arrays
}

// results returns the result of an operation and the gradients of its arguments.
func (o operation) results(t *testing.T, b nn.Backend) [][]float64 {
	t.Helper()
	defer b.EndStep()
	y, pullback, err := o.run(b, fromHost(t, b, o.in))
	require.NoError(t, err)
	g := operand{shape: y.Shape(), values: around(rand.New(rand.NewPCG(1, 2)), nn.Elements(y.Shape()), 0.3)}
	need := make([]bool, len(o.in))
	for i := range need {
		need[i] = true
	}
	all := [][]float64{download(t, b, y)}
	grads, err := pullback(fromHost(t, b, []operand{g})[0], need)
	require.NoError(t, err)
	for _, a := range grads {
		all = append(all, download(t, b, a))
	}
	return all
}

// around returns n normally distributed values around a mean, exact in float32.
func around(rng *rand.Rand, n int, mean float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(float32(mean + rng.NormFloat64()))
	}
	return v
}

// operations returns operations on volumes of several blocks, for which channels do or do not
// fill them.
func operations() []operation {
	rng := rand.New(rand.NewPCG(3, 4))
	of := func(mean float64, shape ...int) operand { return operand{shape, around(rng, nn.Elements(shape), mean)} }
	var all []operation
	for _, shape := range [][]int{{2, 1, 33, 17, 9}, {1, 3, 31, 9, 11}, {2, 40, 7, 5, 3}, {1, 255, 3, 5, 1}, {2, 301, 3, 1, 5}} {
		c := shape[1]
		one := append([]int(nil), shape...)
		one[1] = 1
		// Means far from 0, of which the variance is a small part.
		far := of(300, shape...)
		for _, groups := range map[int][]int{1: {1}, 3: {1, 3}, 40: {4, 40}, 255: {5}, 301: {7, 301}}[c] {
			all = append(all, operation{fmt.Sprintf("GroupNorm/%v/%d", shape, groups), []operand{far, of(1, c), of(0, c)}, func(b nn.Backend, in []nn.Array) (nn.Array, nn.Pullback, error) {
				return b.GroupNorm(in[0], in[1], in[2], groups, 1e-5)
			}})
		}
		all = append(all,
			operation{fmt.Sprintf("BatchNorm/%v", shape), []operand{far, of(1, c), of(0, c)}, func(b nn.Backend, in []nn.Array) (nn.Array, nn.Pullback, error) {
				mean, err := b.Zeros([]int{c})
				if err != nil {
					return nil, nil, err
				}
				variance, err := b.Zeros([]int{c})
				if err != nil {
					return nil, nil, err
				}
				return b.BatchNorm(in[0], in[1], in[2], mean, variance, nn.BatchNormSpec{Training: true, Epsilon: 1e-5, Momentum: 0.1})
			}},
			operation{fmt.Sprintf("PReLU/one/%v", shape), []operand{of(0, shape...), of(0, 1)}, func(b nn.Backend, in []nn.Array) (nn.Array, nn.Pullback, error) {
				return b.PReLU(in[0], in[1])
			}},
			operation{fmt.Sprintf("PReLU/%v", shape), []operand{of(0, shape...), of(0, c)}, func(b nn.Backend, in []nn.Array) (nn.Array, nn.Pullback, error) {
				return b.PReLU(in[0], in[1])
			}},
			operation{fmt.Sprintf("Gate/%v", shape), []operand{of(0, shape...), of(0, one...)}, func(b nn.Backend, in []nn.Array) (nn.Array, nn.Pullback, error) {
				return b.Gate(in[0], in[1])
			}},
			operation{fmt.Sprintf("Resize/%v", shape), []operand{of(0, shape...)}, func(b nn.Backend, in []nn.Array) (nn.Array, nn.Pullback, error) {
				return b.Resize(in[0], [3]int{shape[2] + 1, shape[3], max(1, shape[4]/2)}, nn.Linear)
			}},
			operation{fmt.Sprintf("MaxPool3D/%v", shape), []operand{of(0, shape...)}, func(b nn.Backend, in []nn.Array) (nn.Array, nn.Pullback, error) {
				return b.MaxPool3D(in[0], nn.PoolSpec{Kernel: [3]int{3, 1, 1}, Stride: [3]int{2, 1, 1}, Padding: [3]int{1, 0, 0}})
			}},
			operation{fmt.Sprintf("Dropout3D/%v", shape), []operand{of(0, shape...)}, func(b nn.Backend, in []nn.Array) (nn.Array, nn.Pullback, error) {
				return b.Dropout3D(in[0], 0.4, 7)
			}},
			operation{fmt.Sprintf("Mean/%v", shape), []operand{of(0, shape...), of(0, shape...), of(0, shape...), of(0, shape...), of(0, shape...), of(0, shape...), of(0, shape...), of(0, shape...), of(0, shape...)},
				func(b nn.Backend, in []nn.Array) (nn.Array, nn.Pullback, error) { return b.Mean(in...) }},
		)
	}
	return all
}

// TestOperations compares operations with those of the portable backend in float64, in memory
// that was used before, and requires the same bits when it is repeated: the emulator changes
// the order of blocks and threads.
func TestOperations(t *testing.T) {
	b, engine := emulated.Open(t)
	reference, err := portable.New(nn.Float64)
	require.NoError(t, err)
	for _, o := range operations() {
		t.Run(o.name, func(t *testing.T) {
			poison(t, b)
			want, got := o.results(t, reference), o.results(t, b)
			require.Len(t, got, len(want))
			for i := range want {
				// The mean of 300 leaves 16 bits for the values around it.
				assert.LessOrEqual(t, nntest.RelativeError(want[i], got[i]), 1e-5, "result %d", i)
			}
			assert.Equal(t, got, o.results(t, b))
		})
	}
	b.EndStep()
	assert.Less(t, engine.Memory().InUse, int64(1<<20), "EndStep has released everything but tables of taps")
}

// TestHostileValues checks that NaN and infinity go where they do on the CPU.
func TestHostileValues(t *testing.T) {
	b, _ := emulated.Open(t)
	reference, err := portable.New(nn.Float32)
	require.NoError(t, err)
	shape := []int{2, 3, 3, 5, 7}
	for _, o := range operations() {
		if len(o.in[0].shape) != 5 || o.in[0].shape[1] != 3 {
			continue
		}
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 3e38} {
			x := operand{shape, around(rand.New(rand.NewPCG(5, 6)), nn.Elements(shape), 0)}
			x.values[40], x.values[129] = bad, bad
			in := append([]operand{x}, o.in[1:]...)
			for i := range in {
				if len(in[i].shape) == 5 && i > 0 {
					in[i] = operand{append([]int{2, in[i].shape[1]}, shape[2:]...), nil}
					in[i].values = around(rand.New(rand.NewPCG(7, 8)), nn.Elements(in[i].shape), 0)
				}
			}
			run := func(b nn.Backend) []float64 {
				defer b.EndStep()
				y, _, err := o.run(b, fromHost(t, b, in))
				require.NoError(t, err)
				return download(t, b, y)
			}
			want, got := run(reference), run(b)
			require.Len(t, got, len(want))
			for i := range want {
				if math.IsNaN(want[i]) != math.IsNaN(got[i]) || math.IsInf(want[i], 0) != math.IsInf(got[i], 0) {
					t.Errorf("%s: with %v, element %d is %v, want %v", o.name, bad, i, got[i], want[i])
					break
				}
			}
		}
	}
}
