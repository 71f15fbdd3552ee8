package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// TestBatch: the lesion is small, in several pieces and ragged, and the batch is
// the same every time.
func TestBatch(t *testing.T) {
	for _, s := range []size{knownSizes[0], quickSize} {
		a, b := newBatch(s), newBatch(s)
		assert.Equal(t, a.logits.Data(), b.logits.Data(), s)
		assert.Equal(t, a.labels.Data(), b.labels.Data(), s)
		assert.Equal(t, s.shape(), []int(a.logits.Shape()))
		assert.Equal(t, a.logits.Shape(), a.grad.Shape())
	}
	s := knownSizes[0]
	label := tensor.New(tensor.WithShape(s.space[:]...), tensor.WithBacking(lesion(s.space, 0)))
	stats, err := afl.StatsOf(label)
	require.NoError(t, err)
	assert.InDelta(t, 0.004, stats.GammaVa, 0.002)
	_, count, err := afl.Components(label, afl.Connectivity26)
	require.NoError(t, err)
	assert.Greater(t, count, 1)
}

func TestMaskPairs(t *testing.T) {
	for _, s := range []size{knownSizes[0], quickSize} {
		for _, m := range newMaskPairs(s) {
			d, err := afl.NewSurfaceDistances(m.prediction, m.reference, s.spacing[:])
			require.NoError(t, err)
			assert.True(t, d.Average() > 0 && d.Hausdorff() < 20, "%s, %s: %v", s, m.name, d.Hausdorff())
		}
	}
	inside := 0
	space := knownSizes[0].space
	for _, v := range organ(space, 0) {
		inside += int(v)
	}
	assert.InDelta(t, 0.25, float64(inside)/float64(knownSizes[0].voxels()), 0.05)
}

func TestParseSizes(t *testing.T) {
	sizes, err := parseSizes("brats, picai,96x64x8")
	require.NoError(t, err)
	require.Len(t, sizes, 3)
	assert.Equal(t, knownSizes[1], sizes[0])
	assert.Equal(t, knownSizes[0], sizes[1])
	assert.Equal(t, "1×2×96×64×8", sizes[2].String())
	assert.Equal(t, 96*64*8, sizes[2].voxels())
	for _, bad := range []string{"", "lung", "96x64", "96x64x7", "96x64x2000", "96xbx8", "1x96x64x8"} {
		_, err := parseSizes(bad)
		assert.ErrorContains(t, err, "-sizes", bad)
	}
}

func TestWriteRaw(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	require.NoError(t, writeRaw(path, tensor.New(tensor.WithBacking([]float32{1.5, -2}))))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, b, 8)
	assert.Equal(t, float32(-2), math.Float32frombits(binary.LittleEndian.Uint32(b[4:])))
}
