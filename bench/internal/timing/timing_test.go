package timing

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSamples(t *testing.T) {
	s := Samples{3, 1, 2, 10}
	assert.Equal(t, 2.5, s.Median())
	assert.Equal(t, 1.0, s.Min())
	assert.Equal(t, 10.0, s.Max())
	assert.Equal(t, Samples{3, 1, 2, 10}, s, "in order")
	assert.Equal(t, 2.0, Samples{9, 2, 1}.Median())
	for _, f := range []func() float64{Samples(nil).Median, Samples(nil).Min, Samples(nil).Max} {
		assert.True(t, math.IsNaN(f()))
	}
}

func TestCalls(t *testing.T) {
	calls := 0
	s, err := Calls(10*time.Millisecond, func() error { calls++; time.Sleep(3 * time.Millisecond); return nil })
	require.NoError(t, err)
	assert.Len(t, s, calls)
	assert.True(t, calls >= 1 && calls <= 4, "%d calls", calls)
	for _, v := range s {
		assert.GreaterOrEqual(t, v, 0.003)
	}
	_, err = Calls(time.Hour, func() error { return assert.AnError })
	assert.ErrorIs(t, err, assert.AnError)
}
