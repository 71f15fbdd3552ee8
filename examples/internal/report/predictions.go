package report

import (
	"slices"

	"github.com/x/afl/examples/internal/outcome"
)

// CasePrediction is the prediction of one of several cases.
type CasePrediction struct {
	ID         string
	Prediction *Prediction
}

// WritePredictionsCSV writes the rows of [Prediction.WriteCSV] of every case to path, after a
// column for the case.
func WritePredictionsCSV(path string, cases []CasePrediction) error {
	var rows [][]string
	for i, c := range cases {
		own := c.Prediction.rows()
		if i > 0 {
			own = own[1:]
		}
		for k, row := range own {
			name := c.ID
			if i == 0 && k == 0 {
				name = "case"
			}
			rows = append(rows, slices.Insert(row, 0, name))
		}
	}
	return writeCSV(path, rows)
}

// PredictionsTable returns the table of [Prediction.Table] with the means over the cases,
// which all have the same grids and classes or regions.
func PredictionsTable(cases []CasePrediction) string {
	t := Table{Header: []string{"Measure"}}
	var columns []outcome.Means
	for g, grid := range cases[0].Prediction.Grids {
		for k, part := range grid.parts() {
			t.Header = append(t.Header, columnName(grid.Grid, part.Name))
			var values []outcome.Case
			for _, c := range cases {
				values = append(values, outcome.Case{ID: c.ID, Values: c.Prediction.Grids[g].parts()[k].Values})
			}
			columns = append(columns, outcome.MeanOf(values))
		}
	}
	for m := range outcome.MeasureCount {
		row := []string{m.String()}
		for _, means := range columns {
			decimals := 4
			if m == outcome.Hausdorff95 || m == outcome.SurfaceDistance || m >= outcome.LesionTP {
				decimals = 2
			}
			row = append(row, means[m].Format(len(cases), decimals))
		}
		t.Rows = append(t.Rows, row)
	}
	return t.String()
}
