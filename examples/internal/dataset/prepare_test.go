package dataset

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gorgonia.org/tensor"
)

// TestLoadPutsChannelsOnTheFirstGrid loads a case of three channels. The second is on
// another grid, the third on one that differs by less than the tolerance.
func TestLoadPutsChannelsOnTheFirstGrid(t *testing.T) {
	dir := t.TempDir()
	m := oblique(point{1, 1, 3}, point{5, 6, 7})
	coarse := multiply(m, scaling(point{2, 2, 1}, point{0.5, 0.5, 0}))
	near := m
	near[0][3] += 0.005
	c := Case{ID: "x", Images: []string{filepath.Join(dir, "a.nii"), filepath.Join(dir, "b.nii"), filepath.Join(dir, "c.nii")}, Label: filepath.Join(dir, "l.nii")}
	dims := [3]int{4, 4, 2}
	writeVolume(t, c.Images[0], 1, dims, m, counting)
	writeVolume(t, c.Images[1], 1, [3]int{2, 2, 2}, coarse, func(i int) float64 { return float64(10 * (i + 1)) })
	writeVolume(t, c.Images[2], 1, dims, near, counting)
	writeVolume(t, c.Label, 1, dims, near, sparse)
	prep, err := Protocol{}.load(c)
	require.NoError(t, err)
	assert.Equal(t, 3, prep.image.channels)
	n := prep.image.voxels()
	for i := range n {
		require.Equal(t, float32(i+1), prep.image.data[i])
	}
	// Voxel (i, j, k) of the fine grid is at (x, y, z) = ((i-½)/2, (j-½)/2, k) of the
	// coarse one, clamped to its voxel centers, where the value is
	// 40·x + 20·y + 10·z + 10.
	clamp := func(i int) float64 { return min(max((float64(i)-0.5)/2, 0), 1) }
	eachVoxel(dims, func(v [3]int) {
		want := 40*clamp(v[0]) + 20*clamp(v[1]) + 10*float64(v[2]) + 10
		require.InDelta(t, want, float64(prep.image.value(1, v)), 1e-4, "at %v", v)
	})
	assert.Equal(t, prep.image.data[:n], prep.image.data[2*n:], "a grid within the tolerance is not interpolated")
	assert.Equal(t, prep.image.affine, prep.label.affine)
}

func TestLoadRejectsImageAsLabel(t *testing.T) {
	dir := t.TempDir()
	c := Case{ID: "patient", Images: []string{filepath.Join(dir, "a.nii")}, Label: filepath.Join(dir, "l.nii")}
	dims := [3]int{5, 5, 3}
	writeVolume(t, c.Images[0], 1, dims, identity, func(i int) float64 { return float64(i) })
	writeVolume(t, c.Label, 1, dims, identity, func(i int) float64 { return float64(i % 65) })
	_, err := Protocol{}.load(c)
	require.NoError(t, err, "64 values besides 0")
	writeVolume(t, c.Label, 1, dims, identity, func(i int) float64 { return float64(i % 66) })
	_, err = Protocol{}.load(c)
	assert.ErrorContains(t, err, "more than 64 distinct values: this is an image, not a label ("+c.Label+")")
}

func TestLoadTreatsEveryLabelAsTumor(t *testing.T) {
	dir := t.TempDir()
	c := Case{ID: "x", Images: []string{filepath.Join(dir, "a.nii")}, Label: filepath.Join(dir, "l.nii")}
	writeVolume(t, c.Images[0], 1, [3]int{1, 1, 6}, identity, counting)
	writeVolume(t, c.Label, 1, [3]int{1, 1, 6}, identity, func(i int) float64 { return float64(i) })
	s, err := Protocol{}.Valid(c)
	require.NoError(t, err)
	assert.Equal(t, tensor.Shape{1, 1, 1, 6}, s.Label.Shape())
	assert.Equal(t, []uint8{0, 1, 1, 1, 1, 1}, s.Label.Data())

	writeVolume(t, c.Label, 1, [3]int{1, 1, 6}, identity, func(int) float64 { return 0 })
	s, err = Protocol{}.Valid(c)
	require.NoError(t, err)
	assert.Equal(t, make([]uint8, 6), s.Label.Data(), "an empty label stays empty")

	c.Label = ""
	s, err = Protocol{}.Valid(c)
	require.NoError(t, err)
	assert.Nil(t, s.Label)
	s, err = PICAI().Train(c, 1)
	require.NoError(t, err)
	assert.Nil(t, s.Label)
}

