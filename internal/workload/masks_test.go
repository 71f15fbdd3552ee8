package workload

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
)

func TestMaskPairs(t *testing.T) {
	for _, s := range []Size{PICAI, Quick} {
		for _, m := range NewMaskPairs(s) {
			d, err := afl.NewSurfaceDistances(m.Prediction, m.Reference, s.Spacing[:])
			require.NoError(t, err)
			assert.True(t, d.Average() > 0 && d.Hausdorff() < 20, "%s, %s: %v", s, m.Name, d.Hausdorff())
		}
	}
	inside := 0
	space := PICAI.Space
	for _, v := range organ(space, 0) {
		inside += int(v)
	}
	assert.InDelta(t, 0.25, float64(inside)/float64(PICAI.Voxels()), 0.05)
}

// TestHardMaskPairs: every pair has a surface on both sides, and a distance.
func TestHardMaskPairs(t *testing.T) {
	names := map[string]bool{}
	for _, m := range NewHardMaskPairs(Quick) {
		names[m.Name] = true
		d, err := afl.NewSurfaceDistances(m.Prediction, m.Reference, Quick.Spacing[:])
		require.NoError(t, err)
		assert.Positive(t, d.Hausdorff(), m.Name)
		assert.False(t, math.IsInf(d.Hausdorff(), 0), m.Name)
	}
	assert.Len(t, names, 8)
}
