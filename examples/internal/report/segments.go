package report

import (
	"slices"

	"github.com/x/afl/examples/internal/segment"
)

// SegmentValues holds the measures of one class or region of a case.
type SegmentValues struct {
	Name   string `json:"name"`
	Values Values `json:"values"`
}

// SegmentMeans holds the means of one class or region over the cases.
type SegmentMeans struct {
	Name  string `json:"name"`
	Means Means  `json:"means"`
}

// meanName stands for the mean over the classes or regions in tables and files.
const meanName = "mean"

// MeanOfSegments returns the mean of every measure over the classes or regions for which it
// is finite.
func MeanOfSegments(segments []SegmentValues) Values {
	cases := make([]Case, len(segments))
	for i, s := range segments {
		cases[i].Values = s.Values
	}
	values := NoValues()
	for m, mean := range MeanOf(cases) {
		values[m] = mean.Value
	}
	return values
}

// SegmentMeansOf returns the means of each class or region over the cases, which all have
// the same ones.
func SegmentMeansOf(cases []Case) []SegmentMeans {
	if len(cases) == 0 {
		return nil
	}
	var means []SegmentMeans
	for i, s := range cases[0].Segments {
		means = append(means, SegmentMeans{s.Name, MeanOf(ofSegment(cases, i))})
	}
	return means
}

// ofSegment returns the cases with the measures of one class or region.
func ofSegment(cases []Case, index int) []Case {
	one := make([]Case, len(cases))
	for i, c := range cases {
		one[i] = Case{ID: c.ID, Values: c.Segments[index].Values}
	}
	return one
}

// row is a row of a table or a curve: the cases with the measures of one class or region, or
// with those of the foreground or the mean.
type row struct {
	name  string // "" if the result is binary
	cases []Case
}

// meanName returns the name of a result's rows of all segments, "" if it is binary.
func (l *Result) meanName() string {
	if l.Scheme.Kind == segment.Binary {
		return ""
	}
	return meanName
}

// rows returns the rows of a result: one for each class or region, then the mean.
func (l *Result) rows() []row {
	var rows []row
	for i, s := range l.Scheme.Segments {
		rows = append(rows, row{s.Name, ofSegment(l.Cases, i)})
	}
	return append(rows, row{l.meanName(), l.Cases})
}

// segmented reports whether any of the results is not binary.
func segmented(results []Result) bool {
	return slices.ContainsFunc(results, func(l Result) bool { return l.Scheme.Kind != segment.Binary })
}

// segmentTitle returns the header of the column that names the classes or regions.
func segmentTitle(results []Result) string {
	classes := slices.ContainsFunc(results, func(l Result) bool { return l.Scheme.Kind == segment.Classes })
	regions := slices.ContainsFunc(results, func(l Result) bool { return l.Scheme.Kind == segment.Regions })
	switch {
	case classes && regions:
		return "Class or region"
	case regions:
		return "Region"
	}
	return "Class"
}
