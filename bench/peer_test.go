package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/bench/internal/benchtest"
	benchpeer "github.com/x/afl/bench/internal/peer"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/workload"
)

func needPython(t *testing.T) string {
	python, err := findPython(t.Context(), "")
	if errors.Is(err, benchpeer.ErrNone) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return python
}

// TestPeerAgrees: every loss, the surface distances and every kind of call have the same
// values here and in the peer, or the run fails.
func TestPeerAgrees(t *testing.T) {
	python := needPython(t)
	out := t.TempDir()
	require.NoError(t, run(context.Background(), []string{"-quick", "-python", python, "-out", out}, &bytes.Buffer{}))
	records := benchtest.ReadCSV(t, filepath.Join(out, "results.csv"))
	assert.Len(t, records, quickRows())
	for _, r := range records {
		assert.NotEmpty(t, r["peer_value"], r["benchmark"])
		assert.NotEmpty(t, r["peer_over_afl"], r["benchmark"])
	}
	_, err := os.Stat(filepath.Join(out, "ratios.png"))
	assert.NoError(t, err)
}

// TestCompile: a PyTorch with torch.compile is compared with twice, and without it
// -compile is refused.
func TestCompile(t *testing.T) {
	python := needPython(t)
	p, err := startPeer(t.Context(), python)
	require.NoError(t, err)
	require.NoError(t, p.Close())
	out := t.TempDir()
	err = run(context.Background(), []string{"-quick", "-python", python, "-compile", "-losses", "dice", "-calls", "unreduced", "-out", out}, &bytes.Buffer{})
	if !p.version.Compile {
		assert.ErrorContains(t, err, "-compile")
		return
	}
	if _, missing := exec.LookPath("g++"); missing != nil {
		t.Skip("torch.compile needs a C++ compiler")
	}
	require.NoError(t, err)
	for _, r := range benchtest.ReadCSV(t, filepath.Join(out, "results.csv")) {
		assert.NotEmpty(t, r["peer_min_s"], r["benchmark"])
		if r["pass"] == passSurface {
			assert.Empty(t, r["peer_2"])
			continue
		}
		assert.Equal(t, r["peer"]+" compiled", r["peer_2"])
		assert.NotEmpty(t, r["peer_min_s_2"], r["benchmark"])
	}
}

// TestSamePyTorch: columns are named by the version of PyTorch, so that there is one of
// each.
func TestSamePyTorch(t *testing.T) {
	python := needPython(t)
	err := run(context.Background(), []string{"-quick", "-python", python + "," + python, "-out", t.TempDir()}, &bytes.Buffer{})
	assert.ErrorContains(t, err, "both have PyTorch")
}

func TestContenders(t *testing.T) {
	old := &peer{version: peerVersion{Torch: "1.13", SciPy: "1.10"}}
	current := &peer{version: peerVersion{Torch: "2.15", SciPy: "1.17", Compile: true}}
	names := func(list []contender) (names []string) {
		for _, c := range list {
			names = append(names, c.torch())
		}
		return names
	}
	assert.Equal(t, []string{"PyTorch 1.13", "PyTorch 2.15"}, names(contenders([]*peer{old, current}, false, false)))
	assert.Equal(t, []string{"PyTorch 1.13", "PyTorch 2.15", "PyTorch 2.15 compiled"}, names(contenders([]*peer{old, current}, true, false)))
	assert.Equal(t, "SciPy 1.10", contender{old, operations}.library(&row{benchmark: &benchmark{pass: passSurface}}))
	assert.Equal(t, "PyTorch 1.13", contender{old, operations}.library(&row{benchmark: &benchmark{pass: passForward}}))
}

// TestPeerErrors: a wrong value and a failing request end a run.
func TestPeerErrors(t *testing.T) {
	p, err := startPeer(t.Context(), needPython(t))
	require.NoError(t, err)
	assert.NotEmpty(t, p.version.Torch)
	b := workload.NewBatch(workload.Quick)
	require.NoError(t, p.sendBatch(b))

	c := contender{p, operations}
	_, err = c.loss("dise", classIndices, false, 1, 0)
	assert.ErrorContains(t, err, "dise")

	list, err := lossBenchmarks("dice", classIndices, b)
	require.NoError(t, err)
	wrong := *list[0]
	wrong.values = func() []float64 { return []float64{list[0].values()[0] * 1.0001} }
	r := &row{benchmark: &wrong, size: workload.Quick, cores: 1}
	err = config{repeats: 1}.inTurns(t.Context(), r, []contender{c}, func() error { return nil }, newProgress(&bytes.Buffer{}))
	assert.ErrorContains(t, err, "not the same computation")
	assert.ErrorContains(t, err, "dice, forward")

	require.NoError(t, p.Close())
}

