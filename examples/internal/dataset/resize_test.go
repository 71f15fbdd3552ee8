package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAreaWindow(t *testing.T) {
	// 5 voxels resized to 3, and 2 to 5, written out by hand.
	windows := func(n, m int) (out [][2]int) {
		for i := range m {
			lo, hi := areaWindow(i, n, m)
			out = append(out, [2]int{lo, hi})
		}
		return out
	}
	assert.Equal(t, [][2]int{{0, 2}, {1, 4}, {3, 5}}, windows(5, 3))
	assert.Equal(t, [][2]int{{0, 1}, {0, 1}, {0, 2}, {1, 2}, {1, 2}}, windows(2, 5))
	for n := 1; n < 40; n++ {
		for m := 1; m < 40; m++ {
			for i, w := range windows(n, m) {
				x := float64(i) * float64(n) / float64(m)
				y := float64(i+1) * float64(n) / float64(m)
				assert.Equal(t, [2]int{int(math.Floor(x + 1e-9)), int(math.Ceil(y - 1e-9))}, w, "%d of %d to %d", i, n, m)
			}
		}
	}
}

func TestResizeAreaByHand(t *testing.T) {
	a := array[float32]{channels: 1, dims: [3]int{1, 1, 5}, affine: identity, data: []float32{1, 2, 3, 4, 5}}
	assert.Equal(t, []float32{1.5, 3, 4.5}, resizeArea(a, [3]int{1, 1, 3}).data)
	assert.Equal(t, []float32{3}, resizeArea(a, [3]int{1, 1, 1}).data)
	b := array[float32]{channels: 1, dims: [3]int{2, 1, 2}, affine: identity, data: []float32{1, 2, 3, 4}}
	assert.Equal(t, []float32{1, 2, 2, 3, 3, 4}, resizeArea(b, [3]int{3, 1, 2}).data)
}

// TestResizeAreaAgainstOneAxisAtATime checks that averaging over the box equals
// averaging along one axis after the other.
func TestResizeAreaAgainstOneAxisAtATime(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, sizes := range [][2][3]int{{{7, 9, 5}, {4, 5, 8}}, {{6, 4, 8}, {3, 2, 2}}, {{5, 5, 5}, {5, 11, 1}}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			n, m := sizes[0], sizes[1]
			a := random(rng, 2, n, identity)
			got := resizeArea(a, m)
			require.Equal(t, m, got.dims)
			weights := func(axis, o, i int) float64 {
				lo, hi := o*n[axis]/m[axis], int(math.Ceil(float64((o+1)*n[axis])/float64(m[axis])))
				if i < lo || i >= hi {
					return 0
				}
				return 1 / float64(hi-lo)
			}
			for c := range 2 {
				eachVoxel(m, func(o [3]int) {
					var want float64
					eachVoxel(n, func(v [3]int) {
						want += weights(0, o[0], v[0]) * weights(1, o[1], v[1]) * weights(2, o[2], v[2]) * float64(a.value(c, v))
					})
					require.InDelta(t, want, float64(got.value(c, o)), 1e-4)
				})
			}
		})
	}
}

// TestResizeAreaLaws checks that integer factors preserve the mean, and that any size
// preserves the field of view and commutes with a flip.
func TestResizeAreaLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	a := random(rng, 1, [3]int{8, 6, 9}, oblique(point{1, 2, 3}, point{9, 8, 7}))
	mean := func(x []float32) (s float64) {
		for _, v := range x {
			s += float64(v)
		}
		return s / float64(len(x))
	}
	assert.InDelta(t, mean(a.data), mean(resizeArea(a, [3]int{4, 3, 3}).data), 1e-4)

	dims := [3]int{5, 7, 4}
	b := resizeArea(a, dims)
	for corner := range 8 {
		var p, q point
		for i := range p {
			p[i], q[i] = -0.5, -0.5
			if corner>>i&1 == 1 {
				p[i], q[i] = float64(a.dims[i])-0.5, float64(dims[i])-0.5
			}
		}
		x, y := apply(a.affine, p), apply(b.affine, q)
		assert.InDeltaSlice(t, x[:], y[:], 1e-9)
	}
	flip := func(a array[float32]) array[float32] {
		return rearrange(a, rearrangement{dims: a.dims, axis: [3]int{0, 1, 2}, step: [3]int{-1, -1, -1}, start: [3]int{a.dims[0] - 1, a.dims[1] - 1, a.dims[2] - 1}})
	}
	x, y := resizeArea(flip(a), dims), flip(b)
	for i := range x.data {
		require.InDelta(t, y.data[i], x.data[i], 1e-4)
	}
	requireAffine(t, y.affine, x.affine, 1e-9)
}

func TestResizeLabelByHand(t *testing.T) {
	row := func(v ...uint8) array[uint8] {
		return array[uint8]{channels: 1, dims: [3]int{1, 1, len(v)}, affine: identity, data: v}
	}
	// The centers (i+½)·5/3 of three voxels over five are in voxels 0, 2 and 4.
	assert.Equal(t, []uint8{1, 0, 0}, resizeNearest(row(1, 0, 0, 1, 0), [3]int{1, 1, 3}).data)
	assert.Equal(t, []uint8{1, 1, 1}, resizeAreaLabel(row(1, 0, 0, 1, 0), [3]int{1, 1, 3}).data, "windows 0-1, 1-3, 3-4")
	assert.Equal(t, []uint8{1, 1, 0, 0}, resizeNearest(row(1, 0), [3]int{1, 1, 4}).data)
	assert.Equal(t, []uint8{0, 0}, resizeAreaLabel(row(0, 0, 0), [3]int{1, 1, 2}).data)
}

// TestResizeAreaLabelAgainstTheAverage checks that the area label is set where the area
// average of the label is not zero, and that it contains the nearest-neighbor label.
func TestResizeAreaLabelAgainstTheAverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	label := array[uint8]{channels: 1}.empty([3]int{9, 8, 7}, oblique(point{1, 2, 3}, point{}))
	for i := range label.data {
		if rng.IntN(12) == 0 {
			label.data[i] = 1
		}
	}
	soft := array[float32]{channels: 1, dims: label.dims, affine: label.affine}
	for _, v := range label.data {
		soft.data = append(soft.data, float32(v))
	}
	for _, dims := range [][3]int{{4, 4, 4}, {13, 3, 9}, {9, 8, 7}} {
		average, got, nearest := resizeArea(soft, dims), resizeAreaLabel(label, dims), resizeNearest(label, dims)
		requireAffine(t, average.affine, got.affine, 0)
		requireAffine(t, average.affine, nearest.affine, 0)
		for i, v := range average.data {
			require.Equal(t, v != 0, got.data[i] == 1)
			require.LessOrEqual(t, nearest.data[i], got.data[i])
		}
	}
}
