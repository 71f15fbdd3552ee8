package main

import (
	"encoding/csv"
	"errors"
	"image"
	_ "image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/workload"
)

// sampleRow has a median call of 8 µs; a copy moves its bytes in 4 µs.
func sampleRow(t *testing.T, loss string, gradient bool, s workload.Size) *row {
	r, err := newRow(loss, gradient, s, types{float32s, uint8s}, workload.Call{})
	require.NoError(t, err)
	r.sets = 3
	r.calls, r.graph = timing.Samples{7e-6, 8e-6, 16e-6}, timing.Samples{5e-6}
	r.copies, r.copyGraph = timing.Samples{4e-6}, timing.Samples{4e-6}
	r.peers[eager], r.peers[compiled] = timing.Samples{48e-6}, timing.Samples{8e-6}
	r.value, r.peerValues[eager], r.peerValues[compiled] = 0.5, 0.25, 0.125
	r.compiling = 3
	return r
}

func sampleResults(t *testing.T) *results {
	half := sampleRow(t, "dice", false, workload.PICAI)
	half.types.logits = bfloat16s
	half.peers = map[mode]timing.Samples{}
	half.failed[compiled] = "RuntimeError: no\ncompiler"
	step := sampleRow(t, "afl", true, workload.BraTS)
	step.peers[released] = timing.Samples{1e-3}
	return &results{
		command: "go run ./bench/cuda -some flags", date: time.Date(2024, 5, 6, 7, 8, 0, 0, time.UTC),
		machine: report.Machine{CPU: "Abacus 3000", Cores: 2, System: "linux/amd64", Go: "go1.99", Commit: "abc"},
		device:  []field{{"GPU", "Loom 1"}}, before: []field{{"clocks", "1 Hz"}, {"mode", "a"}}, after: []field{{"clocks", "2 Hz"}, {"mode", "a"}},
		peer: &peerVersion{Torch: "1.2.3", CUDA: "4.5", Device: "Loom"}, turns: 3,
		checks:  []checked{{"tests", "cuda.test: TestA", "passed", 2 * time.Second}},
		rows:    []*row{sampleRow(t, "dice", true, workload.PICAI), step, half},
		skipped: []string{"ce, forward: the time was up."},
	}
}

func TestCSV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.csv")
	require.NoError(t, writeCSV(path, sampleResults(t).rows))
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
		require.Len(t, m, len(lines[0]), "no column twice")
		return m
	}
	first := at(1)
	for column, want := range map[string]string{
		"loss": "dice", "pass": passGradient, "size": "picai", "shape": "1×2×160×128×24", "voxels": "491520",
		"logits": "float32", "labels": "uint8", "call": "", "passes": "2", "bytes": "12779520", "sets": "3", "turns": "3",
		"calls_median_s": "8e-06", "calls_min_s": "7e-06", "calls_max_s": "1.6e-05", "graph_median_s": "5e-06",
		"copies_median_s": "4e-06", "eager_median_s": "4.8e-05", "compile_median_s": "8e-06", "released_median_s": "",
		"share_of_copy": "0.5", "eager_over_afl": "6", "compile_over_afl": "1", "released_over_afl": "",
		"value": "0.5", "eager_value": "0.25", "compile_value": "0.125", "released_value": "", "compiling_s": "3", "failure": "",
	} {
		assert.Equal(t, want, first[column], column)
	}
	assert.Equal(t, "1.59744e+12", first["bytes_per_s"])
	assert.Equal(t, "125", at(2)["released_over_afl"][:3])
	assert.Equal(t, "", at(3)["eager_median_s"])
	assert.Contains(t, at(3)["failure"], "compile: RuntimeError")
}

