package statistics

import (
	"cmp"
	"slices"
)

// Holm returns the p-values of a family of tests adjusted for their number: the kth
// smallest of m becomes
//
//	max over j ≤ k of min(1, (m−j+1)·p₍ⱼ₎),
//
// so that rejecting all tests with an adjusted value of at most 0.05 rejects a true null
// hypothesis with a probability of at most 0.05, however the tests depend on each other.
//
// S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
// Statistics 6 (1979) 65–70.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	adjusted := make([]float64, len(p))
	largest := 0.0
	for j, i := range order {
		largest = max(largest, min(1, float64(len(p)-j)*p[i]))
		adjusted[i] = largest
	}
	return adjusted
}
