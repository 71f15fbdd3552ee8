package main

import (
	"path/filepath"
	"time"

	"github.com/x/afl/bench/internal/report"
)

// results are everything that a run reports.
type results struct {
	command string
	date    time.Time
	machine report.Machine
	device  []field // of the driver
	before  []field // of nvidia-smi before the measurements
	after   []field // and after them
	peer    *peerVersion
	turns   int
	checks  []checked
	rows    []*row
	skipped []string // what was not done, and why
	late    bool     // some of it because the time was up
	stopped error    // what ended the run early
}

// field is a name and its value.
type field struct{ Name, Value string }

// write writes the table, the numbers and the chart to a folder, and returns the paths
// of the files.
func (r *results) write(folder string) ([]string, error) {
	var written []string
	chart := filepath.Join(folder, "ratios.png")
	drawn, err := writeChart(chart, r.rows)
	if err != nil {
		return nil, err
	}
	if drawn {
		written = append(written, chart)
	}
	if len(r.rows) > 0 {
		path := filepath.Join(folder, "results.csv")
		if err := writeCSV(path, r.rows); err != nil {
			return written, err
		}
		written = append(written, path)
	}
	path := filepath.Join(folder, "README.md")
	if err := r.writeTable(path); err != nil {
		return written, err
	}
	return append(written, path), nil
}
