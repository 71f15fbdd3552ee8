package afl_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// TestFloat32 compares every loss on float32 logits with float64 ones of the
// same values, at sizes around those that the kernels work in.
func TestFloat32(t *testing.T) {
	var sizes []int
	for n := 1; n <= 70; n++ {
		sizes = append(sizes, n)
	}
	sizes = append(sizes, 255, 257, 1023, 1025, 3001)
	if testing.Short() {
		sizes = []int{1, 17, 64, 70, 1025}
	}
	worst := 0.0
	for _, v := range variants() {
		if takesProbabilities(v.loss) {
			continue
		}
		for _, c := range v.channels {
			for s, n := range sizes {
				if !testing.Short() && s%5 != len(v.name)%5 && n < 1023 { // a fifth of the sizes for each loss
					continue
				}
				shape := []int{2, c, 1, n}
				logits := randomLogits(tensor.Float32, shape, uint64(n))
				labels := randomLabels(shape, max(c, 2), uint64(n))
				l := v.loss
				if n%2 == 0 {
					y := labels.Data().([]uint8)
					for i := 0; i < len(y); i += 3 {
						y[i] = 255
					}
					l = setOptions(l, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
				}
				name := fmt.Sprintf("%s, C=%d, %d voxels", v.name, c, n)
				x := numbers(t, logits)
				wide := floats(tensor.Float64, shape, func(i int) float64 { return x[i] })
				want, wantGrad, err := afl.Grad(l, wide, labels)
				require.NoError(t, err, name)
				got, grad, err := afl.Grad(l, logits, labels)
				require.NoError(t, err, name)
				alone, err := afl.Value(l, logits, labels)
				require.NoError(t, err, name)
				assert.Equal(t, math.Float64bits(got), math.Float64bits(alone), "%s: the value depends on the gradient", name)
				near(t, name, []float64{want}, []float64{got}, 2e-6, 1e-7, 0)
				near(t, name, numbers(t, wantGrad), numbers(t, grad), 5e-6, 0, 1e-6)
				if n > 1000 && want != 0 {
					worst = max(worst, math.Abs(got-want)/math.Abs(want))
				}
				// Other types of labels take the same way.
				other, otherGrad, err := afl.Grad(l, logits, convert[int64](labels))
				require.NoError(t, err, name)
				assert.Equal(t, math.Float64bits(got), math.Float64bits(other), name)
				assert.Equal(t, grad.Data(), otherGrad.Data(), name)
			}
		}
	}
	t.Logf("largest relative error of a value over more than 1000 voxels: %.2g", worst)
}

// TestFloat32Sum: a sum over millions of voxels keeps its accuracy.
func TestFloat32Sum(t *testing.T) {
	shape := []int{1, 2, 3, 1 << 10, 1 << 10}
	logits := randomLogits(tensor.Float32, shape, 1)
	labels := randomLabels(shape, 2, 1)
	x := numbers(t, logits)
	wide := floats(tensor.Float64, shape, func(i int) float64 { return x[i] })
	for _, name := range afl.PaperNames() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		want, err := afl.Value(l, wide, labels)
		require.NoError(t, err)
		got, err := afl.Value(l, logits, labels)
		require.NoError(t, err)
		assert.InEpsilon(t, want, got, 1e-6, name)
		t.Logf("%s: relative error %.1e", name, math.Abs(got-want)/want)
	}
}

// TestFloat32Excluded: a class label out of range is named, and logits that take
// no part may hold anything.
func TestFloat32Excluded(t *testing.T) {
	shape := []int{1, 2, 7, 300}
	logits, labels := randomLogits(tensor.Float32, shape, 1), randomLabels(shape, 2, 1)
	y := labels.Data().([]uint8)
	y[1333] = 2
	_, _, err := afl.Grad(afl.NewDice(), logits, labels)
	assert.ErrorContains(t, err, "voxel 1333 is 2")
	x := logits.Data().([]float32)
	x[1333], x[1333+7*300] = float32(math.NaN()), float32(math.Inf(1))
	for _, name := range afl.PaperNames() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		value, grad, err := afl.Grad(setOptions(l, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(2) }), logits, labels)
		require.NoError(t, err)
		assert.False(t, math.IsNaN(value) || math.IsInf(value, 0), name)
		g := grad.Data().([]float32)
		assert.Zero(t, g[1333])
		assert.Zero(t, g[1333+7*300])
		for _, v := range g {
			require.False(t, math.IsNaN(float64(v)), name)
		}
	}
}

// TestFloat32Hostile: finite for every finite logit with several channels.
func TestFloat32Hostile(t *testing.T) {
	hostile := []float64{0, math.Copysign(0, -1), 1e-45, 1e-30, 1, -1, 17, 40, 88.8, -88.8, 104, 1e4, -1e4, 1e30, -1e30, math.MaxFloat32, -math.MaxFloat32}
	n := len(hostile)
	for _, v := range variants() {
		c := v.channels[len(v.channels)-1]
		if c < 3 || takesProbabilities(v.loss) {
			continue
		}
		logits := floats(tensor.Float32, []int{1, c, n, n * n}, func(i int) float64 {
			channel, at := i/(n*n*n), i%(n*n*n)
			for range channel {
				at /= n
			}
			return hostile[(at+channel)%n]
		})
		labels := bytes([]int{1, n, n * n}, func(i int) uint8 { return uint8(i / 7 % c) })
		value, grad, err := afl.Grad(v.loss, logits, labels)
		require.NoError(t, err)
		require.False(t, math.IsNaN(value) || math.IsInf(value, 0), "%s: value %v", v.name, value)
		for i, g := range numbers(t, grad) {
			require.False(t, math.IsNaN(g) || math.IsInf(g, 0), "%s: gradient %d is %v", v.name, i, g)
		}
	}
}

// TestIgnoredIndexOfAnyType: an ignore index that no uint8 can hold means the
// same as one that it can.
func TestIgnoredIndexOfAnyType(t *testing.T) {
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, c := range []int{1, 2, 3} {
			shape := []int{2, c, 5, 6, 7}
			logits, labels := randomLogits(dt, shape, 1), randomLabels(shape, max(c, 2), 1)
			y := labels.Data().([]uint8)
			for i := 0; i < len(y); i += 3 {
				y[i] = 255
			}
			wide := convert[int64](labels)
			for i, v := range y {
				if v == 255 {
					wide.Data().([]int64)[i] = -100
				}
			}
			for _, v := range variants() {
				if c != v.channels[len(v.channels)-1] {
					continue
				}
				ignore := func(index int64) afl.Loss {
					return setOptions(v.loss, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(index) })
				}
				want, wantGrad, err := afl.Grad(ignore(255), logits, labels)
				require.NoError(t, err, v.name)
				got, grad, err := afl.Grad(ignore(-100), logits, wide)
				require.NoError(t, err, v.name)
				require.Equal(t, math.Float64bits(want), math.Float64bits(got), v.name)
				require.Equal(t, wantGrad.Data(), grad.Data(), v.name)
			}
		}
	}
}
