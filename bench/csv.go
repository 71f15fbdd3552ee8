package main

import (
	"encoding/csv"
	"io"
	"strconv"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/atomicfile"
)

var csvHeader = []string{
	"benchmark", "call", "pass", "size", "shape", "voxels", "cores",
	"min_s", "median_s", "calls", "ns_per_voxel",
	"passes", "bytes", "gb_per_s", "exp", "log",
	"copy_bytes_per_s", "exp_per_s", "log_per_s", "limit_s", "limit_by", "share_of_limit",
	"peer", "peer_min_s", "peer_median_s", "peer_calls", "peer_over_afl",
	"value", "peer_value",
}

// writeCSV writes a line for each row with every number. A number that does not exist
// is an empty cell.
func (r *results) writeCSV(path string) error {
	lines := [][]string{csvHeader}
	for _, row := range r.rows {
		lines = append(lines, row.record())
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		return csv.NewWriter(w).WriteAll(lines)
	})
}

func (r *row) record() []string {
	line := []string{
		r.name, r.call.Name, r.pass, r.size.Name, r.size.String(), strconv.Itoa(r.voxels()), strconv.Itoa(r.cores),
		report.Cell(r.ours.Min()), report.Cell(r.ours.Median()), strconv.Itoa(len(r.ours)), report.Cell(r.nsPerVoxel()),
	}
	if r.work == nil {
		line = append(line, make([]string, 11)...)
	} else {
		limit, by := r.limits.seconds(*r.work)
		share, _ := r.share()
		var exp, log timing.Samples
		if r.limits.evaluationRates != nil {
			exp, log = r.limits.exp, r.limits.log
		}
		line = append(line,
			strconv.Itoa(r.work.Passes), strconv.FormatInt(r.work.Bytes, 10), report.Cell(r.gigabytes()),
			strconv.FormatInt(r.work.Exp, 10), strconv.FormatInt(r.work.Log, 10),
			report.Cell(r.limits.bandwidth.Max()), report.Cell(exp.Max()), report.Cell(log.Max()),
			report.Cell(limit), by, report.Cell(share))
	}
	peer := ""
	if len(r.peers) > 0 {
		peer = r.peerName()
	}
	return append(line, peer, report.Cell(r.peers.Min()), report.Cell(r.peers.Median()), strconv.Itoa(len(r.peers)), report.Cell(r.ratio()),
		report.Cells(r.ourValues), report.Cells(r.peerValues))
}
