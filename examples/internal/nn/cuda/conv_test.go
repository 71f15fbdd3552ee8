//go:build cgo && linux && (amd64 || arm64)

package cuda_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
	"github.com/x/afl/examples/internal/nn/nntest"
)

// convolution is a case of the tests: samples of `in` channels to `out` channels, both for a
// convolution and for a transposed one.
type convolution struct {
	samples, in, out int
	size, kernel     [3]int
	spec             nn.ConvSpec
}

func (c convolution) String() string {
	return fmt.Sprintf("%dx%d-%d,%v,k%v,%+v", c.samples, c.in, c.out, c.size, c.kernel, c.spec)
}

func all(n int) [3]int { return [3]int{n, n, n} }

// convolutions reach every kernel by the numbers of channels, and partial tiles, volumes of
// one voxel along an axis, phases without taps, and sums in one or several splits.
var convolutions = []convolution{
	{1, 1, 1, all(1), all(1), nn.ConvSpec{}},
	{2, 1, 33, [3]int{5, 3, 4}, all(3), nn.ConvSpec{Padding: all(1)}},
	{1, 2, 8, [3]int{9, 7, 5}, all(7), nn.ConvSpec{Stride: all(2), Padding: all(3)}},
	{2, 3, 16, [3]int{5, 1, 7}, all(3), nn.ConvSpec{Stride: all(2), Padding: all(1)}},
	{1, 4, 24, [3]int{6, 5, 7}, all(5), nn.ConvSpec{Padding: all(2)}},
	{1, 8, 128, [3]int{4, 6, 3}, all(2), nn.ConvSpec{Stride: all(2)}},
	{1, 16, 3, [3]int{7, 1, 9}, all(1), nn.ConvSpec{}},
	{1, 24, 40, [3]int{3, 4, 5}, all(3), nn.ConvSpec{Padding: all(1)}},
	{1, 33, 2, [3]int{6, 5, 4}, [3]int{3, 2, 1}, nn.ConvSpec{Stride: [3]int{3, 1, 2}, Padding: [3]int{2, 0, 1}}},
	{1, 65, 64, [3]int{2, 3, 1}, [3]int{1, 3, 3}, nn.ConvSpec{Padding: [3]int{0, 1, 1}}},
	{1, 128, 4, [3]int{3, 3, 2}, [3]int{2, 1, 2}, nn.ConvSpec{Dilation: [3]int{2, 1, 1}}},
	{1, 5, 6, [3]int{7, 9, 8}, [3]int{2, 3, 4}, nn.ConvSpec{Stride: [3]int{4, 2, 3}, Dilation: [3]int{2, 4, 3}, Padding: [3]int{3, 1, 4}}},
	{1, 4, 12, [3]int{13, 11, 12}, all(1), nn.ConvSpec{}},                                // several tiles of voxels, several ranges of them
	{1, 2, 3, [3]int{12, 2, 3}, [3]int{11, 1, 2}, nn.ConvSpec{Padding: [3]int{2, 0, 1}}}, // by the definition: more than 10 taps along an axis
}

// results are the result of a convolution and the gradients of x, the weight and the bias.
type results [4][]float64

var resultNames = [4]string{"y", "gradient of x", "gradient of the weight", "gradient of the bias"}

// assertNear asserts that the relative error of each result is at most a tolerance.
func (r results) assertNear(t *testing.T, want results, tolerance float64, what string) {
	t.Helper()
	for k, name := range resultNames {
		assert.LessOrEqual(t, nntest.RelativeError(want[k], r[k]), tolerance, "%s: %s", what, name)
	}
}

// adjointError returns by how much a convolution A without its bias violates ⟨Ax, g⟩ = ⟨x, A'g⟩ and,
// as it is linear in the weight too, ⟨Aw, g⟩ = ⟨w, A'g⟩, relative to the sum of the magnitudes of
// the products Ax·g. shape is that of the result.
func (r results) adjointError(shape []int, x, w, bias, g []float64) float64 {
	var want, size, byX, byWeight float64
	voxels := nn.Elements(shape[2:])
	for i, v := range r[0] {
		product := (v - bias[i/voxels%len(bias)]) * g[i]
		want += product
		size += math.Abs(product)
	}
	for i, v := range r[1] {
		byX += v * x[i]
	}
	for i, v := range r[2] {
		byWeight += v * w[i]
	}
	return max(math.Abs(byX-want), math.Abs(byWeight-want)) / size
}

// bfloat16s returns the values without the bits that bfloat16 does not have.
func bfloat16s(values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(math.Float32frombits(math.Float32bits(float32(v)) &^ 0xffff))
	}
	return out
}

