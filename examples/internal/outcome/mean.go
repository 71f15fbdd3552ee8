package outcome

import (
	"fmt"
	"strconv"
)

// Mean is the mean of a measure over the N cases for which it is finite. Value is
// undefined if N is 0.
type Mean struct {
	Value Number `json:"value"`
	N     int    `json:"n"`
}

// Format formats the mean with the given number of decimals, followed by "(n=N)" if N is
// less than cases.
func (m Mean) Format(cases, decimals int) string {
	if !m.Value.Finite() {
		return "–"
	}
	s := strconv.FormatFloat(float64(m.Value), 'f', decimals, 64)
	if m.N < cases {
		s += fmt.Sprintf(" (n=%d)", m.N)
	}
	return s
}

// Means holds one Mean per Measure.
type Means [MeasureCount]Mean

// MeanOf returns the mean of every measure over the cases for which it is finite, summed
// in the order of the cases.
func MeanOf(cases []Case) Means {
	var means Means
	for m := range means {
		sum, n := 0.0, 0
		for _, c := range cases {
			if v := c.Values[m]; v.Finite() {
				sum += float64(v)
				n++
			}
		}
		means[m] = Mean{Value: Undefined, N: n}
		if n > 0 {
			means[m].Value = Number(sum / float64(n))
		}
	}
	return means
}

// SegmentMeans holds the means of one class or region over the cases.
type SegmentMeans struct {
	Name  string `json:"name"`
	Means Means  `json:"means"`
}

// SegmentMeansOf returns the means of each class or region over the cases, which all have
// the same ones.
func SegmentMeansOf(cases []Case) []SegmentMeans {
	if len(cases) == 0 {
		return nil
	}
	var means []SegmentMeans
	for i, s := range cases[0].Segments {
		means = append(means, SegmentMeans{s.Name, MeanOf(OfSegment(cases, i))})
	}
	return means
}
