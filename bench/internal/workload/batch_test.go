package workload

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
	for _, s := range []Size{PICAI, Quick} {
		a, b := NewBatch(s), NewBatch(s)
		assert.Equal(t, a.Logits.Data(), b.Logits.Data(), s)
		assert.Equal(t, a.Labels.Data(), b.Labels.Data(), s)
		assert.Equal(t, s.Shape(), []int(a.Logits.Shape()))
		assert.Equal(t, a.Logits.Shape(), a.Grad.Shape())
	}
	three := NewSize([3]int{41, 33, 11})
	three.Samples = 3
	b := NewBatch(three)
	assert.Equal(t, []int{3, 2, 41, 33, 11}, []int(b.Logits.Shape()))
	assert.Equal(t, []int{3, 41, 33, 11}, []int(b.Labels.Shape()))
	labels, v := b.Labels.Data().([]uint8), three.ImageVoxels()
	assert.NotEqual(t, labels[:v], labels[v:2*v], "each sample has its own lesion")
	for n := range 3 {
		assert.Contains(t, labels[n*v:(n+1)*v], uint8(1))
	}
	s := PICAI
	label := tensor.New(tensor.WithShape(s.Space[:]...), tensor.WithBacking(lesion(s.Space, 0)))
	stats, err := afl.StatsOf(label)
	require.NoError(t, err)
	assert.InDelta(t, 0.004, stats.GammaVa, 0.002)
	_, count, err := afl.Components(label, afl.Connectivity26)
	require.NoError(t, err)
	assert.Greater(t, count, 1)
}

func TestMaskPairs(t *testing.T) {
	for _, s := range []Size{PICAI, Quick} {
		for _, m := range NewMaskPairs(s) {
			d, err := afl.NewSurfaceDistances(m.Prediction, m.Reference, s.Spacing[:])
			require.NoError(t, err)
			assert.True(t, d.Average() > 0 && d.Hausdorff() < 20, "%s, %s: %v", s, m.Name, d.Hausdorff())
		}
	}
	inside := 0
	space := PICAI.Space
	for _, v := range organ(space, 0) {
		inside += int(v)
	}
	assert.InDelta(t, 0.25, float64(inside)/float64(PICAI.Voxels()), 0.05)
}

func TestParseSizes(t *testing.T) {
	sizes, err := ParseSizes("brats, picai,96x64x8,brats8")
	require.NoError(t, err)
	require.Len(t, sizes, 4)
	assert.Equal(t, BraTS, sizes[0])
	assert.Equal(t, PICAI, sizes[1])
	assert.Equal(t, "1×2×96×64×8", sizes[2].String())
	assert.Equal(t, 96*64*8, sizes[2].Voxels())
	assert.Equal(t, "8×2×224×224×144", sizes[3].String())
	assert.Equal(t, 8*sizes[0].Voxels(), sizes[3].Voxels())
	for _, bad := range []string{"", "lung", "96x64", "96x64x7", "96x64x2000", "96xbx8", "1x96x64x8", "picai,brats,picai"} {
		_, err := ParseSizes(bad)
		assert.ErrorContains(t, err, "-sizes", bad)
	}
}

func TestWriteRaw(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	require.NoError(t, WriteRaw(path, tensor.New(tensor.WithBacking([]float32{1.5, -2}))))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, b, 8)
	assert.Equal(t, float32(-2), math.Float32frombits(binary.LittleEndian.Uint32(b[4:])))
}
