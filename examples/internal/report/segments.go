package report

import (
	"slices"

	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/segment"
)

// meanName stands for the mean over the classes or regions in tables and files.
const meanName = "mean"

// row is a row of a table or a curve: the cases with the measures of one class or region, or
// with those of the foreground or the mean.
type row struct {
	name  string // "" if the result is binary
	cases []outcome.Case
}

// meanNameOf returns the name of a result's rows of all segments, "" if it is binary.
func meanNameOf(l *outcome.Result) string {
	if l.Scheme.Kind == segment.Binary {
		return ""
	}
	return meanName
}

// rowsOf returns the rows of pooled results: one for each class or region, then the mean.
// Each has a case once, as the mean over its seeds.
func rowsOf(p *outcome.Pooled) []row {
	cases := outcome.OverSeeds(p.Cases)
	var rows []row
	for i, s := range p.Scheme.Segments {
		rows = append(rows, row{s.Name, outcome.OfSegment(cases, i)})
	}
	return append(rows, row{meanNameOf(&p.Result), cases})
}

// segmented reports whether any of the results is not binary.
func segmented(results []outcome.Result) bool {
	return slices.ContainsFunc(results, func(l outcome.Result) bool { return l.Scheme.Kind != segment.Binary })
}

// segmentTitle returns the header of the column that names the classes or regions.
func segmentTitle(results []outcome.Result) string {
	classes := slices.ContainsFunc(results, func(l outcome.Result) bool { return l.Scheme.Kind == segment.Classes })
	regions := slices.ContainsFunc(results, func(l outcome.Result) bool { return l.Scheme.Kind == segment.Regions })
	switch {
	case classes && regions:
		return "Class or region"
	case regions:
		return "Region"
	}
	return "Class"
}
