package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/internal/golden"
)

func identity() [4][4]float64 {
	return [4][4]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}
}

func write(t *testing.T, path string, dims [3]int, at func(i int) float64) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	v := &volume.Volume{Dims: dims, Channels: 1, Affine: identity(), Data: make([]float64, dims[0]*dims[1]*dims[2])}
	for i := range v.Data {
		v.Data[i] = at(i)
	}
	require.NoError(t, volume.Write(path, v, volume.WriteOptions{Type: volume.Uint8}))
}

func TestRun(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "a", "b")
	write(t, filepath.Join(dir, "half.nii.gz"), [3]int{4, 2, 2}, func(i int) float64 { return float64(i/8) * 3 })
	write(t, filepath.Join(dir, "sub", "empty.nii"), [3]int{3, 3, 3}, func(int) float64 { return 0 })
	var text bytes.Buffer
	require.NoError(t, run(dir, "*", out, &text))
	assert.Contains(t, text.String(), "2 masks")
	assert.Regexp(t, `γ_va, foreground share +\| +0 \| +0.25 \| +0.5 \|`, text.String())
	rows, err := csv.NewReader(open(t, filepath.Join(out, "labelstats.csv"))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 3)
	// Planes 0 and 1 are background, 2 and 3 foreground: the gradient is ½ on planes 1
	// and 2 and zero on the outer ones.
	assert.Equal(t, []string{"half", "16", "8", "0.5", "0.25", "0.75", "8", "0.5"}, rows[1])
	assert.Equal(t, []string{"sub/empty", "27", "0", "0", "0", "0", "0", "0"}, rows[2])
	_, err = png.Decode(open(t, filepath.Join(out, "labelstats.png")))
	assert.NoError(t, err)
}

// TestRunLeavesOutWhatIsNotAMask puts files of every wrong kind beside one mask.
func TestRunLeavesOutWhatIsNotAMask(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	file := func(name string, channels int, at func(i int) float64) {
		v := &volume.Volume{Dims: [3]int{4, 3, 8}, Channels: channels, Affine: identity(), Data: make([]float64, 96*channels)}
		for i := range v.Data {
			v.Data[i] = at(i)
		}
		require.NoError(t, volume.Write(filepath.Join(dir, name), v, volume.WriteOptions{Type: volume.Float64}))
	}
	one := func(x float64) func(i int) float64 {
		return func(i int) float64 {
			if i == 36 {
				return x
			}
			return 0
		}
	}
	file("a_nan.nii", 1, one(math.NaN()))
	file("b_half.nii", 1, one(0.5))
	file("c_negative.nii", 1, one(-1))
	file("d_integer_scan.nii", 1, func(i int) float64 { return float64(i) })
	file("e_scan.nii", 1, func(i int) float64 { return float64(i) / 7 })
	file("f_channels.nii", 2, one(1))
	file("g_mask.nii", 1, one(0.9999999997671694))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "h_broken.nii"), []byte("not an image"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "._g_mask.nii"), []byte("hidden"), 0o644))

	var text bytes.Buffer
	assert.EqualError(t, run(dir, "*", out, &text), "7 of 8 files were left out (see above)")
	for _, want := range []string{
		"voxel [1 1 4] is NaN; labels must be the whole numbers 0, 1, 2, …, to within 0.001 (" + filepath.Join(dir, "a_nan.nii") + ")\n",
		"voxel [1 1 4] is 0.5;", "voxel [1 1 4] is -1;",
		"more than 64 distinct values: this is an image, not a label (" + filepath.Join(dir, "d_integer_scan.nii") + ")\n",
		"to within 0.001; this looks like an image, not a label (" + filepath.Join(dir, "e_scan.nii") + ")\n",
		"the label has 2 channels, want 1", "h_broken.nii", "\n1 masks in ",
	} {
		assert.Contains(t, text.String(), want)
	}
	rows, err := csv.NewReader(open(t, filepath.Join(out, "labelstats.csv"))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	assert.Equal(t, []string{"g_mask", "96", "1"}, rows[1][:3])

	many := t.TempDir()
	for i := range 25 {
		require.NoError(t, os.WriteFile(filepath.Join(many, fmt.Sprintf("%02d.nii", i)), []byte("not an image"), 0o644))
	}
	var short bytes.Buffer
	require.Error(t, run(many, "*", t.TempDir(), &short))
	assert.Contains(t, short.String(), "19.nii)\nLeft out: 5 more\n")

	require.NoError(t, run(dir, "g_*", filepath.Join(t.TempDir(), "out"), &text), "the pattern matches only the mask")
	require.NoError(t, os.Remove(filepath.Join(dir, "g_mask.nii")))
	empty := filepath.Join(t.TempDir(), "out")
	assert.ErrorContains(t, run(dir, "*", empty, &text), "none of the 7 files in")
	assert.NoFileExists(t, filepath.Join(empty, "labelstats.csv"))
}