func (c convolution) shapes(t *testing.T, transposed bool) (x, weight, y []int) {
	t.Helper()
	spec, err := c.spec.Normalized()
	require.NoError(t, err)
	weight = []int{c.out, c.in, c.kernel[0], c.kernel[1], c.kernel[2]}
	outputSize := spec.OutputSize
	if transposed {
		weight[0], weight[1] = c.in, c.out
		outputSize = spec.TransposedSize
	}
	size, err := outputSize(c.size, c.kernel)
	require.NoError(t, err)
	return append([]int{c.samples, c.in}, c.size[:]...), weight, append([]int{c.samples, c.out}, size[:]...)
}

// operands returns input, weight, bias and the gradient of the result.
func (c convolution) operands(t *testing.T, transposed bool, seed uint64) (x, weight, bias, g []float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, seed))
	xs, ws, ys := c.shapes(t, transposed)
	return uniform(rng, nn.Elements(xs)), uniform(rng, nn.Elements(ws)), uniform(rng, c.out), uniform(rng, nn.Elements(ys))
}

// define computes a convolution and its gradients by the definition, in float64.
func (c convolution) define(t *testing.T, transposed bool, x, weight, bias, g []float64) results {
	xs, ws, ys := c.shapes(t, transposed)
	spec, _ := c.spec.Normalized()
	r := results{make([]float64, len(g)), make([]float64, len(x)), make([]float64, len(weight)), make([]float64, c.out)}
	voxels := nn.Elements(ys[2:])
	for i, v := range g {
		r[0][i] = bias[i/voxels%c.out]
		r[3][i/voxels%c.out] += v
	}
	coarse, fine := ys, xs
	if transposed {
		coarse, fine = xs, ys
	}
	at := func(shape []int, i, j int, p [3]int) int {
		return (((i*shape[1]+j)*shape[2]+p[0])*shape[3]+p[1])*shape[4] + p[2]
	}
	each := func(size []int, f func(p [3]int)) {
		for i := range nn.Elements(size) {
			f([3]int{i / size[2] / size[1], i / size[2] % size[1], i % size[2]})
		}
	}
	each(coarse[2:], func(o [3]int) {
		each(ws[2:], func(tap [3]int) {
			var p [3]int
			for axis := range 3 {
				p[axis] = o[axis]*spec.Stride[axis] + tap[axis]*spec.Dilation[axis] - spec.Padding[axis]
				if p[axis] < 0 || p[axis] >= fine[2+axis] {
					return
				}
			}
			for n := range c.samples {
				for row := range ws[0] {
					for column := range ws[1] {
						w, k, f := at(ws, row, column, tap), at(coarse, n, row, o), at(fine, n, column, p)
						to, from := k, f
						if transposed {
							to, from = f, k
						}
						r[0][to] += weight[w] * x[from]
						r[1][from] += weight[w] * g[to]
						r[2][w] += g[to] * x[from]
					}
				}
			}
		})
	})
	return r
}

// run computes a convolution and its gradients with a backend, whose free memory it fills
// with NaNs first.
func (c convolution) run(t *testing.T, b nn.Backend, transposed bool, x, weight, bias, g []float64) results {
	t.Helper()
	defer b.EndStep()
	poison(t, b)
	xs, ws, ys := c.shapes(t, transposed)
	op := b.Conv3D
	if transposed {
		op = b.ConvTranspose3D
	}
	y, pullback, err := op(upload(t, b, x, xs...), upload(t, b, weight, ws...), upload(t, b, bias, c.out), c.spec)
	require.NoError(t, err)
	require.Equal(t, ys, y.Shape())
	poison(t, b)
	grads, err := pullback(upload(t, b, g, ys...), []bool{true, true, true})
	require.NoError(t, err)
	var r results
	for i, a := range append([]nn.Array{y}, grads...) {
		r[i] = download(t, b, a)
	}
	return r
}

func upload(t *testing.T, b nn.Backend, values []float64, shape ...int) nn.Array {
	t.Helper()
	a, err := b.FromHost(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(slices.Clone(values))), nn.Step)
	require.NoError(t, err)
	return a
}

func download(t *testing.T, b nn.Backend, a nn.Array) []float64 {
	t.Helper()
	d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(a.Shape()...))
	require.NoError(t, b.ToHost(a, d))
	return d.Data().([]float64)
}

// poison fills memory of the sizes that the tests use with NaNs and releases it.
func poison(t *testing.T, b nn.Backend) {
	t.Helper()
	var arrays []nn.Array
	for n := 16; n <= len(nans); n *= 2 {
		for range 2 {
			a, err := b.FromHost(tensor.New(tensor.WithShape(n), tensor.WithBacking(nans[:n])), nn.Step)
			require.NoError(t, err)
			arrays = append(arrays, a)
		}
	}
	for _, a := range arrays {
		b.Release(a)
	}
}

var nans = slices.Repeat([]float32{float32(math.NaN())}, 1<<16)

