// Package report formats what the reports of the benchmarks have in common: numbers in
// tables and CSV files, a chart of ratios and the description of the machine.
package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Number prints three digits, or a dash for NaN.
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

// Percent prints a fraction in percent, or a dash for NaN.
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

// Cell prints all digits of a number for a CSV file, nothing for NaN.
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

// GeometricMean is the geometric mean of positive numbers, NaN if there are none.
func GeometricMean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(values)))
}

// GroupBy groups rows by a key, in the order in which the keys first occur.
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
