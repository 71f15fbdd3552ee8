package report

import (
	"fmt"
	"math"
	"strconv"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/statistics"
)

// summarize returns the mean of a measure over the cases for which it is finite, with its
// standard deviation and its interval by Student's t. Both are NaN for a single case. Without
// any, N is 0 and everything else is NaN.
func summarize(cases []outcome.Case, m outcome.Measure) afl.Interval {
	var values []float64
	for _, c := range cases {
		if v := c.Values[m]; v.Finite() {
			values = append(values, float64(v))
		}
	}
	if len(values) == 0 {
		return afl.Interval{Mean: math.NaN(), SD: math.NaN(), Lower: math.NaN(), Upper: math.NaN()}
	}
	i, err := afl.TInterval(values, statistics.Confidence)
	if err != nil { // values whose spread is beyond the range of float64
		i = afl.Interval{N: len(values), Mean: float64(outcome.MeanOf(cases)[m].Value), SD: math.NaN(), Lower: math.NaN(), Upper: math.NaN()}
	}
	return i
}

// meanSD formats the mean and the standard deviation of a measure, followed by "(n=N)" if
// some cases have no value.
func meanSD(cases []outcome.Case, m outcome.Measure, decimals int) string {
	i := summarize(cases, m)
	if i.N == 0 {
		return dash
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', decimals, 64) }
	text := number(i.Mean)
	if !math.IsNaN(i.SD) {
		text += " ± " + number(i.SD)
	}
	if i.N < len(cases) {
		text += fmt.Sprintf(" (n=%d)", i.N)
	}
	return text
}

// interval formats the interval of the mean of a measure.
func interval(cases []outcome.Case, m outcome.Measure) string {
	i := summarize(cases, m)
	if math.IsNaN(i.Lower) {
		return dash
	}
	return fmt.Sprintf("%.3f to %.3f", i.Lower, i.Upper)
}
