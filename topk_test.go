package afl_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// TestTopKOfManyVoxels compares with a sort of the un-reduced cross-entropy, on more voxels
// than are selected from without a sample: ties, of which the first are taken, and a period
// that the sample may fall in with.
func TestTopKOfManyVoxels(t *testing.T) {
	const n, v = 2, 20001
	r := rand.New(rand.NewPCG(13, 14))
	draws := map[string]func(i int) float64{
		"ties":     func(int) float64 { return float64(r.IntN(3)) },
		"distinct": func(int) float64 { return r.NormFloat64() },
		"periodic": func(i int) float64 { return r.NormFloat64() + 4*float64(i%19/18) },
	}
	for name, draw := range draws {
		for _, weight := range [][]float64{{1, 1}, {1, 3}, {1, 2, 2}} {
			c := len(weight)
			for _, ignore := range []bool{false, true} {
				wide, narrow, label := make([]float64, n*c*v), make([]float32, n*c*v), make([]uint8, n*v)
				for i := range wide {
					narrow[i] = float32(draw(i))
					wide[i] = float64(narrow[i])
				}
				for i := range label {
					if label[i] = uint8(r.IntN(c)); ignore && r.IntN(3) == 0 {
						label[i] = 255
					}
				}
				l, ce := afl.NewTopKCrossEntropy(), afl.NewCrossEntropy()
				l.K, l.ValidOnly = 7, ignore
				ce.Reduction, ce.Weight, l.Weight = afl.ReduceNone, weight, weight
				if ignore {
					l.IgnoreIndex, ce.IgnoreIndex = afl.Ignore(255), afl.Ignore(255)
				}
				target := tensor.New(tensor.WithShape(n, 1, v), tensor.WithBacking(label))
				shape := tensor.WithShape(n, c, 1, v)
				logits := tensor.New(shape, tensor.WithBacking(wide))
				each := tensor.New(shape, tensor.Of(tensor.Float64))
				elements, err := ce.Eval(logits, target, each)
				require.NoError(t, err)
				var order []int
				for i, y := range label {
					if y != 255 {
						order = append(order, i)
					}
				}
				e := elements.Data().([]float64)
				slices.SortStableFunc(order, func(a, b int) int {
					if d := e[b] - e[a]; math.Abs(d) > 1e-12 { // else a tie
						return int(math.Copysign(1, d))
					}
					return 0
				})
				m := len(order) * 7 / 100
				value, grad := 0.0, make([]float64, len(wide))
				for _, i := range order[:m] {
					value += e[i] / float64(m)
					for ch := range c {
						at := (i/v*c+ch)*v + i%v
						grad[at] = each.Data().([]float64)[at] / float64(m)
					}
				}
				what := fmt.Sprintf("%s, weights %v, ignored %v", name, weight, ignore)
				got, gotGrad, err := afl.Grad(l, logits, target)
				require.NoError(t, err)
				require.InDelta(t, value, got, 1e-12*value, what)
				requireNear(t, grad, gotGrad.Data().([]float64), 1e-15, what)
				got, gotGrad, err = afl.Grad(l, tensor.New(shape, tensor.WithBacking(narrow)), target)
				require.NoError(t, err)
				require.InDelta(t, value, got, 1e-5*value, what)
				if name == "ties" { // else rounding decides between almost equal elements
					requireNear(t, grad, gotGrad.Data().([]float32), 1e-9, what)
				}
			}
		}
	}
}

func requireNear[T float32 | float64](t *testing.T, want []float64, got []T, within float64, what string) {
	t.Helper()
	require.Len(t, got, len(want))
	for i, w := range want {
		if !(math.Abs(w-float64(got[i])) <= within) {
			require.Failf(t, "gradient", "%s: entry %d is %v, want %v", what, i, got[i], w)
		}
	}
}

// An element that is infinite, or not a number, is the largest: the value says so, also without
// a gradient.
func TestTopKOfElementsThatAreNotFinite(t *testing.T) {
	target := tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking([]uint8{1, 1, 0, 1}))
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, margin := range []float64{math.Inf(1), math.NaN()} {
			numbers := []float64{margin, 1, 2, 3, -margin, 5, 6, 7}
			logits := losstest.Floats(dt, []int{1, 2, 2, 2}, func(i int) float64 { return numbers[i] })
			grad := tensor.New(tensor.WithShape(1, 2, 2, 2), tensor.Of(dt))
			for _, g := range []*tensor.Dense{nil, grad} {
				value, err := afl.NewTopKCrossEntropy().Eval(logits, target, g)
				require.NoError(t, err)
				got := losstest.Numbers(t, value)[0]
				assert.True(t, math.IsInf(margin, 1) && math.IsInf(got, 1) || math.IsNaN(margin) && math.IsNaN(got), "%v: %v of %v", dt, got, margin)
			}
		}
	}
}

