package report

import (
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl/examples/internal/outcome"
)

// Prediction holds the measures of one predicted mask, by the grid on which they were
// computed, together with facts about it.
type Prediction struct {
	// Facts is written to the JSON file unchanged.
	Facts any
	Grids []GridValues
	// Detection is nil unless lesion candidates were looked for.
	Detection *PredictedDetection
}

// GridValues holds the measures computed on one grid.
type GridValues struct {
	// Grid is the name of the grid in tables and files.
	Grid string
	// Values are the measures of the foreground or, if there are Segments, their means.
	Values outcome.Values
	// Segments are the measures of each class or region, none if the mask is binary.
	Segments []outcome.SegmentValues
}

// parts returns the measures of each class or region and their mean, or the only measures
// without a name if the mask is binary.
func (g GridValues) parts() []outcome.SegmentValues {
	if len(g.Segments) == 0 {
		return []outcome.SegmentValues{{Values: g.Values}}
	}
	return append(slices.Clone(g.Segments), outcome.SegmentValues{Name: meanName, Values: g.Values})
}

// columnName returns the header of a column.
func columnName(grid, segment string) string { return strings.TrimSpace(grid + " " + segment) }

// segmented reports whether there are classes or regions.
func (p *Prediction) segmented() bool {
	return slices.ContainsFunc(p.Grids, func(g GridValues) bool { return len(g.Segments) > 0 })
}

// Table returns the measures as a Markdown table with a row per measure and a column per
// grid, or per grid and class or region and one for their mean.
func (p *Prediction) Table() string {
	t := Table{Header: []string{"Measure"}}
	for _, g := range p.Grids {
		for _, part := range g.parts() {
			t.Header = append(t.Header, columnName(g.Grid, part.Name))
		}
	}
	for m := range outcome.MeasureCount {
		row := []string{m.String()}
		for _, g := range p.Grids {
			for _, part := range g.parts() {
				row = append(row, format(part.Values[m], m))
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t.String()
}

// format formats n with a number of decimals that suits the measure.
func format(n outcome.Number, m outcome.Measure) string {
	switch v := float64(n); {
	case math.IsNaN(v):
		return dash
	case math.IsInf(v, 0):
		return "∞"
	case m == outcome.LesionTP || m == outcome.LesionFP || m == outcome.LesionFN:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case m == outcome.Hausdorff95 || m == outcome.SurfaceDistance:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 4, 64)
	}
}

// WriteCSV writes one row per grid to path, with full precision; an undefined measure is
// an empty cell. If there are classes or regions, a column segment names them, and each grid
// has a row for each and for their mean.
func (p *Prediction) WriteCSV(path string) error {
	return writeCSV(path, p.rows())
}

// rows returns the rows of WriteCSV.
func (p *Prediction) rows() [][]string {
	header := []string{"grid"}
	if p.segmented() {
		header = append(header, "segment")
	}
	for m := range outcome.MeasureCount {
		header = append(header, m.String())
	}
	rows := [][]string{header}
	for _, g := range p.Grids {
		for _, part := range g.parts() {
			row := []string{g.Grid}
			if p.segmented() {
				row = append(row, part.Name)
			}
			for _, v := range part.Values {
				row = append(row, cell(v))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// WriteJSON writes the facts and the measures by grid to path; an undefined measure is null.
// If there are classes or regions, each grid has an object for each and for their mean. The
// lesion candidates follow if they were looked for.
func (p *Prediction) WriteJSON(path string) error {
	byName := func(values outcome.Values) map[string]outcome.Number {
		named := map[string]outcome.Number{}
		for m, v := range values {
			named[outcome.Measure(m).String()] = v
		}
		return named
	}
	grids := map[string]any{}
	for _, g := range p.Grids {
		if len(g.Segments) == 0 {
			grids[g.Grid] = byName(g.Values)
			continue
		}
		segments := map[string]any{}
		for _, part := range g.parts() {
			segments[part.Name] = byName(part.Values)
		}
		grids[g.Grid] = segments
	}
	content := map[string]any{"facts": p.Facts, "measures": grids}
	if p.Detection != nil {
		content["detection"] = p.Detection
	}
	raw, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, func(w io.Writer) error {
		_, err := w.Write(append(raw, '\n'))
		return err
	})
}
