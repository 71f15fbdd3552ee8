package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/volume"
)

func TestCrop(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	image := &volume.Volume{Dims: [3]int{5, 4, 2}, Channels: 1, Data: make([]float64, 40)}
	image.Affine = [4][4]float64{{2, 0, 0, 10}, {0, 3, 0, 20}, {0, 0, 8, 30}, {0, 0, 0, 1}}
	label := *image
	label.Data = make([]float64, 40)
	for i := range image.Data {
		image.Data[i] = float64(i)
	}
	at := func(i, j, k int) int { return (i*4+j)*2 + k }
	label.Data[at(0, 1, 1)], label.Data[at(1, 1, 0)], label.Data[at(3, 2, 1)] = 1, 2, 1
	for _, f := range folders {
		require.NoError(t, os.Mkdir(filepath.Join(from, f.name), 0o777))
		name, v := "a_image.nii.gz", image
		if f.label {
			name, v = "a_gt.nii.gz", &label
		}
		require.NoError(t, volume.Write(filepath.Join(from, f.name, name), v, volume.WriteOptions{}))
	}
	var out strings.Builder
	require.NoError(t, runCommand([]string{"crop", "-data", from, "-out", to, "-size", "3,2"}, &out))
	assert.Contains(t, out.String(), "a_gt: 2 of 3 lesion voxels remain")
	assert.Contains(t, out.String(), "2 cases: 3×2 voxels of each slice; 2 lesions are cut, which lose 2 of all 6 lesion voxels")
	got, err := volume.Read(filepath.Join(to, "TrainImage", "a_image.nii.gz"))
	require.NoError(t, err)
	assert.Equal(t, [3]int{3, 2, 2}, got.Dims)
	assert.Equal(t, float64(at(1, 1, 0)), got.Data[0])
	assert.Equal(t, float64(at(3, 2, 1)), got.Data[11])
	assert.Equal(t, [3]float64{12, 23, 30}, [3]float64{got.Affine[0][3], got.Affine[1][3], got.Affine[2][3]})
	got, err = volume.ReadLabel(filepath.Join(to, "ValidLabel", "a_gt.nii.gz"))
	require.NoError(t, err)
	assert.Equal(t, []float64{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, got.Data)

	for want, args := range map[string][]string{
		"the image has [5 4 2] voxels":     {"crop", "-data", from, "-out", to, "-size", "3,5"},
		"has no files that end in .nii.gz": {"crop", "-data", to + "/none", "-out", to, "-size", "3,2"},
		"want two positive numbers":        {"crop", "-size", "3"},
		"-data, -out and -size":            {"crop", "-data", from},
		"want crop, report or labels":      {"cut"},
	} {
		assert.ErrorContains(t, runCommand(args, &out), want)
	}
}
