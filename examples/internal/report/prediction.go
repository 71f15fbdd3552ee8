package report

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
)

// Prediction holds the measures of one predicted mask, by the grid on which they were
// computed, together with facts about it.
type Prediction struct {
	// Facts is written to the JSON file unchanged.
	Facts any
	Grids []GridValues
}

// GridValues holds the measures computed on one grid.
type GridValues struct {
	// Grid is the name of the grid in tables and files.
	Grid   string
	Values Values
}

// Table returns the measures as a Markdown table with a row per measure and a column per
// grid.
func (p *Prediction) Table() string {
	t := Table{Header: []string{"Measure"}}
	for _, g := range p.Grids {
		t.Header = append(t.Header, g.Grid)
	}
	for m := range MeasureCount {
		row := []string{m.String()}
		for _, g := range p.Grids {
			row = append(row, g.Values[m].format(m))
		}
		t.Rows = append(t.Rows, row)
	}
	return t.String()
}

// format formats n with a number of decimals that suits the measure.
func (n Number) format(m Measure) string {
	switch v := float64(n); {
	case math.IsNaN(v):
		return dash
	case math.IsInf(v, 0):
		return "∞"
	case m == LesionTP || m == LesionFP || m == LesionFN:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case m == Hausdorff95 || m == SurfaceDistance:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 4, 64)
	}
}

// WriteCSV writes one row per grid to path, with full precision; an undefined measure is
// an empty cell.
func (p *Prediction) WriteCSV(path string) error {
	header := []string{"grid"}
	for m := range MeasureCount {
		header = append(header, m.String())
	}
	rows := [][]string{header}
	for _, g := range p.Grids {
		row := []string{g.Grid}
		for _, v := range g.Values {
			row = append(row, v.cell())
		}
		rows = append(rows, row)
	}
	return writeCSV(path, rows)
}

// WriteJSON writes the facts and the measures to path; an undefined measure is null.
func (p *Prediction) WriteJSON(path string) error {
	grids := map[string]map[string]Number{}
	for _, g := range p.Grids {
		values := map[string]Number{}
		for m, v := range g.Values {
			values[Measure(m).String()] = v
		}
		grids[g.Grid] = values
	}
	raw, err := json.MarshalIndent(map[string]any{"facts": p.Facts, "measures": grids}, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, func(w io.Writer) error {
		_, err := w.Write(append(raw, '\n'))
		return err
	})
}
