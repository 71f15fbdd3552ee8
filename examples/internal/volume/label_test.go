package volume

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func row(values ...float64) *Volume {
	return &Volume{Dims: [3]int{1, 1, len(values)}, Channels: 1, Data: values, Affine: [4][4]float64{{1}, {0, 1}, {0, 0, 1}, {0, 0, 0, 1}}}
}

func TestRoundLabel(t *testing.T) {
	v := row(0, 1, 0.9999999997671694, 0.9999999997671694, 2.001, 1.999, -1e-9, math.Copysign(0, -1), 64, 0.0009)
	require.NoError(t, v.RoundLabel())
	sameBits(t, []float64{0, 1, 1, 1, 2, 2, 0, 0, 64, 0}, v.Data)

	for _, bad := range []float64{0.5, 1.0011, 0.9989, -1, -0.999, -0.0011, math.NaN(), math.Inf(1), math.Inf(-1)} {
		v := &Volume{Dims: [3]int{2, 3, 4}, Channels: 1, Data: make([]float64, 24)}
		v.Data[1*12+2*4+3] = bad
		err := v.RoundLabel()
		assert.ErrorContains(t, err, "voxel [1 2 3] is ", "%v", bad)
		assert.NotContains(t, err.Error(), "looks like")
	}

	var many, scan []float64
	for i := range 65 {
		many = append(many, float64(i))
		scan = append(scan, float64(i)/7)
	}
	require.NoError(t, row(many...).RoundLabel(), "64 labels and the background")
	assert.ErrorContains(t, row(append(many, 65)...).RoundLabel(), "this is an image, not a label")
	assert.ErrorContains(t, row(scan...).RoundLabel(), "this looks like an image, not a label")
	assert.ErrorContains(t, (&Volume{Dims: [3]int{1, 1, 1}, Channels: 2, Data: []float64{0, 1}}).RoundLabel(), "2 channels")
}

// TestScanWithFewValues tells a coarsely stored scan from a label with as many values.
func TestScanWithFewValues(t *testing.T) {
	scan, label := &Volume{Dims: [3]int{10, 10, 10}, Channels: 1}, &Volume{Dims: [3]int{10, 10, 10}, Channels: 1}
	for i := range 1000 {
		scan.Data = append(scan.Data, float64(20+i*7%23))
		label.Data = append(label.Data, float64(i/10%23)) // rows of one value
	}
	assert.EqualError(t, scan.RoundLabel(), "23 distinct values that change from voxel to voxel: this is an image, not a label")
	assert.NoError(t, label.RoundLabel())
	for i := range scan.Data {
		scan.Data[i] = float64(i * 7 % 9) // a noisy label of eight values
	}
	assert.NoError(t, scan.RoundLabel())
}

func TestReadLabel(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.nii")
	want := row(0, 1, 3)
	require.NoError(t, Write(path, row(0, 1.0001, 3), WriteOptions{}))
	got, err := ReadLabel(path)
	require.NoError(t, err)
	assert.Equal(t, want.Data, got.Data)
	require.NoError(t, Write(path, row(0, 0.5, 3), WriteOptions{}))
	_, err = ReadLabel(path)
	assert.ErrorContains(t, err, path)
	_, err = ReadLabel(filepath.Join(dir, "absent.nii"))
	assert.Error(t, err)
}
