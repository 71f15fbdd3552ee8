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
	rows := map[string]int{} // with 1 and 5 lesions in two channels, and of several classes
	for _, b := range benchmarks {
		if rows[b.title] = 3; b.two {
			rows[b.title] = 2
		}
	}
	want := 1
	for _, n := range rows {
		want += n
	}
	require.Len(t, lines, want)
	for _, line := range lines[1:] {
		assert.NotEmpty(t, line[4], line[0])
		assert.NotEmpty(t, line[12], line[0])
		assert.Equal(t, python != "none", line[7] != "", line[0])
	}
	text, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	for _, b := range benchmarks {
		assert.Equal(t, rows[b.title], bytes.Count(text, []byte("| "+b.title+" |")))
	}
}

// TestScene: lesions of 27 voxels that do not touch each other.
func TestScene(t *testing.T) {
	for _, s := range sizes[:1] {
		for _, c := range s.contents {
			voxels := make([]int, c.channels)
			for _, y := range newScene(s, c).target.Data().([]uint8) {
				voxels[y]++
			}
			assert.Equal(t, 27*c.lesions, s.shape[0]*s.shape[1]*s.shape[2]-voxels[0])
			assert.NotContains(t, voxels, 0)
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
