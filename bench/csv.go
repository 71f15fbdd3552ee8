package main

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/atomicfile"
)

// csvHeader is followed by peerHeader for each contender.
var csvHeader = []string{
	"benchmark", "call", "pass", "size", "shape", "voxels", "cores",
	"min_s", "median_s", "calls", "ns_per_voxel",
	"passes", "bytes", "gb_per_s", "exp", "log",
	"copy_bytes_per_s", "exp_per_s", "log_per_s", "limit_s", "limit_by", "share_of_limit",
	"two_transforms_min_s", "value",
}

// peerHeader has a number appended for a contender after the first: peer_2.
var peerHeader = []string{"peer", "peer_min_s", "peer_median_s", "peer_calls", "peer_over_afl", "peer_value"}

// writeCSV writes a line for each row with every number. A number that does not exist
// is an empty cell.
func (r *results) writeCSV(path string) error {
	header := slices.Clone(csvHeader)
	for i := range r.peers {
		for _, column := range peerHeader {
			if i > 0 {
				column += "_" + strconv.Itoa(i+1)
			}
			header = append(header, column)
		}
	}
	lines := [][]string{header}
	for _, row := range r.rows {
		lines = append(lines, row.record(r.peers))
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		return csv.NewWriter(w).WriteAll(lines)
	})
}

func (r *row) record(peers []contender) []string {
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
	transforms := ""
	if r.isSurface() {
		transforms = report.Cell(r.plain.Min())
	}
	line = append(line, transforms, report.Cells(r.ourValues))
	for i, c := range peers {
		if len(r.peers[i]) == 0 {
			line = append(line, make([]string, len(peerHeader))...)
			continue
		}
		line = append(line, c.library(r), report.Cell(r.peers[i].Min()), report.Cell(r.peers[i].Median()),
			strconv.Itoa(len(r.peers[i])), report.Cell(r.ratio(i)), report.Cells(r.peerValues[i]))
	}
	return line
}
