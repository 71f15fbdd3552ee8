package nntest

import "math"

// RelativeError returns max |want − got| / max |want|, the measure that all
// tolerances are stated in; infinity where the lengths differ or a value is not
// a number.
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