// Margins of −∞, whose elements are 0, count as others do.
func TestTopKOfInfiniteMargins(t *testing.T) {
	const v = 9000
	x, label := make([]float32, 2*v), make([]uint8, v)
	for i := range v {
		x[i], x[v+i] = 1, float32(math.Inf(-1))
		if i%100 == 0 {
			x[v+i] = float32(i%7) - 3
		}
	}
	shape := tensor.WithShape(1, 2, 1, v)
	logits, target := tensor.New(shape, tensor.WithBacking(x)), tensor.New(tensor.WithShape(1, 1, v), tensor.WithBacking(label))
	for _, k := range []float64{0.5, 2, 40} {
		l := afl.NewTopKCrossEntropy()
		l.K = k
		var elements []float64
		for i := 0; i < v; i += 100 {
			elements = append(elements, math.Log1p(math.Exp(float64(i%7)-4)))
		}
		slices.SortFunc(elements, func(a, b float64) int { return cmp.Compare(b, a) })
		m, want := int(v*k/100), 0.0
		for _, e := range elements[:min(m, len(elements))] {
			want += e / float64(m)
		}
		value, grad, err := afl.Grad(l, logits, target)
		require.NoError(t, err)
		require.InEpsilon(t, want, value, 1e-6, "%v %%", k)
		for _, g := range grad.Data().([]float32) {
			require.False(t, g != g || math.IsInf(float64(g), 0))
		}
	}
}

// Elements of 0, of a class or of voxels without weight, are as many as it takes, and add nothing.
func TestTopKOfZeros(t *testing.T) {
	const v = 20001
	r := rand.New(rand.NewPCG(3, 5))
	label, weight := make([]uint8, v), make([]float32, v)
	for i := range label {
		if i%40 == 7 {
			label[i], weight[i] = 1, 1+float32(i%3)
		}
	}
	target := tensor.New(tensor.WithShape(1, 1, v), tensor.WithBacking(label))
	voxelWeight := afl.WithVoxelWeight(tensor.New(tensor.WithShape(1, 1, v), tensor.WithBacking(weight)))
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, channels := range []int{2, 3} {
			logits := losstest.Floats(dt, []int{1, channels, 1, v}, func(int) float64 { return r.NormFloat64() })
			for _, k := range []float64{1, 2.5, 10, 99} {
				for _, byClass := range []bool{false, true} {
					l, ce := afl.NewTopKCrossEntropy(), afl.NewCrossEntropy()
					l.K, ce.Reduction = k, afl.ReduceNone
					var opts []afl.EvalOption
					if byClass {
						l.Weight = []float64{0, 1, 1}[:channels]
						ce.Weight = l.Weight
					} else {
						opts = append(opts, voxelWeight)
					}
					each := tensor.New(tensor.Of(dt), tensor.WithShape(1, channels, 1, v))
					elements, err := ce.Eval(logits, target, each, opts...)
					require.NoError(t, err)
					e, slopes, order := losstest.Numbers(t, elements), losstest.Numbers(t, each), make([]int, v)
					for i := range order {
						order[i] = i
					}
					slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(e[b], e[a]) })
					m, value := int(v*k/100), 0.0
					want := make([]float64, channels*v)
					for _, i := range order[:m] {
						value += e[i] / float64(m)
						for c := range channels {
							want[c*v+i] = slopes[c*v+i] / float64(m)
						}
						if e[i] == 0 {
							break // as all that follow
						}
					}
					what := fmt.Sprintf("%v, %d channels, %v %%, by class %v", dt, channels, k, byClass)
					grad := losstest.NaNs(dt, 1, channels, 1, v)
					got, err := l.Eval(logits, target, grad, opts...)
					require.NoError(t, err)
					tolerance := map[tensor.Dtype]float64{tensor.Float32: 1e-6, tensor.Float64: 1e-13}[dt]
					require.InEpsilon(t, value, losstest.Numbers(t, got)[0], tolerance, what)
					requireNear(t, want, losstest.Numbers(t, grad), tolerance/float64(m), what)
				}
			}
		}
	}
}