// TestRunTriesTheOutputFirst gives outputs that cannot be written, beside a file whose
// reading would be reported.
func TestRunTriesTheOutputFirst(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "broken.nii"), []byte("not an image"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(out, "file"), nil, 0o644))
	require.NoError(t, os.MkdirAll(filepath.Join(out, "folder", "labelstats.png"), 0o755))
	var text bytes.Buffer
	assert.ErrorContains(t, run(dir, "*", filepath.Join(out, "file"), &text), "-out: ")
	assert.ErrorContains(t, run(dir, "*", filepath.Join(out, "folder"), &text), "labelstats.png is a folder")
	assert.Empty(t, text.String())
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func TestRunErrors(t *testing.T) {
	dir := t.TempDir()
	assert.ErrorContains(t, run(dir, "*", t.TempDir(), &bytes.Buffer{}), "contains no file that matches * and ends in one of .nii")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "broken.nii"), []byte("not an image"), 0o644))
	var text bytes.Buffer
	assert.ErrorContains(t, run(dir, "*", t.TempDir(), &text), "none of the 1 files")
	assert.Contains(t, text.String(), "broken.nii")
	assert.Error(t, run(filepath.Join(dir, "absent"), "*", t.TempDir(), &bytes.Buffer{}))
}

// TestRealLesions compares a quarter of the real masks with a direct implementation of the
// definition of numpy.gradient.
func TestRealLesions(t *testing.T) {
	dir, ok := golden.SharedData("picai_lesions")
	if !ok {
		t.Skip("no real lesion masks next to the repository (shared/data/picai_lesions)")
	}
	const match = "*[147].nii.gz"
	files, err := filepath.Glob(filepath.Join(dir, match))
	require.NoError(t, err)
	out := t.TempDir()
	require.NoError(t, run(dir, match, out, &bytes.Buffer{}))
	rows, err := csv.NewReader(open(t, filepath.Join(out, "labelstats.csv"))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+len(files))
	require.NotEmpty(t, files)
	for _, row := range rows[1:] {
		v, err := volume.Read(filepath.Join(dir, row[0]+".nii.gz"))
		require.NoError(t, err)
		share, smoothness := byDefinition(v)
		for i, want := range map[int]float64{3: share, 4: smoothness} {
			got, err := strconv.ParseFloat(row[i], 64)
			require.NoError(t, err)
			assert.InEpsilon(t, want, got, 1e-12, "%s, %s", row[0], rows[0][i])
		}
	}
}

func byDefinition(v *volume.Volume) (share, smoothness float64) {
	nx, ny, nz := v.Dims[0], v.Dims[1], v.Dims[2]
	f := func(x, y, z int) float64 {
		if v.Data[(x*ny+y)*nz+z] != 0 {
			return 1
		}
		return 0
	}
	d := func(at, n int, f func(i int) float64) float64 {
		lo, hi := max(at-1, 0), min(at+1, n-1)
		if lo == hi {
			return 0
		}
		return (f(hi) - f(lo)) / float64(hi-lo)
	}
	// The gradient is zero outside the lesion's bounding box grown by one voxel.
	lo, hi := v.Dims, [3]int{-1, -1, -1}
	for i, y := range v.Data {
		if y != 0 {
			for a, at := range [3]int{i / nz / ny, i / nz % ny, i % nz} {
				lo[a], hi[a] = min(lo[a], at), max(hi[a], at)
			}
		}
	}
	for x := max(lo[0]-1, 0); x <= min(hi[0]+1, nx-1); x++ {
		for y := max(lo[1]-1, 0); y <= min(hi[1]+1, ny-1); y++ {
			for z := max(lo[2]-1, 0); z <= min(hi[2]+1, nz-1); z++ {
				share += f(x, y, z)
				gx := d(x, nx, func(i int) float64 { return f(i, y, z) })
				gy := d(y, ny, func(i int) float64 { return f(x, i, z) })
				gz := d(z, nz, func(i int) float64 { return f(x, y, i) })
				smoothness += math.Sqrt(gx*gx + gy*gy + gz*gz)
			}
		}
	}
	n := float64(nx * ny * nz)
	return share / n, smoothness / n
}
