package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

func TestAboveKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		checkAboveKernels[float32](t, &impl)
		checkAboveKernels[float64](t, &impl)
	})
}

func checkAboveKernels[T real](t *testing.T, impl *kernels) {
	r := rand.New(rand.NewPCG(2, 7))
	inf := T(math.Inf(1))
	for words := range 4 {
		for offset := range 3 {
			of, dst := make([]T, 64*words+offset)[offset:], make([]T, 64*words+offset)[offset:]
			for i := range of {
				dst[i] = T(r.NormFloat64())
				if of[i] = T(r.IntN(7) - 3); r.IntN(4) == 0 {
					of[i] = T(hostile[r.IntN(len(hostile))])
				}
			}
			for _, limits := range [][2]T{{0, 0}, {1, 2.5}, {-1, -1}, {-2, inf}, {-inf, inf}, {-inf, -inf}, {inf, inf}, {-1e-45, 1e-45}} {
				wantAbove, wantWithin, wantKept := make([]uint64, words), make([]uint64, words), slices.Clone(dst)
				for i, v := range of {
					if v > limits[1] {
						wantAbove[i/64] |= 1 << (i % 64)
					}
					if v < limits[0] {
						wantKept[i] = 0
					} else {
						wantWithin[i/64] |= 1 << (i % 64)
					}
				}
				above, within, kept := make([]uint64, words+1), make([]uint64, words+1), append(slices.Clone(dst), 7)
				above[words], within[words] = 12345, 54321
				packAbove(impl, above[:words], within[:words], of, &limits)
				keepFrom(impl, kept[:64*words], of, &limits[0])
				what := fmt.Sprintf("%T, %d words, limits %v", of, words, limits)
				require.Equal(t, append(wantAbove, 12345), above, what)
				require.Equal(t, append(wantWithin, 54321), within, what)
				require.Equal(t, append(wantKept, 7), kept, what)
			}
		}
	}
}

// aboveCase is a cross-entropy by softmax on a batch of two samples, some of whose voxels are
// ignored.
type aboveCase struct {
	c                 int
	class             []float64 // weights
	voxel, smooth     bool
	extremeFloat32    bool // weights that products of float32 with may overflow
	valueOnly, ignore bool
}

func (a aboveCase) batch(double bool) (*plan.Batch, *plan.Plan) {
	const n, v = 2, 1501
	r := rand.New(rand.NewPCG(5, 5))
	label, weights := make([]uint8, n*v), make([]float64, n*v)
	for i := range label {
		if label[i], weights[i] = uint8(r.IntN(a.c)), float64(r.IntN(4)); a.ignore && r.IntN(5) == 0 {
			label[i] = noClass
		}
		if a.extremeFloat32 {
			weights[i] *= 0x1p-70
		}
	}
	wide, narrow := make([]float64, n*a.c*v), make([]float32, n*a.c*v)
	for i := range wide {
		narrow[i] = float32(2 * r.NormFloat64())
		wide[i] = float64(narrow[i])
	}
	shape := tensor.WithShape(n, a.c, v)
	b := &plan.Batch{N: n, C: a.c, V: v, Space: [3]int{1, 1, v}, Logits: tensor.New(shape, tensor.WithBacking(wide)),
		Target: plan.Target{Tensor: tensor.New(tensor.WithShape(n, v), tensor.WithBacking(label)), Argument: "target", HasIgnore: a.ignore, Ignore: noClass}}
	if !double {
		b.Logits = tensor.New(shape, tensor.WithBacking(narrow))
	}
	if a.voxel {
		b.VoxelWeight = tensor.New(tensor.WithShape(n, v), tensor.WithBacking(weights))
	}
	f := &plan.Focal{Activation: plan.Softmax, Gamma: make([]float64, a.c), Pos: a.class, Neg: a.class, CE: a.class, Scale: 1, PerVoxel: true}
	if a.smooth {
		f.Smoothing = 0.1
	}
	return b, (&plan.Loss{Focal: f}).Plan(b, nil)
}

// TestPassAbove compares with the un-reduced cross-entropy in float64, and the kernels of every
// instruction set with each other.
func TestPassAbove(t *testing.T) {
	for _, a := range []aboveCase{
		{c: 2, class: []float64{1, 3}}, {c: 2, class: []float64{0, 2}, ignore: true}, {c: 2, class: []float64{1, 3}, voxel: true},
		{c: 2, class: []float64{1, 1}, smooth: true, ignore: true}, {c: 2, class: []float64{1, 3}, valueOnly: true},
		{c: 3, class: []float64{1, 1, 1}}, {c: 3, class: []float64{1, 2, 0.5}, ignore: true}, {c: 3, class: []float64{1, 2, 0.5}, valueOnly: true},
		{c: 3, class: []float64{1, 2, 0.5}, voxel: true, ignore: true}, {c: 4, class: []float64{1, 1, 1, 1}, smooth: true},
		{c: 3, class: []float64{1, 2, 0.5}, voxel: true, extremeFloat32: true},
	} {
		t.Run(fmt.Sprintf("%+v", a), func(t *testing.T) {
			b, p := a.batch(true)
			each, full := make([]float64, b.N*b.V), make([]float64, b.N*b.C*b.V)
			out := &plan.Output{Elements: tensor.New(tensor.WithShape(b.N, b.V), tensor.WithBacking(each)), Grad: tensor.New(tensor.WithShape(b.N, b.C, b.V), tensor.WithBacking(full))}
			_, err := Backend{}.Gradient(b, p, out)
			require.NoError(t, err)
			checkPassAbove[float64](t, a, each, full)
			checkPassAbove[float32](t, a, each, full)
		})
	}
}

