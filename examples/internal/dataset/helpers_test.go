package dataset

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/volume"
)

// numbered returns an array whose values are 1, 2, 3, …
func numbered(channels int, dims [3]int, m affine) array[float32] {
	a := array[float32]{channels: channels}.empty(dims, m)
	for i := range a.data {
		a.data[i] = float32(i + 1)
	}
	return a
}

var identity = affine{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}

// oblique returns the affine of a grid rotated about all three axes.
func oblique(spacing, origin point) affine {
	rotate := func(axis int, angle float64) affine {
		m := identity
		i, j := (axis+1)%3, (axis+2)%3
		sin, cos := math.Sincos(angle)
		m[i][i], m[i][j], m[j][i], m[j][j] = cos, -sin, sin, cos
		return m
	}
	m := multiply(rotate(0, 0.3), multiply(rotate(1, -0.2), rotate(2, 0.1)))
	m = multiply(m, scaling(spacing, point{}))
	for r := range 3 {
		m[r][3] = origin[r]
	}
	return m
}

func requireAffine(t *testing.T, want, got affine, tolerance float64) {
	t.Helper()
	for r := range want {
		require.InDeltaSlice(t, want[r][:], got[r][:], tolerance, "row %d of %v, want %v", r, got, want)
	}
}

// eachVoxel calls f for every voxel of a volume of the given size.
func eachVoxel(dims [3]int, f func(v [3]int)) {
	for i := range dims[0] {
		for j := range dims[1] {
			for k := range dims[2] {
				f([3]int{i, j, k})
			}
		}
	}
}

func (a array[T]) value(c int, v [3]int) T {
	return a.data[((c*a.dims[0]+v[0])*a.dims[1]+v[1])*a.dims[2]+v[2]]
}

func (a array[T]) within(v [3]int) bool {
	for i, x := range v {
		if x < 0 || x >= a.dims[i] {
			return false
		}
	}
	return true
}

func float(v [3]int) point { return point{float64(v[0]), float64(v[1]), float64(v[2])} }

func random(rng *rand.Rand, channels int, dims [3]int, m affine) array[float32] {
	a := array[float32]{channels: channels}.empty(dims, m)
	for i := range a.data {
		a.data[i] = float32(rng.NormFloat64()*50 + 200)
	}
	return a
}

// writeVolume writes a NIfTI file and creates its parent folders.
func writeVolume(t *testing.T, path string, channels int, dims [3]int, m affine, value func(i int) float64) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	v := &volume.Volume{Dims: dims, Channels: channels, Affine: m, Data: make([]float64, channels*dims[0]*dims[1]*dims[2])}
	for i := range v.Data {
		v.Data[i] = value(i)
	}
	require.NoError(t, volume.Write(path, v, volume.WriteOptions{}))
}

func counting(i int) float64 { return float64(i + 1) }

func sparse(i int) float64 {
	if i%5 == 0 {
		return float64(1 + i%4)
	}
	return 0
}

// tree writes small files, which are labels if the path contains "abel" or
// "egmentation".
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		value := counting
		if strings.Contains(name, "abel") || strings.Contains(name, "egmentation") {
			value = sparse
		}
		writeVolume(t, filepath.Join(dir, filepath.FromSlash(name)), 1, [3]int{4, 3, 2}, identity, value)
	}
	return dir
}
