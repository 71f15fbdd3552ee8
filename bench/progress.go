package main

import (
	"fmt"
	"io"
	"time"

	"github.com/x/afl/bench/internal/report"
)

// progress prints a line for every row with the remaining time, estimated from the
// number of voxels that are still to be processed.
type progress struct {
	w           io.Writer
	start       time.Time
	total, past int // voxels
}

func newProgress(w io.Writer) *progress { return &progress{w: w, start: time.Now()} }

// expect adds voxels that are to be processed.
func (p *progress) expect(voxels int) { p.total += voxels }

// done prints the line of a row.
func (p *progress) done(r *row, peers []contender) {
	p.past += r.voxels()
	left := time.Duration(float64(time.Since(p.start)) * float64(p.total-p.past) / float64(p.past))
	line := fmt.Sprintf("%3d %%  %s left  %-48s %s  %s  %.3g ms", 100*p.past/p.total,
		left.Round(time.Second), r.label(), r.size.Name, report.Plural(r.cores, "core"), 1e3*r.ours.Min())
	for i, c := range peers {
		if len(r.peers[i]) > 0 {
			line += fmt.Sprintf(", %s %.3g ms", c.library(r), 1e3*r.peers[i].Min())
		}
	}
	fmt.Fprintln(p.w, line)
}