// TestPeerRequests: what a call differs in arrives at the peer, here one that returns what
// it was asked for and reads no module but Python's own.
func TestPeerRequests(t *testing.T) {
	python, err := benchpeer.Find(t.Context(), "", "json")
	if errors.Is(err, benchpeer.ErrNone) {
		t.Skip(err)
	}
	require.NoError(t, err)
	process, err := benchpeer.Start(t.Context(), python, `
import os

class Peer:
    def batch(self, shape, logits_type, target_type, maps, logits, target, weight=None):
        self.sizes = [len(shape), shape[1], int(maps)] + [os.path.getsize(f) if f else 0 for f in (logits, target, weight)]
        return {}

    def loss(self, loss, gradient, options, way, threads, seconds):
        wanted = [int(gradient), int(way == "compiled"), threads, options.get("smoothing", 0), int(options.get("reduction") == "none")]
        return {"values": self.sizes + wanted, "seconds": [seconds]}
`)
	require.NoError(t, err)
	p := contender{&peer{Peer: process}, compiled}
	v := float64(workload.Quick.Voxels())
	flat := float64(workload.QuickImages.Voxels())
	want := map[string][]float64{
		"one-hot":         {5, 2, 1, 8 * v, 8 * v, 0, 1, 1, 3, 0, 0},
		"soft":            {5, 2, 1, 8 * v, 8 * v, 0, 1, 1, 3, 0, 0},
		"uint8-maps":      {5, 2, 1, 8 * v, 2 * v, 0, 1, 1, 3, 0, 0},
		"voxel-weight":    {5, 2, 0, 8 * v, v, 4 * v, 1, 1, 3, 0, 0},
		"label-smoothing": {5, 2, 0, 8 * v, v, 0, 1, 1, 3, 0.1, 0},
		"unreduced":       {5, 2, 0, 8 * v, v, 0, 1, 1, 3, 0, 1},
		"float64":         {5, 2, 0, 16 * v, v, 0, 1, 1, 3, 0, 0},
		"one-channel":     {5, 1, 0, 4 * v, v, 0, 1, 1, 3, 0, 0},
		"eight-channels":  {5, 8, 0, 32 * v, v, 0, 1, 1, 3, 0, 0},
		"images":          {4, 2, 0, 8 * flat, flat, 0, 1, 1, 3, 0, 0},
	}
	for _, c := range workload.Calls {
		b := c.NewBatch(c.Size(workload.Quick, workload.QuickImages))
		require.NoError(t, p.sendBatch(b))
		list, err := lossBenchmarks(c.Loss("ce"), c, b)
		require.NoError(t, err)
		m, err := list[1].runPeer(p, 3, 2*time.Second)
		require.NoError(t, err)
		assert.Equal(t, want[c.Name], m.Values, c.Name)
		assert.Equal(t, timing.Samples{2}, m.Seconds)
	}
	require.NoError(t, p.Close())
}

// TestLossValues: an un-reduced loss is multiplied by its upstream gradient, and the
// gradient summed by sign.
func TestLossValues(t *testing.T) {
	vector := func(data any) *tensor.Dense { return tensor.New(tensor.WithBacking(data)) }
	scalar := tensor.New(tensor.FromScalar(1.5))
	assert.Equal(t, []float64{1.5}, lossValues(classIndices, scalar, nil))
	assert.Equal(t, []float64{1.5, 5, -3}, lossValues(classIndices, scalar, vector([]float32{2, -1, 3, -2})))
	unreduced := workload.Call{Unreduced: true}
	want := 2*0.5 + 4*(0.5+389.0/1024)
	assert.Equal(t, []float64{want, 1, 0}, lossValues(unreduced, vector([]float64{2, 4}), vector([]float64{1, 0})))
}

func TestAgree(t *testing.T) {
	assert.NoError(t, agree([]float64{1, 2}, []float64{1.00001, 2}, 2e-5))
	assert.Error(t, agree([]float64{1, 2}, []float64{1, 2.0001}, 2e-5))
	assert.Error(t, agree([]float64{1}, []float64{1, 2}, 2e-5))
	assert.Error(t, agree([]float64{math.NaN()}, []float64{math.NaN()}, 2e-5))
}

// TestMONAI: MONAI's classes are compared with where there are any, and without MONAI -monai
// is refused.
func TestMONAI(t *testing.T) {
	python := needPython(t)
	p, err := startPeer(t.Context(), python)
	require.NoError(t, err)
	require.NoError(t, p.Close())
	out := t.TempDir()
	err = run(context.Background(), []string{"-quick", "-python", python, "-monai", "-losses", "dice,afl", "-calls", "voxel-weight", "-out", out}, &bytes.Buffer{})
	if p.version.MONAI == "" {
		assert.ErrorContains(t, err, "-monai: no interpreter has MONAI")
		return
	}
	require.NoError(t, err)
	for _, r := range benchtest.ReadCSV(t, filepath.Join(out, "results.csv")) {
		measured := r["benchmark"] == "dice" && r["call"] == "class-indices"
		assert.Equal(t, measured, r["peer_min_s_2"] != "", "%s %s", r["benchmark"], r["call"])
	}
}
