package main

import (
	"encoding/csv"
	"image"
	_ "image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/bench/internal/benchtest"
	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/workload"
)

// sampleReport has round numbers: 1000 voxels, the shortest time 4 µs.
func sampleReport() *results {
	s := workload.NewSize([3]int{10, 10, 10})
	lim := &limits{timing.Samples{9e9}, &evaluationRates{exp: timing.Samples{2e9}, log: timing.Samples{1e9}}}
	lossRow := func(name, pass string, ours, peers float64, w workload.Work) *row {
		return &row{benchmark: &benchmark{name: name, title: strings.ToUpper(name), call: classIndices, pass: pass, work: &w}, size: s, cores: 2, limits: lim,
			ours: timing.Samples{ours * 3, ours}, peers: []timing.Samples{{peers}}, ourValues: []float64{0.5}, peerValues: [][]float64{{0.25}}}
	}
	return &results{
		command: "go run ./bench -some flags", date: time.Date(2024, 5, 6, 7, 8, 0, 0, time.UTC),
		machine:    report.Machine{CPU: "Abacus 3000", Cores: 2, Memory: 3 << 30, System: "linux/amd64", Go: "go1.99"},
		loadBefore: "0.25", loadAfter: "1.50", peers: []contender{{peer: &peer{version: peerVersion{Torch: "1.2.3", SciPy: "4.5.6", Python: "3.0"}}, way: operations}},
		evaluations: "two stones", repeats: 2,
		rows: []*row{
			lossRow("dice", passForward, 4e-6, 8e-6, workload.Work{Passes: 1, Bytes: 9000, Exp: 2000}),
			lossRow("dice", passGradient, 16e-6, 128e-6, workload.Work{Passes: 2, Bytes: 72000, Exp: 2000, Log: 1000}),
			{benchmark: &benchmark{name: "surface-lesion", title: "Surfaces of lesion", pass: passSurface}, size: s, cores: 1,
				ours: timing.Samples{1e-3}, plain: timing.Samples{4e-3, 3e-3}, peers: []timing.Samples{{5e-3}}, ourValues: []float64{3, 2, 1}, peerValues: [][]float64{{3, 2, 1}}},
		},
	}
}

func TestCSV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.csv")
	require.NoError(t, sampleReport().writeCSV(path))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	require.Len(t, lines, 4)
	at := func(line int) map[string]string {
		m := map[string]string{}
		for i, column := range lines[0] {
			m[column] = lines[line][i]
		}
		return m
	}
	assert.Equal(t, map[string]string{
		"benchmark": "dice", "call": "class-indices", "pass": "forward+gradient", "size": "10x10x10", "shape": "1×2×10×10×10", "voxels": "1000", "cores": "2",
		"min_s": "1.6e-05", "median_s": "3.2e-05", "calls": "2", "ns_per_voxel": "16",
		"passes": "2", "bytes": "72000", "gb_per_s": "4.5", "exp": "2000", "log": "1000",
		"copy_bytes_per_s": "9e+09", "exp_per_s": "2e+09", "log_per_s": "1e+09",
		"limit_s": "8e-06", "limit_by": "memory", "share_of_limit": "0.5",
		"peer": "PyTorch 1.2.3", "peer_min_s": "0.000128", "peer_median_s": "0.000128", "peer_calls": "1", "peer_over_afl": "8",
		"two_transforms_min_s": "", "value": "0.5", "peer_value": "0.25",
	}, at(2))
	surface := at(3)
	assert.Equal(t, "SciPy 4.5.6", surface["peer"])
	assert.Equal(t, "3 2 1", surface["value"])
	assert.Equal(t, "0.003", surface["two_transforms_min_s"])
	for _, none := range []string{"passes", "bytes", "gb_per_s", "exp", "limit_s", "limit_by", "share_of_limit"} {
		assert.Empty(t, surface[none], none)
	}
}

