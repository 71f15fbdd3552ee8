package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/bench/internal/benchtest"
	"github.com/x/afl/internal/workload"
)

// quickRows is the number of rows of a trial run: every loss both ways, the surfaces, and
// the five losses of every kind of call but label smoothing, which one has.
func quickRows() int {
	return len(coreCounts()) * (2*len(afl.Names()) + surfaceCount(config{surface: true}) + 2*(5*(len(workload.Calls)-1)+1))
}

// TestCommand: a trial run without a peer measures every loss both ways, the surfaces and
// the kinds of calls, on every number of cores.
func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "a", "b")
	var log bytes.Buffer
	require.NoError(t, run(context.Background(), []string{"-quick", "-python", "none", "-out", out}, &log))
	records := benchtest.ReadCSV(t, filepath.Join(out, "results.csv"))
	assert.Len(t, records, quickRows())
	calls := map[string]bool{}
	for _, r := range records {
		assert.NotEmpty(t, r["ns_per_voxel"], r["benchmark"])
		assert.NotEmpty(t, r["value"], r["benchmark"])
		assert.Empty(t, r["peer"])
		calls[r["call"]] = true
		isSurface := strings.HasPrefix(r["benchmark"], "surface")
		assert.Equal(t, isSurface, r["share_of_limit"] == "", r["benchmark"])
		assert.Equal(t, isSurface, r["two_transforms_min_s"] != "", r["benchmark"])
	}
	assert.Len(t, calls, len(workload.Calls)+2, "class indices, none for surfaces and the kinds of calls")
	assert.Contains(t, log.String(), measuredEvaluator.name, "the evaluator is named")
	assert.Contains(t, log.String(), "100 %")
	_, err := os.Stat(filepath.Join(out, "ratios.png"))
	assert.ErrorIs(t, err, os.ErrNotExist, "nothing to compare, no chart")
}

// TestCommandCalls: -calls chooses the kinds of calls, and -losses their losses.
func TestCommandCalls(t *testing.T) {
	for calls, want := range map[string][]string{
		"none":                 {"dice", "ce"},
		"label-smoothing":      {"dice", "ce", "ce"},
		"one-channel,images":   {"dice", "ce", "dice", "bce", "dice", "ce"},
		"soft,label-smoothing": {"dice", "ce", "dice", "ce", "ce"},
	} {
		out := t.TempDir()
		require.NoError(t, run(context.Background(), []string{"-quick", "-python", "none", "-surface=false",
			"-losses", "dice,ce", "-calls", calls, "-out", out}, &bytes.Buffer{}))
		var got []string
		for _, r := range benchtest.ReadCSV(t, filepath.Join(out, "results.csv")) {
			if r["pass"] == passForward && r["cores"] == "1" {
				got = append(got, r["benchmark"])
			}
		}
		assert.Equal(t, want, got, calls)
	}
}

func TestCommandRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-sizes lung":                     "-sizes",
		"-losses dise":                    "dise",
		"-losses afl,fl,afl":              "twice",
		"-calls hard":                     "-calls",
		"-compile -python none -quick":    "-compile",
		"-python , -quick":                "-python",
		"-sizes picai,picai":              "twice",
		"-repeats 0":                      "-repeats",
		"-turn -1s":                       "-turn",
		"-losses none -surface=false":     "nothing to measure",
		"extra":                           "extra",
		"-python /nowhere/python3 -quick": "/nowhere/python3",
	} {
		out := filepath.Join(t.TempDir(), "out")
		err := run(context.Background(), append(strings.Fields("-out "+out), strings.Fields(args)...), &bytes.Buffer{})
		assert.ErrorContains(t, err, want, args)
	}
}

// TestCommandInterrupted: nothing is written.
func TestCommandInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	out := t.TempDir()
	err := run(ctx, []string{"-quick", "-python", "none", "-out", out}, &bytes.Buffer{})
	assert.ErrorContains(t, err, "interrupted")
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	assert.Empty(t, entries)
}
