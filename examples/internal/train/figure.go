package train

import (
	"fmt"

	"github.com/x/afl/examples/internal/qualitative"
)

// drawFigure writes the figure of the cases that were chosen for it, or nothing if no case has
// anything to segment.
func (r *results) drawFigure(p *pictures) error {
	columns := p.columns()
	if len(columns) == 0 {
		r.job.Progress.Println(fmt.Sprintf("No %s: no %s case has anything to segment.", figureName, map[bool]string{false: "validation", true: "test"}[r.job.Report.Held()]))
		return nil
	}
	f := &qualitative.Figure{Title: fmt.Sprintf("%s (run %s)", r.job.Title, r.job.ID), Columns: columns}
	for _, l := range p.layers {
		f.Rows = append(f.Rows, qualitative.Row{Name: l.name, Color: l.color})
	}
	return r.write(figureName, f.WritePNG)
}
