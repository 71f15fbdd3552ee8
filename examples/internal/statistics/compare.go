package statistics

import (
	"fmt"
	"math"
	"slices"

	"github.com/x/afl"
	"github.com/x/afl/internal/bootstrap"
)

// Confidence is the confidence of the intervals.
const Confidence = 0.95

// resamples is the number of bootstrap resamples of an interval.
const resamples = 2000

// maxExact is the largest number of unequal pairs with an exact p-value, which takes time of
// order of its cube: a tenth of a second here.
const maxExact = 250

// Comparison compares paired values x and y of the same cases by their differences x − y.
type Comparison struct {
	N                      int // number of cases
	Larger, Equal, Smaller int // number of cases in which x is larger than y, and so on

	Mean   float64 // mean difference
	Median float64 // median difference
	// Lower and Upper bound the percentile bootstrap interval of the median difference over
	// the cases. They are NaN below 6 cases, where even the smallest and the largest
	// difference enclose the median with a confidence 1 − 2¹⁻ⁿ of less than 95%.
	Lower, Upper float64

	// P is the two-sided p-value of the Wilcoxon signed-rank test of [afl.WilcoxonPaired], in
	// which equal pairs are dropped and ties have midranks: exact up to 250 unequal pairs,
	// and by the normal distribution with the variance corrected for ties beyond, where a
	// correction for continuity would change the z-score by less than 0.0005. It is 1 if all
	// pairs are equal.
	P float64
	// RankBiserial is the matched-pairs rank-biserial correlation (R⁺−R⁻)/(R⁺+R⁻) of the
	// rank sums of that test: 1 if x is larger in every unequal pair, −1 if it is smaller
	// in every one, and 0 if all are equal.
	RankBiserial float64
}

// Compare compares the finite values x and y of the same cases, at least one. Equal seeds
// give equal intervals.
//
// D. S. Kerby, "The Simple Difference Formula: An Approach to Teaching Nonparametric
// Correlation", Comprehensive Psychology 3 (2014) 11.IT.3.1.
func Compare(x, y []float64, seed uint64) (Comparison, error) {
	if len(x) == 0 || len(x) != len(y) {
		return Comparison{}, fmt.Errorf("statistics: Compare has %d and %d values, want as many of both and at least one", len(x), len(y))
	}
	c := Comparison{N: len(x), P: 1}
	differences := make([]float64, c.N)
	for i := range x {
		d := x[i] - y[i]
		if math.IsNaN(d) || math.IsInf(d, 0) {
			return Comparison{}, fmt.Errorf("statistics: Compare has the values %v and %v of case %d, want finite ones", x[i], y[i], i)
		}
		differences[i] = d
		switch {
		case d > 0:
			c.Larger++
		case d < 0:
			c.Smaller++
		default:
			c.Equal++
		}
		c.Mean += d / float64(c.N)
	}
	c.Median, c.Lower, c.Upper = medianInterval(differences, seed)
	if c.Equal == c.N {
		return c, nil
	}
	w, err := afl.Wilcoxon(differences, 0)
	if err != nil {
		return Comparison{}, err
	}
	c.RankBiserial = (w.RPlus - w.RMinus) / (w.RPlus + w.RMinus)
	c.P = w.PNormal
	if w.N <= maxExact {
		c.P, err = w.PExact()
	}
	return c, err
}

// medianInterval returns the median of values and its bootstrap interval, NaN for too few
// values.
func medianInterval(values []float64, seed uint64) (median, lower, upper float64) {
	sorted := slices.Sorted(slices.Values(values))
	median = bootstrap.Quantile(sorted, 0.5)
	if 1-SmallestP(len(values)) < Confidence {
		return median, math.NaN(), math.NaN()
	}
	n := len(sorted)
	lower, upper, _ = bootstrap.Interval(n, resamples, Confidence, seed, func(times []int) (float64, error) {
		return (nth(sorted, times, (n-1)/2) + nth(sorted, times, n/2)) / 2, nil
	})
	return median, lower, upper
}

// nth returns the value at index of the ascending sequence that repeats each value a number
// of times.
func nth(sorted []float64, times []int, index int) float64 {
	i := 0
	for index >= times[i] {
		index -= times[i]
		i++
	}
	return sorted[i]
}

// SmallestP returns the smallest two-sided p-value that the Wilcoxon signed-rank test can
// have with n cases, 2¹⁻ⁿ: that of differences which all have the same sign.
func SmallestP(n int) float64 { return math.Min(1, math.Ldexp(1, 1-n)) }
