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

	"github.com/x/afl/bench/internal/peer"
)

// TestQuick makes a trial run, where there is an interpreter with PyTorch, whose losses must
// be those of afl, or else without a comparison.
func TestQuick(t *testing.T) {
	python, err := peer.Find(context.Background(), "", "numpy", "scipy", "torch")
	if err != nil {
		python = "none"
	}
	folder := t.TempDir()
	require.NoError(t, run(context.Background(), []string{"-quick", "-out", folder, "-python", python}, io.Discard))
	f, err := os.Open(filepath.Join(folder, "results.csv"))
	require.NoError(t, err)
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	require.Len(t, lines, 1+2*len(benchmarks))
	for _, line := range lines[1:] {
		assert.NotEmpty(t, line[3], line[0])
		assert.NotEmpty(t, line[11], line[0])
		assert.Equal(t, python != "none", line[6] != "", line[0])
	}
	text, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	for _, b := range benchmarks {
		assert.Equal(t, 2, bytes.Count(text, []byte("| "+b.title+" |")))
	}
}

// TestScene: lesions of 27 voxels that do not touch each other.
func TestScene(t *testing.T) {
	for _, s := range sizes[:1] {
		for _, lesions := range s.lesions {
			voxels := 0
			for _, y := range newScene(s, lesions).target.Data().([]uint8) {
				voxels += int(y)
			}
			assert.Equal(t, 27*lesions, voxels)
		}
	}
}

func TestWrongFlags(t *testing.T) {
	for want, args := range map[string][]string{
		`unknown size "ct"`:      {"-sizes", "ct"},
		`unknown benchmark "fl"`: {"-losses", "blob,fl"},
		"-repeats is 0":          {"-repeats", "0"},
		"unexpected argument":    {"all"},
	} {
		assert.ErrorContains(t, run(context.Background(), args, io.Discard), want)
	}
}
