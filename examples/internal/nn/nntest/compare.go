package nntest

import "math"

// RelativeError returns max |want − got| / max |want|, to which all tolerances refer, or
// infinity if the lengths differ or a difference is NaN.
func RelativeError(want, got []float64) float64 {
	if len(want) != len(got) {
		return math.Inf(1)
	}
	var diff, scale float64
	for i := range want {
		d := math.Abs(want[i] - got[i])
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		diff, scale = max(diff, d), max(scale, math.Abs(want[i]))
	}
	if diff == 0 {
		return 0
	}
	return diff / scale
}
