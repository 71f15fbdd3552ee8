package distance

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWithin(t *testing.T) {
	for _, tolerance := range []float64{1e-30, 0.1, 1.2, 3, 1e30} {
		assert.True(t, Within(tolerance, tolerance))
		assert.True(t, Within(float64(float32(tolerance)), tolerance))
		assert.True(t, Within(tolerance, float64(float32(tolerance))))
		assert.True(t, Within(tolerance*(1+0.9*Slack), tolerance))
		assert.False(t, Within(tolerance*(1+1.1*Slack), tolerance))
		assert.True(t, Within(0, tolerance))
		assert.False(t, Within(math.NaN(), tolerance))
	}
	assert.True(t, Within(0, 0))
	assert.False(t, Within(math.SmallestNonzeroFloat64, 0))
	assert.True(t, Within(math.SmallestNonzeroFloat64, math.SmallestNonzeroFloat64))
	assert.True(t, Within(math.MaxFloat64, math.MaxFloat64))
	assert.False(t, Within(math.Inf(1), math.MaxFloat64))
}