func checkPassAbove[T real](t *testing.T, a aboveCase, each, full []float64) {
	b, p := a.batch(!isFloat32[T]())
	p.Pointwise.Scale = 0.25 // of the gradient
	label := b.Target.Tensor.Data().([]uint8)
	sorted := slices.Sorted(slices.Values(each))
	// Limits where rounding to float32 decides on no voxel.
	gap := func(i int) T {
		for sorted[i+1]-sorted[i] < 1e-4*sorted[i] || sorted[i] == 0 {
			i++
		}
		return T((sorted[i] + sorted[i+1]) / 2)
	}
	low, high := gap(len(each)/2), gap(3*len(each)/4)
	var sum float64
	var above int
	var listed []uint32
	want := make([]float64, len(full))
	for i, e := range each {
		ignored := a.ignore && label[i] == noClass
		if T(e) > high {
			sum += e
			above++
		} else if T(e) >= low && !ignored {
			listed = append(listed, uint32(i))
		}
		for c := range b.C {
			if at := (i/b.V*b.C+c)*b.V + i%b.V; T(e) >= low {
				want[at] = full[at] / 4
			}
		}
	}
	accuracy, scale := 1e-13, sorted[len(sorted)-1]
	if isFloat32[T]() {
		accuracy = 3e-6
	}
	var first []T // of the sums, elements and gradients
	for _, impl := range available {
		pass := &Above[T]{Batch: b, Plan: p, Low: low, High: high}
		got := make([]T, len(full))
		for i := range got {
			got[i] = canary
		}
		if !a.valueOnly {
			pass.Grad = tensor.New(tensor.WithShape(b.N, b.C, b.V), tensor.WithBacking(got))
		}
		all := []T{}
		for range 2 { // the second time in memory that has been used
			sums, err := PassAbove(Backend{forced: &impl}, pass)
			require.NoError(t, err)
			require.True(t, sums.Finite)
			require.Equal(t, above, sums.Above)
			require.InEpsilon(t, sum, sums.Sum, accuracy)
			var at []uint32
			all = append(all[:0], T(sums.Sum))
			for _, list := range pass.Listed {
				at, all = append(at, list.At...), append(all, list.Values...)
			}
			require.Equal(t, listed, at)
			for j, i := range at {
				require.InDelta(t, each[i], float64(all[1+j]), accuracy*scale)
			}
		}
		if !a.valueOnly {
			for i, w := range want {
				require.InDelta(t, w, float64(got[i]), accuracy*scale, "gradient at %d", i)
				require.False(t, w == 0 && got[i] != 0)
			}
			all = append(all, got...)
		}
		if first == nil {
			first = all
		}
		require.True(t, sameBits(t, first, all, impl.name))
	}
}

// Elements that are not numbers in the range of the logits' type are found out, whatever limits.
func TestPassAboveNotFinite(t *testing.T) {
	for _, c := range []int{2, 3} {
		for _, odd := range []float64{math.NaN(), math.Inf(1), 3e38} {
			for _, limits := range [][2]float64{{1, 2}, {math.Inf(-1), math.Inf(1)}, {math.Inf(-1), math.Inf(-1)}} {
				a := aboveCase{c: c, class: []float64{1, 4, 4}[:c]}
				b, p := a.batch(false)
				x, label := b.Logits.Data().([]float32), b.Target.Tensor.Data().([]uint8)
				label[700] = 1
				x[700] = float32(odd)
				sums, err := PassAbove(Backend{}, &Above[float32]{Batch: b, Plan: p, Low: float32(limits[0]), High: float32(limits[1])})
				require.NoError(t, err)
				require.False(t, sums.Finite, "%d channels, %v, %v", c, odd, limits)

				b, p = a.batch(true)
				b.Logits.Data().([]float64)[700] = odd
				b.Target.Tensor.Data().([]uint8)[700] = 1
				sums, err = PassAbove(Backend{}, &Above[float64]{Batch: b, Plan: p, Low: limits[0], High: limits[1]})
				require.NoError(t, err)
				require.Equal(t, odd == 3e38, sums.Finite, "%d channels, %v, %v", c, odd, limits)
			}
		}
	}
}
