package report

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0.126: "0.13", -9.5: "-9.50", 12.34: "12.3", 1234.6: "1235"} {
		assert.Equal(t, want, Number(v))
	}
	assert.Equal(t, "–", Number(math.NaN()))
	assert.Equal(t, "86 %", Percent(0.857))
	assert.Equal(t, "–", Percent(math.NaN()))
	assert.Equal(t, "1 core", Plural(1, "core"))
	assert.Equal(t, "3 cores", Plural(3, "core"))
	assert.Equal(t, "0.1  1e-300", Cells([]float64{0.1, math.NaN(), 1e-300}))
	assert.InDelta(t, 4, GeometricMean([]float64{2, 8}), 1e-12)
	assert.True(t, math.IsNaN(GeometricMean(nil)))
}

func TestGroupBy(t *testing.T) {
	got := GroupBy([]int{5, 2, 3, 4, 7}, func(n int) bool { return n%2 == 0 })
	assert.Equal(t, [][]int{{5, 3, 7}, {2, 4}}, got)
	assert.Empty(t, GroupBy(nil, func(n int) int { return n }))
}
