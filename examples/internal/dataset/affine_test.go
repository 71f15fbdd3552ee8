package dataset

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestInvert(t *testing.T) {
	for _, m := range []affine{
		identity,
		oblique(point{0.5, 2, 3}, point{10, -20, 30}),
		{{0, 0, 2, 5}, {-3, 0, 0, 7}, {0, 4, 0, 9}, {0, 0, 0, 1}},
		{{1e-3, 0, 0, 1}, {5e-4, 1e-3, 0, 2}, {0, 0, 1e3, 3}, {0, 0, 0, 1}}, // sheared
	} {
		requireAffine(t, identity, multiply(invert(m), m), 1e-12)
		requireAffine(t, identity, multiply(m, invert(m)), 1e-9)
	}
}

func TestSpacing(t *testing.T) {
	s := spacing(oblique(point{0.5, 2, 3}, point{10, -20, 30}))
	assert.InDeltaSlice(t, []float64{0.5, 2, 3}, s[:], 1e-12)
}

func TestRegular(t *testing.T) {
	assert.True(t, regular(oblique(point{1e-3, 1, 1e3}, point{})))
	for name, m := range map[string]affine{
		"zero":     {3: {3: 1}},
		"flat":     {{1, 0, 1, 0}, {0, 1, 1, 0}, {0, 0, 0, 0}, {0, 0, 0, 1}},
		"NaN":      {{math.NaN(), 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}},
		"infinite": {{1, 0, 0, math.Inf(1)}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}},
	} {
		assert.False(t, regular(m), name)
	}
}

func TestSameGrid(t *testing.T) {
	dims := [3]int{11, 21, 31}
	m := oblique(point{0.5, 0.5, 3}, point{1, 2, 3})
	moved := func(mm float64) affine { n := m; n[2][3] += mm; return n }
	assert.InDelta(t, 0.2, gridDistance(m, moved(0.2), dims), 1e-12)
	assert.True(t, sameGrid(m, moved(0.049), dims, 0.1), "a tenth of the smallest edge")
	assert.False(t, sameGrid(m, moved(0.051), dims, 0.1))
	half := point{float64(float32(0.6)) * labelTolerance, 0, 0} // rounded up by a header
	assert.True(t, sameGrid(oblique(point{0.6, 2, 3}, point{}), oblique(point{0.6, 2, 3}, half), dims, labelTolerance))

	// An error in the voxel size accumulates over the volume: 0.5% of 30 slices.
	scaled := multiply(m, scaling(point{1, 1, 1.005}, point{}))
	assert.InDelta(t, 0.005*3*30, gridDistance(m, scaled, dims), 1e-9)
	assert.False(t, sameGrid(m, scaled, dims, labelTolerance))
}
