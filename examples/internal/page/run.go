package page

import "github.com/x/afl/examples/internal/report"

// New returns the page of a run: everything but images.
func New(run *report.Run) (*Page, error) {
	charts, err := charts(run)
	if err != nil {
		return nil, err
	}
	return &Page{
		Title: run.Title, Facts: run.Facts, Tables: run.Tables(), Notes: run.Notes(),
		Charts: charts, Comparison: Compare(run.Results),
	}, nil
}