func TestTable(t *testing.T) {
	text := sampleReport().markdown()
	for _, line := range []string{
		"go run ./bench -some flags",
		"Made on 2024-05-06 07:08 UTC by",
		"| CPU | Abacus 3000, 2 cores |",
		"| Memory | 3.0 GiB |",
		"| Compared with | PyTorch 1.2.3, SciPy 4.5.6, Python 3.0 |",
		"| exp and log, of afl and of the limit | two stones |",
		"The median call took 2.00 times as long as the shortest one in afl and 1.00 times\nin PyTorch and SciPy.\n",
		"Geometric mean of the ratios to PyTorch 1.2.3: forward 2.00, with gradient 8.00.",
		"## Losses, 1×2×10×10×10, 2 cores",
		"Limits: copy 9.0 GB/s, exp 2e+03 million/s, log 1e+03 million/s.",
		"| DICE | 4.00 | 2.25 | 25 % | memory | 0.00 | 0.01 | 2.00 | 16.0 | 4.50 | 50 % | memory | 0.02 | 0.13 | 8.00 |",
		"surface Dice, 10×10×10",
		"| Surfaces of lesion | 1 | 1000 | 1.00 | 3.00 | 3.00 | 5.00 | 5.00 |",
	} {
		assert.Contains(t, text, line)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| DICE") || strings.HasPrefix(line, "| | forward") {
			assert.Equal(t, 16, strings.Count(line, "|"), line)
		}
	}
}

// TestContenderColumns: every PyTorch has columns of its own, and torch.compile none among
// the surfaces.
func TestContenderColumns(t *testing.T) {
	r := sampleReport()
	current := &peer{version: peerVersion{Torch: "9.8.7", SciPy: "6.5.4", Python: "4.0", Compile: true}}
	r.peers = append(r.peers, contenders([]*peer{current}, true, false)...)
	for i, row := range r.rows {
		row.peers = append(row.peers, timing.Samples{6e-3, 2e-3}, timing.Samples{1e-3})
		row.peerValues = append(row.peerValues, []float64{1}, []float64{2})
		if row.isSurface() {
			row.peers[2], row.peerValues[2] = nil, nil
		}
		row.ours = timing.Samples{float64(i+1) * 1e-3}
	}
	text := r.markdown()
	for _, line := range []string{
		"| Compared with | PyTorch 1.2.3, SciPy 4.5.6, Python 3.0 |\n| Compared with | PyTorch 9.8.7, SciPy 6.5.4, Python 4.0 |\n| Compared with | the same through torch.compile |\n",
		"| PyTorch 1.2.3 ms | ratio | PyTorch 9.8.7 ms | ratio | PyTorch 9.8.7 compiled ms | ratio | + gradient:",
		"| memory | 1.00 | 0.01 | 0.01 | 2.00 | 2.00 | 1.00 | 1.00 | 2000 |",
		"ratios to PyTorch 9.8.7: forward 2.00, with gradient 1.00.",
		"ratios to PyTorch 9.8.7 compiled: forward 1.00, with gradient 0.50.",
		"| | cores | ns/voxel | afl ms | two transforms ms | ratio | SciPy 4.5.6 ms | ratio | SciPy 6.5.4 ms | ratio |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
		"| Surfaces of lesion | 1 | 3000 | 3.00 | 3.00 | 1.00 | 5.00 | 1.67 | 2.00 | 0.67 |\n",
	} {
		assert.Contains(t, text, line)
	}

	folder := t.TempDir()
	_, err := r.write(folder)
	require.NoError(t, err)
	records := benchtest.ReadCSV(t, filepath.Join(folder, "results.csv"))
	assert.Equal(t, "PyTorch 1.2.3", records[0]["peer"])
	assert.Equal(t, "PyTorch 9.8.7", records[0]["peer_2"])
	assert.Equal(t, "0.002", records[0]["peer_min_s_2"])
	assert.Equal(t, "PyTorch 9.8.7 compiled", records[0]["peer_3"])
	assert.Equal(t, "2", records[0]["peer_value_3"])
	assert.Equal(t, "SciPy 6.5.4", records[2]["peer_2"])
	assert.Empty(t, records[2]["peer_3"])
}

