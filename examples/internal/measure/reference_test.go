package measure

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/surface"
)

func TestReference(t *testing.T) {
	m := surface.Mask{Dims: [3]int{5, 5, 5}, Spacing: [3]float64{2, 3, 4}, Voxels: make([]bool, 125)}
	l, err := Reference(m)
	require.NoError(t, err)
	assert.Equal(t, outcome.Reference{}, l)
	// The gradient of one voxel is ½ at each of its six neighbors, and 0 elsewhere.
	m.Voxels[62] = true
	l, err = Reference(m)
	require.NoError(t, err)
	assert.InDelta(t, 0.024, l.Volume, 1e-12)
	assert.InDelta(t, 0.5, l.Smoothness, 1e-12)

	m.Spacing[1] = math.NaN()
	_, err = Reference(m)
	assert.ErrorContains(t, err, "Spacing")
}
