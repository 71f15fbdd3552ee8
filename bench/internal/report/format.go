// Package report holds what the benchmarks' reports share: numbers in tables and
// CSV files, a chart of ratios and the description of the machine.
package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Number prints three digits, or a dash for what does not exist.
func Number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// Percent prints a share of 1 in percent, or a dash for what does not exist.
func Percent(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", 100*v)
}

// Plural prints a number of things.
func Plural(n int, thing string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Cell prints all digits of a number for a CSV file, nothing for one that does
// not exist.
func Cell(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Cells prints several numbers as one cell.
func Cells(values []float64) string {
	var words []string
	for _, v := range values {
		words = append(words, Cell(v))
	}
	return strings.Join(words, " ")
}

// GeometricMean of positive numbers; NaN without any.
func GeometricMean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(values)))
}

// GroupBy splits rows into those of equal keys, in the order in which the keys
// first come.
func GroupBy[R any, K comparable](rows []R, key func(R) K) (groups [][]R) {
	at := map[K]int{}
	for _, r := range rows {
		k := key(r)
		i, ok := at[k]
		if !ok {
			i = len(groups)
			at[k], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], r)
	}
	return groups
}
