package nn_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/x/afl/examples/internal/nn"
)

func TestFirstNonFinite(t *testing.T) {
	values := make([]float32, 200_001)
	for i := range values {
		values[i] = math.MaxFloat32
	}
	_, found := nn.FirstNonFinite(values)
	assert.False(t, found)
	_, found = nn.FirstNonFinite([]float64(nil))
	assert.False(t, found)
	values[len(values)-1] = float32(math.Inf(-1))
	for _, at := range []int{200_000, 65_536, 65_535, 1} {
		for _, bad := range []float32{float32(math.Inf(1)), float32(math.NaN())} {
			values[at] = bad
			value, found := nn.FirstNonFinite(values)
			assert.True(t, found)
			assert.Equal(t, math.Float32bits(bad), math.Float32bits(value), "the first")
		}
	}
}
