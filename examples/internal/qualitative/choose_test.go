package qualitative

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/surface"
)

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		lesions []Lesion
		want    []Choice
	}{
		"none":  {nil, nil},
		"empty": {[]Lesion{{0, 0}, {0, 0}}, nil},
		"one":   {[]Lesion{{0, 0}, {2, 0.6}}, []Choice{{Index: 1}}},
		"two":   {[]Lesion{{1, 0.6}, {2, 0.5}}, []Choice{{1, []Kind{Large, Smooth}}, {0, []Kind{Small, Rough}}}},
		"equal": {[]Lesion{{1, 0.6}, {1, 0.6}}, []Choice{{0, []Kind{Large, Smooth}}, {1, []Kind{Small, Rough}}}},
		"three": {[]Lesion{{1, 0.6}, {3, 0.5}, {2, 0.7}},
			[]Choice{{1, []Kind{Large, Smooth}}, {0, []Kind{Small}}, {2, []Kind{Rough}}}},
		"four": {[]Lesion{{1, 0.1}, {9, 0.9}, {3, 0.6}, {2, 0.5}},
			[]Choice{{1, []Kind{Large}}, {0, []Kind{Small}}, {3, []Kind{Smooth}}, {2, []Kind{Rough}}}},
		"many": {[]Lesion{{5, 0.5}, {0, 0}, {4, 0.4}, {9, 0.5}, {4, 0.7}, {1, 0.6}, {4, 0.4}},
			[]Choice{{3, []Kind{Large}}, {5, []Kind{Small}}, {2, []Kind{Smooth}}, {4, []Kind{Rough}}}},
	} {
		assert.Equal(t, c.want, Choose(c.lesions), name)
	}
}

func TestDescribe(t *testing.T) {
	m := surface.Mask{Dims: [3]int{5, 5, 5}, Spacing: [3]float64{2, 3, 4}, Voxels: make([]bool, 125)}
	l, err := Describe(m)
	require.NoError(t, err)
	assert.Equal(t, Lesion{}, l)
	// The gradient of one voxel is ½ at each of its six neighbors, and 0 elsewhere.
	m.Voxels[62] = true
	l, err = Describe(m)
	require.NoError(t, err)
	assert.InDelta(t, 0.024, l.Volume, 1e-12)
	assert.InDelta(t, 0.5, l.Smoothness, 1e-12)

	m.Spacing[1] = math.NaN()
	_, err = Describe(m)
	assert.ErrorContains(t, err, "Spacing")
}

func TestKindString(t *testing.T) {
	assert.Equal(t, "smooth", Smooth.String())
	assert.Equal(t, "Kind(4)", kinds.String())
}
