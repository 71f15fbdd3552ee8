package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/backends"
)

// TestRun measures small steps without the comparison.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out, progress bytes.Buffer
	require.NoError(t, run(context.Background(), []string{
		"-models", "unet,segresnet", "-size", "32,32,16", "-python", "none", "-turns", "2", "-turn", "1ns", "-out", dir,
	}, &out, &progress))
	assert.Contains(t, out.String(), "| unet | 1×3×32×32×16 | 4810645 |")
	text, err := os.ReadFile(filepath.Join(dir, "steps.md"))
	require.NoError(t, err)
	assert.Equal(t, out.String(), string(text))
	f, err := os.Open(filepath.Join(dir, "steps.csv"))
	require.NoError(t, err)
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	assert.Len(t, lines, 1+2*2)
}

// TestLostOutput prints to a pipe that nobody reads: an error unless the table is in a folder too.
func TestLostOutput(t *testing.T) {
	read, out := io.Pipe()
	require.NoError(t, read.Close())
	args := []string{"-models", "segresnet", "-size", "16,16,8", "-python", "none", "-turns", "1", "-turn", "1ns"}
	assert.ErrorIs(t, run(context.Background(), args, out, &bytes.Buffer{}), io.ErrClosedPipe)
	dir := t.TempDir()
	require.NoError(t, run(context.Background(), append(args, "-out", dir), out, &bytes.Buffer{}))
	assert.FileExists(t, filepath.Join(dir, "steps.csv"))
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-models", "alexnet"}, {"-size", "1,2"}, {"-size", "a,b,c"}, {"-turns", "0"}, {"-turn", "-1s"}, {"-out", "/dev/null/a"}, {"stray"}, {"-python", "/no/such/python"},
		{"-models", "unet", "-backend", "abacus", "-python", "none"},
	} {
		assert.Error(t, run(context.Background(), args, &bytes.Buffer{}, &bytes.Buffer{}), args)
	}
}

// TestStepsReduceTheLoss checks that the measured steps really train the network.
func TestStepsReduceTheLoss(t *testing.T) {
	w, err := newWorkload("unet", "32,32,16")
	require.NoError(t, err)
	s, err := newStepper(w, backends.Default(), false, "")
	require.NoError(t, err)
	s.sgd.LearningRate = 0.1
	first, err := s.step()
	require.NoError(t, err)
	last := first
	for range 5 {
		last, err = s.step()
		require.NoError(t, err)
	}
	assert.Less(t, last, first)
}
