package qualitative

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/x/afl/examples/internal/outcome"
)

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		lesions [][2]float64 // volume and smoothness
		want    []Choice
	}{
		"none":  {nil, nil},
		"empty": {[][2]float64{{0, 0}, {0, 0}}, nil},
		"one":   {[][2]float64{{0, 0}, {2, 0.6}}, []Choice{{Index: 1}}},
		"two":   {[][2]float64{{1, 0.6}, {2, 0.5}}, []Choice{{1, []Kind{Large, LowGamma}}, {0, []Kind{Small, HighGamma}}}},
		"equal": {[][2]float64{{1, 0.6}, {1, 0.6}}, []Choice{{0, []Kind{Large, LowGamma}}, {1, []Kind{Small, HighGamma}}}},
		"three": {[][2]float64{{1, 0.6}, {3, 0.5}, {2, 0.7}},
			[]Choice{{1, []Kind{Large, LowGamma}}, {0, []Kind{Small}}, {2, []Kind{HighGamma}}}},
		"four": {[][2]float64{{1, 0.1}, {9, 0.9}, {3, 0.6}, {2, 0.5}},
			[]Choice{{1, []Kind{Large}}, {0, []Kind{Small}}, {3, []Kind{LowGamma}}, {2, []Kind{HighGamma}}}},
		"many": {[][2]float64{{5, 0.5}, {0, 0}, {4, 0.4}, {9, 0.5}, {4, 0.7}, {1, 0.6}, {4, 0.4}},
			[]Choice{{3, []Kind{Large}}, {5, []Kind{Small}}, {2, []Kind{LowGamma}}, {4, []Kind{HighGamma}}}},
	} {
		var lesions []outcome.Reference
		for _, l := range c.lesions {
			lesions = append(lesions, outcome.Reference{Volume: l[0], Smoothness: l[1]})
		}
		assert.Equal(t, c.want, Choose(lesions), name)
	}
}

func TestKindString(t *testing.T) {
	assert.Equal(t, "low γ_mSa", LowGamma.String())
	assert.Equal(t, "Kind(4)", kinds.String())
}
