package main

import (
	"encoding/csv"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/x/afl/internal/atomicfile"
)

var csvHeader = []string{
	"benchmark", "pass", "size", "shape", "voxels", "cores",
	"min_s", "median_s", "calls", "ns_per_voxel",
	"passes", "bytes", "gb_per_s", "exp", "log",
	"copy_bytes_per_s", "exp_per_s", "log_per_s", "limit_s", "limit_by", "share_of_limit",
	"peer", "peer_min_s", "peer_median_s", "peer_calls", "peer_over_afl",
	"value", "peer_value",
}

// writeCSV writes one line a row with every number; one that does not exist is
// an empty cell.
func (r *report) writeCSV(path string) error {
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
		r.name, r.pass, r.size.name, r.size.String(), strconv.Itoa(r.size.voxels()), strconv.Itoa(r.cores),
		cell(r.ours.min()), cell(r.ours.median()), strconv.Itoa(len(r.ours)), cell(r.nsPerVoxel()),
	}
	if r.work == nil {
		line = append(line, make([]string, 11)...)
	} else {
		limit, by := r.limits.seconds(*r.work)
		share, _ := r.share()
		line = append(line,
			strconv.Itoa(r.work.passes), strconv.FormatInt(r.work.bytes, 10), cell(r.gigabytes()),
			strconv.FormatInt(r.work.exp, 10), strconv.FormatInt(r.work.log, 10),
			cell(r.limits.bandwidth.max()), cell(r.limits.exp.max()), cell(r.limits.log.max()),
			cell(limit), by, cell(share))
	}
	peer := ""
	if len(r.peers) > 0 {
		peer = r.peerName()
	}
	return append(line, peer, cell(r.peers.min()), cell(r.peers.median()), strconv.Itoa(len(r.peers)), cell(r.ratio()),
		cells(r.values), cells(r.peerValues))
}

func cell(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func cells(values []float64) string {
	var words []string
	for _, v := range values {
		words = append(words, cell(v))
	}
	return strings.Join(words, " ")
}
