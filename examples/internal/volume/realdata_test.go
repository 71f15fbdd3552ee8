package volume

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/internal/golden"
)

// realFiles returns the images of one of the data sets that may exist next to the
// repository. It skips the test if the data set is absent.
func realFiles(t *testing.T, set, pattern string) []string {
	dir, ok := golden.SharedData(set)
	if !ok {
		t.Skipf("no images of %s next to the repository", set)
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	require.NotEmpty(t, files, "%s/%s", set, pattern)
	return files
}

// readReal reads a file and checks that reading only its header gives the same values.
func readReal(t *testing.T, path string) *Volume {
	t.Helper()
	v, err := Read(path)
	require.NoError(t, err)
	h, err := ReadHeader(path)
	require.NoError(t, err)
	assert.Equal(t, v.Dims, h.Dims, path)
	assert.Equal(t, v.Channels, h.Channels, path)
	assert.Equal(t, v.Affine, h.Affine, path)
	assert.Equal(t, v.Spacing(), h.Spacing(), path)
	return v
}

func foreground(v *Volume) (n int) {
	for _, x := range v.Data {
		if x != 0 {
			n++
		}
	}
	return n
}

func TestProstateCases(t *testing.T) {
	fine, coarse := [3]int{384, 384, 19}, [3]int{84, 128, 19}
	lesion := map[string]int{"11373_1001396": 414, "10795_1000811": 0}
	files := realFiles(t, "picai_cases", "*/*.nii.gz")
	assert.Len(t, files, 8)
	for _, path := range files {
		v := readReal(t, path)
		base := strings.TrimSuffix(filepath.Base(path), ".nii.gz")
		cut := strings.LastIndexByte(base, '_')
		dims, spacing := fine, []float64{0.5, 0.5, 3}
		switch base[cut+1:] {
		case "adc", "hbv":
			dims, spacing = coarse, []float64{2, 2, 3}
		case "gt":
			want, known := lesion[base[:cut]]
			require.True(t, known, base)
			assert.Equal(t, want, foreground(v), base)
		}
		assert.Equal(t, dims, v.Dims, base)
		assert.Equal(t, 1, v.Channels, base)
		got := v.Spacing()
		assert.InDeltaSlice(t, spacing, got[:], 1e-4, base)
		assert.NotZero(t, v.Affine[1][2], "%s is oblique", base)
	}
}

func TestBrainCases(t *testing.T) {
	fraction := map[string]float64{"ms07": 0.0005, "ms19": 0.021, "ms26": 0.0032}
	files := realFiles(t, "ms_lesions", "*Image/*_image.nii.gz")
	assert.Len(t, files, 3)
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), "_image.nii.gz")
		image := readReal(t, path)
		mask := readReal(t, strings.NewReplacer("Image/", "Label/", "_image", "_gt").Replace(path))
		assert.Equal(t, 4, image.Channels, name)
		assert.Equal(t, 1, mask.Channels, name)
		assert.Equal(t, image.Dims, mask.Dims, name)
		assert.Equal(t, image.Affine, mask.Affine, name)
		got := image.Spacing()
		assert.InDeltaSlice(t, []float64{1, 1, 1}, got[:], 1e-4, name)
		h, err := ReadHeader(path)
		require.NoError(t, err)
		assert.Equal(t, Int16, h.Type, name)
		want, known := fraction[name]
		require.True(t, known, name)
		assert.InEpsilon(t, want, float64(foreground(mask))/float64(len(mask.Data)), 0.1, name)
	}
}

func TestHippocampusCases(t *testing.T) {
	images := realFiles(t, "hippocampus", "*Image/*_image.nii.gz")
	assert.Len(t, images, 200)
	var labeled, voxels int
	for _, path := range images {
		image := readReal(t, path)
		label := readReal(t, strings.NewReplacer("Image/", "Label/", "_image", "_gt").Replace(path))
		assert.Equal(t, image.Dims, label.Dims, path)
		assert.Equal(t, 1, image.Channels, path)
		got := image.Spacing()
		assert.InDeltaSlice(t, []float64{1, 1, 1}, got[:], 1e-4, path)
		seen := map[float64]bool{}
		for _, x := range label.Data {
			seen[x] = true
		}
		assert.Equal(t, map[float64]bool{0: true, 1: true, 2: true}, seen, path)
		labeled += foreground(label)
		voxels += len(label.Data)
	}
	assert.InDelta(t, 0.05, float64(labeled)/float64(voxels), 0.01)
}

// TestLesionMasks reads every header and a few complete masks.
func TestLesionMasks(t *testing.T) {
	files := realFiles(t, "picai_lesions", "*.nii.gz")
	assert.Len(t, files, 120)
	for n, path := range files {
		h, err := ReadHeader(path)
		require.NoError(t, err)
		assert.Equal(t, 1, h.Channels, path)
		if n%40 != 0 {
			continue
		}
		v := readReal(t, path)
		assert.NotZero(t, foreground(v), path)
		for _, x := range v.Data {
			if x != 0 && x != 1 && x != 2 && x != 3 && x != 4 && x != 5 {
				require.Failf(t, "unexpected label", "%g in %s", x, path)
			}
		}
	}
}

// TestRealImageRoundTrip writes a real scan with its own data type and reads the same volume
// back.
func TestRealImageRoundTrip(t *testing.T) {
	path := realFiles(t, "picai_cases", "TrainImage/11373_1001396_adc.nii.gz")[0]
	want := readReal(t, path)
	out := filepath.Join(t.TempDir(), "copy.nii.gz")
	require.NoError(t, Write(out, want, WriteOptions{Type: Int16}))
	got, err := Read(out)
	require.NoError(t, err)
	assert.Equal(t, want.Dims, got.Dims)
	sameBits(t, want.Data, got.Data)
	assertAffine(t, want.Affine, got.Affine, 1e-4)
}
