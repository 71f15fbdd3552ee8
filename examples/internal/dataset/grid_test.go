package dataset

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/volume"
)

// TestFilesAreReoriented writes a channel and a label with its axes in every order and direction and
// expects the values of the original.
func TestFilesAreReoriented(t *testing.T) {
	dims, m := [3]int{4, 3, 2}, oblique(point{0.5, 0.75, 3}, point{-11, 20, 7})
	dir := t.TempDir()
	image := filepath.Join(dir, "image.nii")
	writeVolume(t, image, 1, dims, m, counting)
	rng := rand.New(rand.NewPCG(1, 1))
	original := array[float64]{channels: 1}.empty(dims, m)
	for i := range original.data {
		original.data[i] = float64(rng.IntN(4))
	}
	want := make([]uint8, len(original.data))
	for i, x := range original.data {
		want[i] = uint8(min(x, 1))
	}
	c := Case{ID: "a", Images: []string{image, filepath.Join(dir, "channel.nii")}, Label: filepath.Join(dir, "label.nii")}
	for _, order := range orders {
		for flips := range 8 {
			r := rearrangement{axis: order}
			for i, axis := range order {
				r.dims[i], r.step[i] = dims[axis], 1
				if flips>>i&1 == 1 {
					r.step[i], r.start[i] = -1, dims[axis]-1
				}
			}
			moved := rearrange(original, r)
			channel := &volume.Volume{Dims: moved.dims, Channels: 1, Data: moved.data, Affine: moved.affine}
			channel.Affine[0][3] += 0.001
			require.NoError(t, volume.Write(c.Images[1], channel, volume.WriteOptions{}))
			moved.affine[0][3] += 0.1 // as rounded by a header
			v := &volume.Volume{Dims: moved.dims, Channels: 1, Data: moved.data, Affine: moved.affine}
			require.NoError(t, volume.Write(c.Label, v, volume.WriteOptions{}))
			prep, err := Protocol{}.load(c)
			require.NoError(t, err, "%v, flips %b", order, flips)
			assert.Equal(t, want, prep.label.data)
			for i, x := range original.data {
				require.Equal(t, float32(x), prep.image.data[len(original.data)+i], "no interpolation")
			}
			assert.Equal(t, prep.image.affine, prep.label.affine)

			label, err := ReadLabel(c, Reading{})
			require.NoError(t, err)
			assert.Equal(t, original.data, label.Data)
			assert.Equal(t, dims, label.Dims)
			h, err := volume.ReadHeader(image)
			require.NoError(t, err)
			assert.Equal(t, h.Affine, label.Affine)
		}
	}
}

