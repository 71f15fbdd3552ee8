package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/bench/internal/benchtest"
	benchpeer "github.com/x/afl/bench/internal/peer"
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

// TestPeerAgrees: every loss and the surface distances have the same values here and in
// the peer, or the run fails.
func TestPeerAgrees(t *testing.T) {
	python := needPython(t)
	out := t.TempDir()
	require.NoError(t, run(context.Background(), []string{"-quick", "-python", python, "-out", out}, &bytes.Buffer{}))
	records := benchtest.ReadCSV(t, filepath.Join(out, "results.csv"))
	assert.Len(t, records, len(coreCounts())*(2*len(afl.Names())+2))
	for _, r := range records {
		assert.NotEmpty(t, r["peer_value"], r["benchmark"])
		assert.NotEmpty(t, r["peer_over_afl"], r["benchmark"])
	}
	_, err := os.Stat(filepath.Join(out, "ratios.png"))
	assert.NoError(t, err)
}

// TestPeerErrors: a wrong value and a failing request end a run.
func TestPeerErrors(t *testing.T) {
	p, err := startPeer(t.Context(), needPython(t))
	require.NoError(t, err)
	assert.NotEmpty(t, p.version.Torch)
	b := workload.NewBatch(workload.Quick)
	require.NoError(t, p.sendBatch(b))

	_, err = p.loss("dise", false, 1, 0)
	assert.ErrorContains(t, err, "dise")

	list, err := lossBenchmarks("dice", b)
	require.NoError(t, err)
	wrong := *list[0]
	wrong.run = func() ([]float64, error) {
		v, err := list[0].run()
		return []float64{v[0] * 1.0001}, err
	}
	r := &row{benchmark: &wrong, size: workload.Quick, cores: 1}
	err = config{repeats: 1}.inTurns(t.Context(), r, p, func() {}, newProgress(&bytes.Buffer{}))
	assert.ErrorContains(t, err, "not the same computation")
	assert.ErrorContains(t, err, "dice, forward")

	require.NoError(t, p.Close())
}

func TestAgree(t *testing.T) {
	assert.NoError(t, agree([]float64{1, 2}, []float64{1.00001, 2}))
	assert.Error(t, agree([]float64{1, 2}, []float64{1, 2.0001}))
	assert.Error(t, agree([]float64{1}, []float64{1, 2}))
	assert.Error(t, agree([]float64{math.NaN()}, []float64{math.NaN()}))
}