func TestLoadErrors(t *testing.T) {
	dims := [3]int{1, 2, 3}
	one := func(bad float64) func(int) float64 {
		return func(i int) float64 {
			if i == 4 {
				return bad
			}
			return 1
		}
	}
	moved := identity
	moved[2][3] = 1
	for name, c := range map[string]struct {
		image, label func(int) float64
		channels     int // of the label
		dims         [3]int
		m            affine
		want         string
	}{
		"NaN":              {one(math.NaN()), sparse, 1, dims, identity, "a.nii: voxel [0 1 1] is NaN; image values must be finite"},
		"infinity":         {one(math.Inf(-1)), sparse, 1, dims, identity, "voxel [0 1 1] is -Inf"},
		"fraction":         {counting, one(0.5), 1, dims, identity, "voxel [0 1 1] is 0.5; labels must be the whole numbers"},
		"negative":         {counting, one(-1), 1, dims, identity, "is -1; labels"},
		"NaN in label":     {counting, one(math.NaN()), 1, dims, identity, "is NaN; labels"},
		"channels":         {counting, sparse, 2, dims, identity, "the label has 2 channels"},
		"size":             {counting, sparse, 1, [3]int{1, 2, 4}, identity, "the label has 1×2×4 voxels of 1×1×1 mm"},
		"different origin": {counting, sparse, 1, dims, moved, "their corners are up to 1 mm apart"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			k := Case{ID: "patient", Images: []string{filepath.Join(dir, "a.nii")}, Label: filepath.Join(dir, "l.nii")}
			writeVolume(t, k.Images[0], 1, dims, identity, c.image)
			writeVolume(t, k.Label, c.channels, c.dims, c.m, c.label)
			_, err := BraTS().Valid(k)
			require.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, "case patient")
			_, err = BraTS().Train(k, 1)
			assert.ErrorContains(t, err, c.want)
		})
	}
	_, err := BraTS().Valid(Case{ID: "y"})
	assert.ErrorContains(t, err, "case y: no images")
	_, err = BraTS().Valid(Case{ID: "y", Images: []string{"absent.nii.gz"}})
	assert.ErrorContains(t, err, "absent.nii.gz")
}

// TestPrepareKeepsTheLesionInPlace checks that resampling, orienting and resizing
// preserve the lesion's volume and its center in world coordinates.
func TestPrepareKeepsTheLesionInPlace(t *testing.T) {
	dir := t.TempDir()
	dims := [3]int{30, 28, 26}
	m := multiply(oblique(point{1, 1.5, 0.75}, point{-20, 30, 40}), scaling(point{-1, 1, -1}, point{29, 0, 25}))
	center := apply(m, point{15, 14, 12})
	inside := func(i int) bool {
		p := apply(m, point{float64(i / (dims[1] * dims[2])), float64(i / dims[2] % dims[1]), float64(i % dims[2])})
		return norm(point{p[0] - center[0], p[1] - center[1], p[2] - center[2]}) < 6
	}
	c := Case{ID: "x", Images: []string{filepath.Join(dir, "a.nii")}, Label: filepath.Join(dir, "l.nii")}
	writeVolume(t, c.Images[0], 1, dims, m, counting)
	voxels := 0.0
	writeVolume(t, c.Label, 1, dims, m, func(i int) float64 {
		if inside(i) {
			voxels++
			return 4
		}
		return 0
	})
	for name, p := range map[string]Protocol{
		"spacing":  {Spacing: [3]float64{1, 1, 1}},
		"size":     {Size: [3]int{20, 36, 22}},
		"both":     {Spacing: [3]float64{1, 1, 1}, Size: [3]int{24, 24, 24}},
		"padded":   {MinSize: [3]int{40, 1, 33}, Multiple: [3]int{16, 8, 1}},
		"as it is": {},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := p.Valid(c)
			require.NoError(t, err)
			assert.InDeltaSlice(t, spacingOf(s), s.Spacing[:], 1e-12)
			var n float64
			var sum point
			shape, i := s.Label.Shape(), 0
			label := s.Label.Data().([]uint8)
			eachVoxel([3]int{shape[1], shape[2], shape[3]}, func(v [3]int) {
				if label[i] == 1 {
					w := apply(s.Affine, float(v))
					n, sum = n+1, point{sum[0] + w[0], sum[1] + w[1], sum[2] + w[2]}
				}
				i++
			})
			for ax := range sum {
				// Nearest-neighbor sampling moves a voxel by at most half its size.
				assert.InDelta(t, center[ax], sum[ax]/n, 0.5*max(1.5, s.Spacing[0], s.Spacing[1], s.Spacing[2]), "world axis %d", ax)
				assert.Positive(t, s.Affine[ax][ax], "axis %d points in the RAS direction", ax)
			}
			assert.InEpsilon(t, voxels*1*1.5*0.75, n*s.Spacing[0]*s.Spacing[1]*s.Spacing[2], 0.08)
		})
	}
}

func spacingOf(s *Sample) []float64 {
	x := spacing(s.Affine)
	return x[:]
}
