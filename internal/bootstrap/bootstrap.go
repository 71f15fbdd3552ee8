// Package bootstrap computes percentile bootstrap intervals.
//
// B. Efron, "Bootstrap Methods: Another Look at the Jackknife", The Annals of Statistics
// 7 (1979) 1–26.
package bootstrap

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Interval returns the percentile interval of a statistic of n cases: from the
// (1−confidence)/2 to the (1+confidence)/2 [Quantile] of its values on resamples. A resample
// draws n cases with replacement; it is given as the number of times that each was drawn, in
// a slice that is reused. Equal seeds give equal intervals.
//
// Resamples in which the statistic is NaN or an error are left out and counted in
// undefined. The bounds are NaN if none is left.
func Interval(n, resamples int, confidence float64, seed uint64, statistic func(times []int) (float64, error)) (lower, upper float64, undefined int) {
	rng := rand.New(rand.NewPCG(seed, 0))
	times := make([]int, n)
	var values []float64
	for range resamples {
		clear(times)
		for range n {
			times[rng.IntN(n)]++
		}
		if v, err := statistic(times); err == nil && !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return Quantile(values, (1-confidence)/2), Quantile(values, (1+confidence)/2), resamples - len(values)
}

// Quantile interpolates linearly between ascending values, of which the first is the
// quantile at 0 and the last that at 1. It is NaN without values. (The interpolation of
// gonum's stat.Quantile differs: there the first of n values is the quantile at 1/n, so that
// the median of two is the first.)
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
