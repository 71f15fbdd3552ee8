package train

import (
	"fmt"

	"github.com/x/afl/examples/internal/qualitative"
)

// drawFigure writes the figure of the validation cases that were chosen for it. It leaves out
// trainings without best weights, and writes nothing if no validation case has anything to
// segment.
func (r *results) drawFigure(p *pictures) error {
	columns := p.columns()
	if len(columns) == 0 {
		r.job.Progress.Println(fmt.Sprintf("No %s: no validation case has anything to segment.", figureName))
		return nil
	}
	f := &qualitative.Figure{Title: fmt.Sprintf("%s (run %s)", r.job.Title, r.job.ID), Columns: columns}
	for _, l := range p.layers {
		f.Rows = append(f.Rows, qualitative.Row{Name: l.name, Color: l.color})
	}
	return r.write(figureName, f.WritePNG)
}
