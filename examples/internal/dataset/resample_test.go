package dataset

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/volume"
)

func TestResampleOnItsOwnGrid(t *testing.T) {
	a := random(rand.New(rand.NewPCG(1, 1)), 2, [3]int{5, 6, 7}, oblique(point{0.5, 2, 3}, point{40, -70, 11}))
	for _, mode := range []Interpolation{Linear, Nearest} {
		assert.Equal(t, a.data, resample(a, a.dims, a.affine, mode).data)
	}
}

func TestResampleByAWholeVoxel(t *testing.T) {
	a := numbered(1, [3]int{4, 3, 2}, oblique(point{0.5, 2, 3}, point{40, -70, 11}))
	shifted := multiply(a.affine, scaling(point{1, 1, 1}, point{1, -1, 0}))
	got := resample(a, a.dims, shifted, Linear)
	eachVoxel(a.dims, func(v [3]int) {
		from, want := [3]int{v[0] + 1, v[1] - 1, v[2]}, float32(0)
		if a.within(from) {
			want = a.value(0, from)
		}
		assert.Equal(t, want, got.value(0, v), "at %v", v)
	})
}

func TestResampleByHand(t *testing.T) {
	a := array[float32]{channels: 1, dims: [3]int{1, 1, 3}, affine: identity, data: []float32{10, 20, 40}}
	at := func(mode Interpolation, z float64) float32 {
		m := identity
		m[2][3] = z
		return resample(a, [3]int{1, 1, 1}, m, mode).data[0]
	}
	for _, c := range []struct {
		z               float64
		linear, nearest float32
	}{
		{0, 10, 10}, {0.25, 12.5, 10}, {0.5, 15, 20}, {1.75, 35, 40}, {2, 40, 40},
		{-0.5, 10, 10}, {2.5, 40, 40}, // half a voxel beyond the last center
		{-0.51, 0, 0}, {2.51, 0, 0}, {1e9, 0, 0},
		{2.5 + 1e-8, 40, 40}, {1 - 1e-8, 20, 20}, // rounding errors of headers are ignored
	} {
		assert.Equal(t, c.linear, at(Linear, c.z), "linear at %v", c.z)
		assert.Equal(t, c.nearest, at(Nearest, c.z), "nearest at %v", c.z)
	}
}

// TestResampleReproducesALinearFunction checks that trilinear interpolation is exact for
// a linear function of the world coordinates, between an oblique and a straight grid.
func TestResampleReproducesALinearFunction(t *testing.T) {
	f := func(p point) float64 { return 3*p[0] - 2*p[1] + 0.5*p[2] + 100 }
	src := array[float32]{channels: 1}.empty([3]int{12, 11, 10}, oblique(point{2, 2, 3}, point{-10, -10, -10}))
	i := 0
	eachVoxel(src.dims, func(v [3]int) { src.data[i] = float32(f(apply(src.affine, float(v)))); i++ })
	dst := multiply(identity, scaling(point{0.7, 0.8, 1.1}, point{-2, 1, 2}))
	got := resample(src, [3]int{9, 8, 7}, dst, Linear)
	inner := 0
	eachVoxel(got.dims, func(v [3]int) {
		world := apply(dst, float(v))
		back := apply(invert(src.affine), world)
		for ax, x := range back {
			if x < 0 || x > float64(src.dims[ax]-1) {
				return
			}
		}
		inner++
		require.InDelta(t, f(world), float64(got.value(0, v)), 1e-3)
	})
	assert.Greater(t, inner, 400, "most of the grid must be inside for the test to be meaningful")
}

func TestSpacingGrid(t *testing.T) {
	m := oblique(point{0.5, 0.9995, 3}, point{1, 2, 3})
	dims, got := spacingGrid(m, [3]int{31, 20, 10}, [3]float64{1, 1, 1})
	assert.Equal(t, [3]int{16, 20, 30}, dims, "15.5 rounds up, 0.05% is not resampled, 3 mm becomes 1 mm")
	s := spacing(got)
	assert.InDeltaSlice(t, []float64{1, 0.9995, 1}, s[:], 1e-12)
	before, after := apply(m, point{15, 9.5, 4.5}), apply(got, point{7.5, 9.5, 14.5})
	assert.InDeltaSlice(t, before[:], after[:], 1e-12, "the center does not move")

	dims, got = spacingGrid(m, [3]int{31, 20, 10}, spacing(m))
	assert.Equal(t, [3]int{31, 20, 10}, dims)
	requireAffine(t, m, got, 0)
	dims, _ = spacingGrid(identity, [3]int{2, 2, 2}, [3]float64{100, 1, 1})
	assert.Equal(t, [3]int{1, 2, 2}, dims, "no axis vanishes")
}

func TestExportedResample(t *testing.T) {
	v := &volume.Volume{Dims: [3]int{2, 2, 2}, Channels: 1, Data: []float64{1, 2, 3, 4, 5, 6, 7, 8}, Affine: identity}
	m := identity
	m[0][3] = 0.5
	got, err := Resample(v, [3]int{1, 2, 2}, m, Linear)
	require.NoError(t, err)
	assert.Equal(t, &volume.Volume{Dims: [3]int{1, 2, 2}, Channels: 1, Data: []float64{3, 4, 5, 6}, Affine: m}, got)

	singular := m
	singular[0][0] = 0
	_, err = Resample(v, [3]int{1, 2, 2}, singular, Linear)
	assert.ErrorContains(t, err, "affine")
	_, err = Resample(v, [3]int{1, 0, 2}, m, Linear)
	assert.ErrorContains(t, err, "dims")
	short := *v
	short.Data = short.Data[:7]
	_, err = Resample(&short, [3]int{1, 2, 2}, m, Linear)
	assert.ErrorContains(t, err, "7 values")
	short.Affine[1][1] = math.NaN()
	_, err = Resample(&short, [3]int{1, 2, 2}, m, Linear)
	assert.ErrorContains(t, err, "volume's affine")
}

// TestExtendedContinuesTheOutermostValues compares with Linear inside the volume and
// with the nearest border voxel outside.
func TestExtendedContinuesTheOutermostValues(t *testing.T) {
	v := &volume.Volume{Dims: [3]int{3, 1, 1}, Channels: 1, Data: []float64{1, 2, 4}, Affine: affine{{2, 0, 0, 10}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}}
	onto := affine{{1, 0, 0, 4}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}} // x = 4 … 18 mm, the centers are at 10, 12, 14
	dims := [3]int{15, 1, 1}
	extended, err := Resample(v, dims, onto, Extended)
	require.NoError(t, err)
	assert.Equal(t, []float64{1, 1, 1, 1, 1, 1, 1, 1.5, 2, 3, 4, 4, 4, 4, 4}, extended.Data)
	linear, err := Resample(v, dims, onto, Linear)
	require.NoError(t, err)
	assert.Equal(t, []float64{0, 0, 0, 0, 0, 1, 1, 1.5, 2, 3, 4, 4, 0, 0, 0}, linear.Data)
}