func uniform(rng *rand.Rand, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(float32(2*rng.Float64() - 1))
	}
	return values
}

// Tolerances, relative to the largest value of a result.
var tolerances = map[cuda.Precision]float64{cuda.Float32: 1e-5, cuda.TF32: 1e-3, cuda.BFloat16: 2e-2}

// Convolutions and their gradients agree with the definition in every precision, and have the
// same bits in every run: the emulator changes the order of blocks and threads and the initial
// contents of shared memory from launch to launch.
func TestConvolutions(t *testing.T) {
	b, _ := emulated.Open(t)
	for _, transposed := range []bool{false, true} {
		for i, c := range convolutions {
			t.Run(fmt.Sprintf("transposed=%v/%v", transposed, c), func(t *testing.T) {
				x, w, bias, g := c.operands(t, transposed, uint64(i))
				_, _, ys := c.shapes(t, transposed)
				want := c.define(t, transposed, x, w, bias, g)
				for _, p := range cuda.Precisions() {
					require.NoError(t, cuda.SetPrecision(b, p))
					got := c.run(t, b, transposed, x, w, bias, g)
					got.assertNear(t, want, tolerances[p], p.String())
					assert.Less(t, got.adjointError(ys, x, w, bias, g), tolerances[p], "%v: adjoints", p)
					switch i % 3 {
					case 0:
						assert.Equal(t, got, c.run(t, b, transposed, x, w, bias, g), "%v: same bits", p)
					case 1:
						// Nothing but the sums is rounded where all factors are bfloat16 numbers.
						x, w, g := bfloat16s(x), bfloat16s(w), bfloat16s(g)
						got := c.run(t, b, transposed, x, w, bias, g)
						assert.Less(t, got.adjointError(ys, x, w, bias, g), 1e-6, "%v: adjoints of bfloat16 numbers", p)
					}
				}
			})
		}
	}
}

// A NaN, in the bit pattern that GPUs produce, reaches all voxels within reach and no other.
func TestConvolutionsKeepNaN(t *testing.T) {
	b, _ := emulated.Open(t)
	x := make([]float32, 8*125)
	x[3*125+62] = math.Float32frombits(0x7fffffff) // the central voxel of channel 3
	w := make([]float32, 4*8*27)
	for i := range w {
		w[i] = 1
	}
	for _, p := range cuda.Precisions() {
		require.NoError(t, cuda.SetPrecision(b, p))
		a, err := b.FromHost(tensor.New(tensor.WithShape(1, 8, 5, 5, 5), tensor.WithBacking(slices.Clone(x))), nn.Step)
		require.NoError(t, err)
		weight, err := b.FromHost(tensor.New(tensor.WithShape(4, 8, 3, 3, 3), tensor.WithBacking(slices.Clone(w))), nn.Step)
		require.NoError(t, err)
		y, _, err := b.Conv3D(a, weight, nil, nn.ConvSpec{Padding: all(1)})
		require.NoError(t, err)
		for i, v := range download(t, b, y) {
			v, voxel := v, i%125
			near := func(k int) bool { return k >= 1 && k <= 3 }
			if near(voxel/25) && near(voxel/5%5) && near(voxel%5) {
				assert.True(t, math.IsNaN(v), "%v: element %d", p, i)
			} else {
				assert.Zero(t, v, "%v: element %d", p, i)
			}
		}
		b.EndStep()
	}
}

func TestSetPrecision(t *testing.T) {
	assert.Equal(t, "[float32 tf32 bfloat16] Precision(9)", fmt.Sprint(cuda.Precisions(), cuda.Precision(9)))
	assert.EqualError(t, cuda.SetPrecision(nil, cuda.TF32), "nn/cuda: backend is <nil>, want one that On or New returned")
	b, _ := emulated.Open(t)
	assert.Equal(t, "cuda", b.Name())
	require.NoError(t, cuda.SetPrecision(b, cuda.BFloat16))
	assert.Equal(t, "cuda/bfloat16", b.Name())
	assert.EqualError(t, cuda.SetPrecision(b, 9), "nn/cuda: precision is Precision(9), want one of [float32 tf32 bfloat16]")
}

// Turing has tensor cores, but not for these precisions.
func TestPrecisionNeedsTensorCores(t *testing.T) {
	l := emulated.Load(t)
	l.Set(t, "major", 7)
	l.Set(t, "minor", 5)
	b, _ := emulated.Open(t)
	for _, p := range []cuda.Precision{cuda.TF32, cuda.BFloat16} {
		assert.ErrorContains(t, cuda.SetPrecision(b, p), p.String()+" needs compute capability 8.0, which Emulated GPU 0 (CUDA device 0, compute capability 7.5")
	}
	assert.NoError(t, cuda.SetPrecision(b, cuda.Float32))
}
