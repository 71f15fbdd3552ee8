package bootstrap

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestQuantile(t *testing.T) {
	x := []float64{1, 2, 4, 8}
	for q, want := range map[float64]float64{0: 1, 1: 8, 0.5: 3, 1.0 / 3: 2, 0.1: 1.3} {
		assert.InDelta(t, want, Quantile(x, q), 1e-12)
	}
	assert.Equal(t, 5.0, Quantile([]float64{5}, 0.3))
	assert.True(t, math.IsNaN(Quantile(nil, 0.5)))
}

// TestIntervalOfEveryResample compares the interval of a maximum with the quantiles of its
// distribution over all 4⁴ resamples, which many random ones reach.
func TestIntervalOfEveryResample(t *testing.T) {
	x := []float64{1, 2, 4, 8}
	statistic := func(times []int) (float64, error) {
		largest := 0.0
		for i, n := range times {
			if n > 0 {
				largest = max(largest, x[i])
			}
		}
		return largest, nil
	}
	var all []float64
	for code := range 4 * 4 * 4 * 4 {
		times := make([]int, 4)
		for range 4 {
			times[code%4]++
			code /= 4
		}
		v, _ := statistic(times)
		all = append(all, v)
	}
	slices.Sort(all)
	for _, confidence := range []float64{0.5, 0.9} {
		lower, upper, undefined := Interval(4, 4000, confidence, 1, statistic)
		assert.Equal(t, Quantile(all, (1-confidence)/2), lower)
		assert.Equal(t, Quantile(all, (1+confidence)/2), upper)
		assert.Zero(t, undefined)
	}
}

func TestIntervalLeavesOutUndefinedStatistics(t *testing.T) {
	calls := 0
	lower, upper, undefined := Interval(3, 9, 0.9, 1, func([]int) (float64, error) {
		calls++
		switch calls % 3 {
		case 0:
			return 0, errors.New("undefined")
		case 1:
			return math.NaN(), nil
		}
		return 7, nil
	})
	assert.Equal(t, []float64{7, 7}, []float64{lower, upper})
	assert.Equal(t, 6, undefined)
	lower, upper, undefined = Interval(3, 5, 0.9, 1, func([]int) (float64, error) { return math.NaN(), nil })
	assert.True(t, math.IsNaN(lower) && math.IsNaN(upper))
	assert.Equal(t, 5, undefined)
}
