package main

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/atomicfile"
)

// series are the times of a row with the names of their columns.
func (r *row) series() []struct {
	name string
	s    timing.Samples
} {
	return []struct {
		name string
		s    timing.Samples
	}{
		{"calls", r.calls}, {"graph", r.graph}, {"copies", r.copies}, {"copy_graph", r.copyGraph},
		{"eager", r.peers[eager]}, {"compile", r.peers[compiled]}, {"released", r.peers[released]},
	}
}

// writeCSV writes a line for each row with every number. A number that does not exist is
// an empty cell.
func writeCSV(path string, rows []*row) error {
	header := []string{"loss", "pass", "size", "shape", "voxels", "logits", "labels", "call", "passes", "bytes", "sets", "turns"}
	for _, s := range (&row{}).series() {
		for _, n := range []string{"median", "min", "max"} {
			header = append(header, s.name+"_"+n+"_s")
		}
	}
	header = append(header, "bytes_per_s", "graph_bytes_per_s", "copy_bytes_per_s", "copy_graph_bytes_per_s",
		"share_of_copy", "graph_share_of_copy", "eager_over_afl", "compile_over_afl", "released_over_afl",
		"value", "eager_value", "compile_value", "released_value", "compiling_s", "failure")
	lines := [][]string{header}
	for _, r := range rows {
		line := []string{r.loss, r.pass(), r.size.Name, r.size.String(), strconv.Itoa(r.size.Voxels()),
			r.types.logits.name, r.types.labels.name, r.call.Name,
			strconv.Itoa(r.work.Passes), strconv.FormatInt(r.work.Bytes, 10), strconv.Itoa(r.sets), strconv.Itoa(len(r.calls))}
		for _, s := range r.series() {
			line = append(line, report.Cell(s.s.Median()), report.Cell(s.s.Min()), report.Cell(s.s.Max()))
		}
		for _, v := range []float64{r.rate(r.calls), r.rate(r.graph), r.rate(r.copies), r.rate(r.copyGraph),
			r.share(), r.graphShare(), r.ratio(eager), r.ratio(compiled), r.ratio(released), r.value} {
			line = append(line, report.Cell(v))
		}
		var failures []string
		for _, how := range modes {
			cell := ""
			if v, ok := r.peerValues[how]; ok {
				cell = report.Cell(v)
			}
			line = append(line, cell)
			if why := r.failed[how]; why != "" {
				failures = append(failures, string(how)+": "+why)
			}
		}
		compiling := ""
		if r.compiling > 0 {
			compiling = report.Cell(r.compiling)
		}
		lines = append(lines, append(line, compiling, strings.Join(failures, "; ")))
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		return csv.NewWriter(w).WriteAll(lines)
	})
}