func TestTable(t *testing.T) {
	text := sampleResults(t).markdown()
	for _, line := range []string{
		"go run ./bench/cuda -some flags",
		"Made on 2024-05-06 07:08 UTC by",
		"| GPU | Loom 1 |",
		"| CPU | Abacus 3000, 2 cores |",
		"| Commit | abc |",
		"| clocks | 1 Hz | 2 Hz |",
		"| tests | cuda.test: TestA | passed | 2.0 |",
		"PyTorch 1.2.3 (CUDA 4.5",
		"| share of the copies' rate, from the BraTS size up | ≥ 0.85 | 0 of 1 | 0.50 | 0.50 | afl, forward+gradient, 1×2×224×224×144, float32 logits, uint8 labels |",
		"| times as fast as PyTorch | ≥ 5 | 2 of 2 | 6.00 | 6.00 |",
		"| times as fast as PyTorch with torch.compile | ≥ 1.5 | 0 of 2 | 1.00 | 1.00 |",
		"whose statistics are the CPU's | ≥ 100 | 1 of 1 | 125 | 125 |",
		"### forward+gradient, 1×2×160×128×24, float32 logits, uint8 labels",
		"| Dice | 8.00 | 1597 | 50 % | 5.00 | 2556 | 80 % | 48.0 | 6.00 | 8.00 | 1.00 |",
		"A copy of the first line's bytes ran at 3195 GB/s",
		"Geometric means of the times as fast: 6.00, compiled 1.00.",
		"### forward, 1×2×160×128×24, bfloat16 logits, uint8 labels",
		"| – | – | failed | – |",
		"Dice, PyTorch (compile) failed: RuntimeError: no compiler",
		"| 1×2×224×224×144, float32 logits, uint8 labels | 8.00 | 1000 | 125 |",
		"- ce, forward: the time was up.",
	} {
		assert.Contains(t, text, line)
	}
	assert.NotContains(t, text, "NaN")
	assert.NotContains(t, text, "stopped")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| Dice") || strings.HasPrefix(line, "| | calls µs | GB/s") {
			assert.Equal(t, 12, strings.Count(line, "|"), line)
		}
	}
}

// TestTableOfLittle: there are no numbers for what was not measured.
func TestTableOfLittle(t *testing.T) {
	r := sampleResults(t)
	r.rows, r.peer, r.before, r.after, r.skipped = r.rows[2:], nil, nil, nil, nil
	r.rows[0].failed = nil
	r.stopped = errors.New("tests failed:\nsee the log")
	text := r.markdown()
	assert.Contains(t, text, "**The run stopped before its end:** tests failed: see the log\n")
	assert.Contains(t, text, "| times as fast as PyTorch | ≥ 5 | not measured | – | – | |")
	assert.Contains(t, text, "| Compared with | nothing |")
	for _, none := range []string{"NaN", "nvidia-smi", "Skipped", "as released µs", "Geometric means"} {
		assert.NotContains(t, text, none)
	}

	folder := t.TempDir()
	r.rows = nil
	written, err := r.write(folder)
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(folder, "README.md")}, written)
	assert.NotContains(t, r.markdown(), "## Measurements")
}

func TestWrite(t *testing.T) {
	folder := t.TempDir()
	written, err := sampleResults(t).write(folder)
	require.NoError(t, err)
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, entries, 3, "no temporary file")
	assert.Len(t, written, 3)
	f, err := os.Open(filepath.Join(folder, "ratios.png"))
	require.NoError(t, err)
	defer f.Close()
	img, _, err := image.Decode(f)
	require.NoError(t, err)
	seen := map[any]bool{}
	for x := range img.Bounds().Dx() {
		for y := range img.Bounds().Dy() {
			seen[img.At(x, y)] = true
		}
	}
	for i := range 4 { // two sizes, each twice
		assert.Contains(t, seen, any(report.Palette[i]), "series %d", i)
	}
}

func TestGoals(t *testing.T) {
	r := sampleResults(t).rows
	assert.True(t, math.IsNaN(goals[0].of(r[0])), "the goal does not apply to a small batch")
	assert.InDelta(t, 0.8, r[0].graphShare(), 1e-12)
	o := goals[1].judge(r)
	assert.Equal(t, 2, o.met)
	assert.Len(t, o.values, 2)
	r[1].peers[eager] = timing.Samples{24e-6}
	o = goals[1].judge(r)
	assert.Equal(t, 1, o.met)
	assert.Same(t, r[1], o.worst)
}
