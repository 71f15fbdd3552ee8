package statistics

import (
	"slices"

	"github.com/x/afl/internal/bootstrap"
)

// Tertiles returns the two values that cut finite values into thirds, their quantiles at 1/3
// and 2/3 with linear interpolation. It returns false if one of the thirds, which include
// their upper bounds, would be empty.
func Tertiles(values []float64) (cuts [2]float64, ok bool) {
	if len(values) == 0 {
		return cuts, false
	}
	sorted := slices.Sorted(slices.Values(values))
	cuts = [2]float64{bootstrap.Quantile(sorted, 1.0/3), bootstrap.Quantile(sorted, 2.0/3)}
	var count [3]int
	for _, v := range sorted {
		count[Third(cuts, v)]++
	}
	return cuts, min(count[0], count[1], count[2]) > 0
}

// Third returns which third a value belongs to: 0, 1 or 2.
func Third(cuts [2]float64, value float64) int {
	third := 0
	for _, cut := range cuts {
		if value > cut {
			third++
		}
	}
	return third
}
