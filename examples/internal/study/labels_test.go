package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/volume"
)

func TestLabels(t *testing.T) {
	data := t.TempDir()
	for i, f := range []string{"TrainLabel", "ValidLabel"} {
		require.NoError(t, os.Mkdir(filepath.Join(data, f), 0o777))
		v := &volume.Volume{Dims: [3]int{10, 10, 1}, Channels: 1, Data: make([]float64, 100), Affine: [4][4]float64{{1}, {0, 1}, {0, 0, 1}, {0, 0, 0, 1}}}
		for k := range i * 20 { // two rows, in one of two labels
			v.Data[40+k] = 1
		}
		require.NoError(t, volume.Write(filepath.Join(data, f, "a_gt.nii.gz"), v, volume.WriteOptions{Type: volume.Uint8}))
	}
	to := filepath.Join(data, "labels.md")
	var out strings.Builder
	require.NoError(t, runCommand([]string{"labels", "-data", data, "-out", to}, &out))
	page, err := os.ReadFile(to)
	require.NoError(t, err)
	assert.Equal(t, out.String(), string(page))
	for _, want := range []string{
		"Of 2 labels 1 have a lesion.",
		"| γ_va, share of the lesion          |      0.2 |",
		"| γ_mSa, smoothness                  |      0.2 |", // half a gradient on four of ten rows
		"| weight of the background's channel |      0.8 |",
		"| at p = 0.9                         |    0.398 |", // 0.1 to the power of 0.4
		"0.200 in the median, 4 times less",
		"1 of the 2 labels say that a false lesion is wrong only",
	} {
		assert.Contains(t, string(page), want)
	}
	assert.ErrorContains(t, runCommand([]string{"labels", "-data", data}, &out), "-data and -out are required")
	assert.ErrorContains(t, runCommand([]string{"labels", "-data", t.TempDir(), "-out", to}, &out), "none of the 0 labels")
}

func TestRankCorrelation(t *testing.T) {
	assert.Equal(t, []float64{1, 3.5, 2, 3.5}, ranks([]float64{-1, 7, 0, 7}))
	of := func(pairs ...[2]float64) float64 {
		var list []afl.LabelStats
		for _, p := range pairs {
			list = append(list, afl.LabelStats{GammaVa: p[0], GammaMSa: p[1]})
		}
		return rankCorrelation(list)
	}
	assert.InDelta(t, 1, of([2]float64{1, 1}, [2]float64{2, 10}, [2]float64{3, 11}), 1e-15)
	assert.InDelta(t, 0.5, of([2]float64{1, 1}, [2]float64{2, 3}, [2]float64{3, 2}), 1e-15)
}
