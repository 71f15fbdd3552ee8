package main

import (
	"path/filepath"
	"time"

	"github.com/x/afl/bench/internal/report"
)

// results are everything that a run reports.
type results struct {
	command     string
	date        time.Time
	machine     report.Machine
	loadBefore  string
	loadAfter   string
	peers       []contender
	evaluations string // the name of what evaluates exp and log
	repeats     int
	rows        []*row
}

// write writes the table, the numbers and, after a comparison, the chart to a folder,
// and returns the paths of the files.
func (r *results) write(folder string) ([]string, error) {
	files := []struct {
		name  string
		write func(path string) error
	}{
		{"README.md", r.writeTable},
		{"results.csv", r.writeCSV},
		{"ratios.png", r.writeChart},
	}
	if len(r.peers) == 0 {
		files = files[:2]
	}
	var written []string
	for _, f := range files {
		path := filepath.Join(folder, f.name)
		if err := f.write(path); err != nil {
			return written, err
		}
		written = append(written, path)
	}
	return written, nil
}
