package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/bench/internal/benchtest"
	"github.com/x/afl/cuda/cudatest"
	"github.com/x/afl/internal/workload"
	"github.com/x/afl/internal/workload/gpu"
)

// emulated is an emulated GPU with a cache that a small batch exceeds.
func emulated(t *testing.T) *gpu.GPU {
	g, err := gpu.New(cudatest.OpenEmulated(t))
	require.NoError(t, err)
	g.L2 = 100 << 10
	return g
}

// tiny has odd edges, and the emulator is fast enough for it.
var tiny = workload.NewSize([3]int{17, 13, 11})

// TestCommandEmulated: a complete run on an emulated GPU measures every loss, forward and
// with its gradient, with every type, and releases all device memory.
func TestCommandEmulated(t *testing.T) {
	g := emulated(t)
	before := g.Memory().InUse
	o, err := parseLosses([]string{"-python", "none", "-turns", "1", "-turn", "1us", "-repeats", "3", "-out", filepath.Join(t.TempDir(), "a", "b")}, &bytes.Buffer{})
	require.NoError(t, err)
	o.sizes, o.repeated = []workload.Size{tiny}, tiny
	var log bytes.Buffer
	require.NoError(t, runLossesOn(t.Context(), nil, o, g, &log), log.String())
	assert.Equal(t, before, g.Memory().InUse, "all device memory is released")
	assert.Regexp(t, `(?m)^kernels: \d+ modules loaded in \S+, compiled by the driver or from its cache$`, log.String())

	records := benchtest.ReadCSV(t, filepath.Join(o.out, "results.csv"))
	assert.Len(t, records, 2*(len(afl.Names())+1+4+4+3+3+3+3+1))
	for _, r := range records {
		for _, column := range []string{"calls_median_s", "graph_median_s", "copies_median_s", "copy_graph_median_s", "share_of_copy", "value"} {
			assert.NotEmpty(t, r[column], "%s of %s", column, r["loss"])
		}
		assert.NotEqual(t, "1", r["sets"], "calls rotate through buffers")
		assert.Empty(t, r["eager_median_s"])
	}
	text, err := os.ReadFile(filepath.Join(o.out, "README.md"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "Emulated GPU 0")
	assert.Contains(t, string(text), fmt.Sprintf("| repeats | 3 evaluations of each of %d losses with its gradient, 1×2×17×13×11 | equal bits |", len(afl.Names())))
	assert.NotContains(t, string(text), "NaN")
	assert.Contains(t, log.String(), "afl, forward+gradient, 1×2×17×13×11, float32 logits, int64 labels: ")
}

// TestComparisonEmulated: afl and PyTorch alternate, and values that differ end the run.
func TestComparisonEmulated(t *testing.T) {
	p := cpuPeer(t)
	g := emulated(t)
	c := &comparison{g: g, peer: p, log: &bytes.Buffer{},
		config: config{sizes: []workload.Size{tiny}, losses: []string{"afl", "dice"}, turns: 2, turn: time.Microsecond}}
	require.NoError(t, c.run(t.Context()))
	require.Len(t, c.rows, 4+2+4+4+4*2)
	for _, r := range c.rows {
		if isOther(r.call) {
			assert.Empty(t, r.peers, r)
			continue
		}
		assert.Len(t, r.peers[eager], 2, r)
		assert.Positive(t, r.ratio(eager), r)
		assert.InEpsilon(t, r.value, r.peerValues[eager], 1e-5, r)
		step := r.loss == "afl" && r.gradient && r.types.logits == float32s
		assert.Equal(t, step, len(r.peers[released]) == 2, r)
		assert.Empty(t, r.failed)
	}

	// A batch that PyTorch does not have.
	in := testInput(t, 1, types{float32s, uint8s})
	b, err := g.NewBatch(in.logits, in.labels, nil)
	require.NoError(t, err)
	copies, err := g.NewCopies(1<<16, 1<<20)
	require.NoError(t, err)
	r, err := newRow("ce", false, in.size, in.types, workload.Call{})
	require.NoError(t, err)
	assert.ErrorContains(t, c.measure(t.Context(), r, in, b, copies, nil), "not the same computation")
	require.NoError(t, b.Release())
	require.NoError(t, copies.Release())
}

// TestCompiled: compiled PyTorch is measured; before version 2.0, which cannot compile,
// the row says so and the run goes on.
func TestCompiled(t *testing.T) {
	p := cpuPeer(t)
	c := &comparison{g: emulated(t), peer: p, log: &bytes.Buffer{},
		config: config{sizes: []workload.Size{tiny}, compiled: []workload.Size{tiny}, losses: []string{"bce"}, turns: 1, turn: time.Microsecond}}
	require.NoError(t, c.run(t.Context()))
	require.Len(t, c.rows, 2)
	for _, r := range c.rows {
		assert.Len(t, r.peers[eager], 1)
		if strings.HasPrefix(p.version.Torch, "1.") {
			assert.Contains(t, r.failed[compiled], "no attribute 'compile'")
			assert.Empty(t, r.peers[compiled])
			continue
		}
		assert.Empty(t, r.failed)
		assert.Len(t, r.peers[compiled], 1)
		assert.Positive(t, r.compiling)
	}
}

// TestBudget: rows that there is no time for are named.
func TestBudget(t *testing.T) {
	c := &comparison{g: emulated(t), log: &bytes.Buffer{},
		config: config{sizes: []workload.Size{tiny}, losses: []string{"ce"}, turns: 1, turn: time.Microsecond, until: time.Now().Add(-time.Second)}}
	require.NoError(t, c.run(t.Context()))
	assert.Empty(t, c.rows)
	assert.Contains(t, c.skipped, "ce, forward, 1×2×17×13×11, float32 logits, uint8 labels")
}

// TestOverdue: when the time is exceeded the run ends and says why.
func TestOverdue(t *testing.T) {
	g := emulated(t)
	o, err := parseLosses([]string{"-python", "none", "-budget", "1ns", "-out", t.TempDir()}, &bytes.Buffer{})
	require.NoError(t, err)
	o.repeated = tiny
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("no more time"))
	assert.EqualError(t, runLossesOn(ctx, nil, o, g, &bytes.Buffer{}), "no more time")

	o.repeats = 0
	assert.ErrorIs(t, runLossesOn(t.Context(), nil, o, g, &bytes.Buffer{}), errUnfinished)
	text, err := os.ReadFile(filepath.Join(o.out, "README.md"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "- afl, forward+gradient, 1×2×224×224×144, float32 logits, uint8 labels: the time (-budget 1ns) was up.")
	assert.NoFileExists(t, filepath.Join(o.out, "results.csv"))
}

// TestStopped: a run that fails writes its results up to then and the error.
func TestStopped(t *testing.T) {
	g := emulated(t)
	o, err := parseLosses([]string{"-python", "/nowhere/python3", "-repeats", "0", "-out", t.TempDir()}, &bytes.Buffer{})
	require.NoError(t, err)
	assert.ErrorContains(t, runLossesOn(t.Context(), nil, o, g, &bytes.Buffer{}), "/nowhere/python3")
	text, err := os.ReadFile(filepath.Join(o.out, "README.md"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "**The run stopped before its end:** -python /nowhere/python3")
}