// TestLabelsAreResampled gives a label with voxels twice as large.
func TestLabelsAreResampled(t *testing.T) {
	dir := t.TempDir()
	c := Case{ID: "a", Images: []string{filepath.Join(dir, "image.nii")}, Label: filepath.Join(dir, "label.nii")}
	writeVolume(t, c.Images[0], 1, [3]int{1, 2, 6}, identity, counting)
	coarse := multiply(identity, scaling(point{1, 1, 2}, point{0, 0, 0.5}))
	writeVolume(t, c.Label, 1, [3]int{1, 2, 3}, coarse, func(i int) float64 { return float64(i) })
	_, err := Protocol{}.load(c)
	assert.ErrorContains(t, err, "the label has 1×2×3 voxels of 1×1×2 mm, axes RAS, first voxel at (0, 0, 0.5) mm, "+
		"the image 1×2×6 voxels of 1×1×1 mm, axes RAS, first voxel at (0, 0, 0) mm; -resample_labels resamples")
	_, err = ReadLabel(c, Reading{})
	assert.ErrorContains(t, err, "is on another grid")

	prep, err := Protocol{Reading: Reading{ResampleLabels: true}}.load(c)
	require.NoError(t, err)
	assert.Equal(t, []uint8{0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, prep.label.data)
	label, err := ReadLabel(c, Reading{ResampleLabels: true})
	require.NoError(t, err)
	assert.Equal(t, []float64{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5}, label.Data)

	// A lesion between the voxels of a coarse image vanishes, which must not go unnoticed.
	writeVolume(t, c.Label, 1, [3]int{1, 2, 60}, scaled(0.1), func(i int) float64 {
		if i%60 == 5 {
			return 1
		}
		return 0
	})
	_, err = Protocol{Reading: Reading{ResampleLabels: true}}.load(c)
	assert.ErrorContains(t, err, "has foreground, but none of it is at a voxel of its image")

	far := identity
	far[0][3] = 500
	writeVolume(t, c.Label, 1, [3]int{1, 2, 6}, far, sparse)
	_, err = Protocol{Reading: Reading{ResampleLabels: true}}.load(c)
	assert.ErrorContains(t, err, "their corners are up to 500 mm apart; they do not overlap")
	_, err = ReadLabel(Case{ID: "a"}, Reading{})
	assert.ErrorContains(t, err, "want at least one image and a label")
}

func scaled(z float64) affine { return scaling(point{1, 1, z}, point{}) }

func TestDescribeGrid(t *testing.T) {
	assert.Equal(t, "2×3×4 voxels of 3×1×2 mm, axes SLA, first voxel at (5, 0, -7) mm",
		describeGrid([3]int{2, 3, 4}, affine{{0, -1, 0, 5}, {0, 0, 2, math.Copysign(0, -1)}, {3, 0, 0, -7}, {0, 0, 0, 1}}))
	assert.Equal(t, "1×1×1 voxels of 0.5×0.6667×3 mm, axes RIP, first voxel at (0, 0, 0) mm",
		describeGrid([3]int{1, 1, 1}, affine{{0.5, 0, 0, 0}, {0, 0, -3, 0}, {0, -2.0 / 3, 0, 0}, {0, 0, 0, 1}}))
}

func TestNaNIsFilledOnRequest(t *testing.T) {
	dir := t.TempDir()
	c := Case{ID: "a", Images: []string{filepath.Join(dir, "a.nii")}}
	writeVolume(t, c.Images[0], 1, [3]int{1, 1, 4}, identity, func(i int) float64 {
		return []float64{math.NaN(), 1, math.Inf(-1), 2}[i]
	})
	_, err := Protocol{}.load(c)
	assert.ErrorContains(t, err, "a.nii: voxel [0 0 0] is NaN; image values must be finite; -fill_nan replaces the others")
	prep, err := Protocol{Reading: Reading{FillNaN: true, Fill: -3}}.load(c)
	require.NoError(t, err)
	assert.Equal(t, []float32{-3, 1, -3, 2}, prep.image.data)
}

// TestLabelsOfIntegerHeader reads a mask of zeros and ones as nibabel stores it under the
// header of an int16 scan: scaled by 1/65535 and rounded.
func TestLabelsOfIntegerHeader(t *testing.T) {
	dir := t.TempDir()
	c := Case{ID: "a", Images: []string{filepath.Join(dir, "a.nii")}, Label: filepath.Join(dir, "l.nii")}
	writeVolume(t, c.Images[0], 1, [3]int{1, 1, 4}, identity, counting)
	v := &volume.Volume{Dims: [3]int{1, 1, 4}, Channels: 1, Affine: identity, Data: []float64{0, 1, 0, 1}}
	require.NoError(t, volume.Write(c.Label, v, volume.WriteOptions{Type: volume.Int16, Slope: 1.0 / 65535, Inter: 32768.0 / 65535}))
	stored, err := volume.Read(c.Label)
	require.NoError(t, err)
	require.NotEqual(t, 1.0, stored.Data[1])
	require.InDelta(t, 1, stored.Data[1], 1e-6)
	classes, err := segment.ParseClasses("1", nil)
	require.NoError(t, err)
	for _, scheme := range []segment.Scheme{{}, classes} {
		prep, err := Protocol{Scheme: scheme}.load(c)
		require.NoError(t, err)
		assert.Equal(t, []uint8{0, 1, 0, 1}, prep.label.data)
		assert.Equal(t, []int{0, 1}, prep.found.labels)
	}
}