// TestCallTable: the kinds of calls follow the same losses with class indices, in a table
// for each number of cores. The chart is without them.
func TestCallTable(t *testing.T) {
	r := sampleReport()
	soft := func(pass string, ours, peers float64, w workload.Work, rates *evaluationRates) *row {
		return &row{benchmark: &benchmark{name: "dice", title: "DICE", pass: pass, work: &w, call: workload.Call{Name: "float64", Title: "float64 logits", Float64: true}},
			size: workload.NewImages(5, 20, 10), cores: 2, limits: &limits{timing.Samples{9e9}, rates}, ours: timing.Samples{ours}, peers: []timing.Samples{{peers}}, peerValues: [][]float64{nil}}
	}
	other := *r.rows[0].benchmark
	other.name, other.title = "ce", "CE"
	r.rows = append(r.rows,
		&row{benchmark: &other, size: r.rows[0].size, cores: 2, limits: r.rows[0].limits, ours: timing.Samples{1}, peers: []timing.Samples{{1}}, peerValues: [][]float64{nil}},
		soft(passForward, 4e-6, 2e-6, workload.Work{Passes: 1, Bytes: 9000, Exp: 2000}, nil),
		soft(passGradient, 10e-6, 30e-6, workload.Work{Passes: 2, Bytes: 18000}, nil))
	text := r.markdown()
	assert.Equal(t, 1, strings.Count(text, "## Kinds of calls, 2 cores"))
	_, table, _ := strings.Cut(text, "## Kinds of calls, 2 cores\n\n")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	require.Len(t, lines, 4)
	for _, line := range lines {
		assert.Equal(t, 16, strings.Count(line, "|"), line)
	}
	assert.Equal(t, []string{
		"| class indices | 1×2×10×10×10 | DICE | 0.00 | 4.00 | 25 % | memory | 0.01 | 2.00 | 0.02 | 16.0 | 50 % | memory | 0.13 | 8.00 |",
		"| float64 logits | 5×2×20×10 | DICE | 0.00 | 4.00 | 25 % | memory | 0.00 | 0.50 | 0.01 | 10.0 | 20 % | memory | 0.03 | 3.00 |",
	}, lines[2:])

	path := filepath.Join(t.TempDir(), "r.csv")
	require.NoError(t, r.writeCSV(path))
	records := benchtest.ReadCSV(t, path)
	last := records[len(records)-2]
	assert.Equal(t, "float64", last["call"])
	assert.Equal(t, "5×2×20×10", last["shape"])
	assert.Equal(t, "0.25", last["share_of_limit"])
	assert.Empty(t, last["exp_per_s"], "of float32 only")
}

func TestTableWithoutPeer(t *testing.T) {
	r := sampleReport()
	r.peers = nil
	for _, row := range r.rows {
		row.peers = nil
	}
	text := r.markdown()
	assert.Contains(t, text, "| Compared with | nothing")
	assert.Contains(t, text, "| 4.00 | 2.25 | 25 % | memory | 0.00 | 16.0 |")
	assert.NotContains(t, text, "NaN")
	assert.NotContains(t, text, "Geometric mean")
	assert.NotContains(t, text, "agrees with PyTorch")

	folder := t.TempDir()
	written, err := r.write(folder)
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(folder, "README.md"), filepath.Join(folder, "results.csv")}, written)
}

// TestChart: the height of a bar is the binary logarithm of its ratio, up or down, in the color of its series.
func TestChart(t *testing.T) {
	folder := t.TempDir()
	height := func(peers float64) int {
		r := sampleReport()
		r.rows[1].peers = []timing.Samples{{peers}}
		path := filepath.Join(folder, "c.png")
		require.NoError(t, r.writeChart(path))
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		img, _, err := image.Decode(f)
		require.NoError(t, err)
		tallest := 0
		for x := range img.Bounds().Dx() * 3 / 4 { // the legend has the color too
			column := 0
			for y := range img.Bounds().Dy() {
				if img.At(x, y) == report.Palette[0] {
					column++
				}
			}
			tallest = max(tallest, column)
		}
		return tallest
	}
	// Time 16 µs here; the bar of the surfaces, 5 times as fast, sets the axis.
	one, two := height(32e-6), height(64e-6)
	assert.Positive(t, one)
	assert.InDelta(t, 2, float64(two)/float64(one), 0.1)
	assert.Positive(t, height(4e-6), "below 1")
	assert.InDelta(t, 0, height(16e-6), 3, "as fast")
}
