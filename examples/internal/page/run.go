package page

import (
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/report"
)

// New returns the page of a run: everything but images.
func New(run *report.Run) *Page {
	return &Page{
		Title: run.Title, Facts: run.Facts, Tables: run.Tables(), Notes: run.Notes(),
		Comparison: Compare(outcome.Store(run.Results)),
	}
}
