package edt

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maskOf returns a mask of the voxels that are not 0.
func maskOf(voxels []uint8, shape [3]int) *Mask {
	m := NewMask(shape)
	m.Fill(0, voxels)
	return m
}

// voxelsOf returns the mask in raster order, 1 for every voxel in it. It fails if bits
// outside the volume are set.
func voxelsOf(t *testing.T, m *Mask) []uint8 {
	t.Helper()
	columns := m.shape[2]
	out := make([]uint8, m.Rows()*columns)
	for r := range m.Rows() {
		for x := range m.width * 64 {
			bit := uint8(m.row(r)[x/64] >> (x % 64) & 1)
			if x < columns {
				out[r*columns+x] = bit
			} else {
				require.Zero(t, bit, "row %d has a bit at %d of %d columns", r, x, columns)
			}
		}
	}
	return out
}

func TestMaskFill(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, shape := range [][3]int{{1, 1, 1}, {2, 3, 7}, {1, 2, 8}, {3, 1, 24}, {2, 2, 63}, {2, 3, 64}, {5, 4, 65}, {3, 7, 144}, {1, 3, 1500}, {40, 30, 11}, {70, 3, 1}, {67, 1, 1}} {
		for _, density := range []float64{0, 0.001, 0.1, 1} {
			voxels := randomSites(rng, shape[0]*shape[1]*shape[2], density)
			for i := range voxels {
				voxels[i] *= []uint8{1, 2, 0x80, 0xff}[i%4] // what is not 0 is in the mask
			}
			m := NewMask(shape)
			columns := m.Columns()
			first := rng.IntN(m.Rows()) // in two parts
			m.Fill(0, voxels[:first*columns])
			m.Fill(first, voxels[first*columns:])
			want, count, filled := make([]uint8, len(voxels)), 0, map[int]bool{}
			for i, v := range voxels {
				if v != 0 {
					want[i] = 1
					count++
					filled[i/columns] = true
				}
			}
			require.Equal(t, want, voxelsOf(t, m), "%v %v", shape, density)
			bits := make([]uint64, (len(want)+63)/64)
			for i, v := range want {
				bits[i/64] |= uint64(v) << (i % 64)
			}
			ofBits := NewMask(shape)
			ofBits.FillBits(bits)
			require.Equal(t, m, ofBits, "%v %v", shape, density)
			require.Equal(t, count, m.Count())
			require.Equal(t, len(filled), m.filledRows())
		}
	}
}

func TestMaskTurnsTheAxesUntilTheLastIsLong(t *testing.T) {
	spacing := [3]float64{3, 5, 7}
	for _, test := range []struct {
		shape, turned [3]int
		spacing       [3]float64
	}{
		{[3]int{4, 5, 6}, [3]int{4, 5, 6}, spacing}, {[3]int{4, 1, 6}, [3]int{4, 1, 6}, spacing}, {[3]int{1, 1, 6}, [3]int{1, 1, 6}, spacing},
		{[3]int{4, 5, 1}, [3]int{1, 4, 5}, [3]float64{7, 3, 5}}, {[3]int{1, 5, 1}, [3]int{1, 1, 5}, [3]float64{7, 3, 5}},
		{[3]int{4, 1, 1}, [3]int{1, 1, 4}, [3]float64{5, 7, 3}}, {[3]int{1, 1, 1}, [3]int{1, 1, 1}, [3]float64{5, 7, 3}},
	} {
		m := NewMask(test.shape)
		assert.Equal(t, test.turned, m.shape)
		assert.Equal(t, test.spacing, m.turned(spacing), "%v", test.shape)
	}
}

func TestWindowAndFlatten(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for _, shape := range [][3]int{{2, 5, 3}, {3, 4, 64}, {2, 7, 65}, {4, 3, 150}, {2, 70, 2}} {
		voxels := randomSites(rng, shape[0]*shape[1]*shape[2], 0.4)
		m := maskOf(voxels, shape)
		for range 50 {
			r, x := rng.IntN(m.Rows()), rng.IntN(shape[2])
			for i := range 64 {
				want := uint64(0)
				if x+i < shape[2] {
					want = uint64(voxels[r*shape[2]+x+i])
				}
				require.Equal(t, want, m.window(r, x)>>i&1)
			}
			var lo, hi [3]int
			for axis, n := range shape {
				lo[axis] = rng.IntN(n)
				hi[axis] = lo[axis] + 1 + rng.IntN(n-lo[axis])
			}
			z, rows, columns := lo[0], hi[1]-lo[1], hi[2]-lo[2]
			got := newMask([3]int{1, 1, rows * columns})
			m.flatten(got.words, z, lo, hi)
			var want []uint8
			for y := lo[1]; y < hi[1]; y++ {
				want = append(want, voxels[(z*shape[1]+y)*shape[2]:][lo[2]:hi[2]]...)
			}
			require.Equal(t, want, voxelsOf(t, got), "%v to %v of %v", lo, hi, shape)
		}
	}
}

func TestBoxAndCrop(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][3]int{{1, 1, 1}, {1, 9, 70}, {7, 5, 64}, {4, 6, 200}, {9, 3, 33}} {
		for range 30 {
			var masks [2][]uint8
			for i := range masks {
				masks[i] = make([]uint8, shape[0]*shape[1]*shape[2])
				for range 1 + rng.IntN(3) {
					masks[i][rng.IntN(len(masks[i]))] = 1
				}
			}
			lo, hi := shape, [3]int{}
			for i := range masks[0] {
				if masks[0][i]|masks[1][i] == 1 {
					for axis, at := range [3]int{i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]} {
						lo[axis], hi[axis] = min(lo[axis], at), max(hi[axis], at+1)
					}
				}
			}
			a, b := maskOf(masks[0], shape), maskOf(masks[1], shape)
			gotLo, gotHi := Box(a, b)
			require.Equal(t, lo, gotLo)
			require.Equal(t, hi, gotHi)
			var want []uint8
			for z := lo[0]; z < hi[0]; z++ {
				for y := lo[1]; y < hi[1]; y++ {
					want = append(want, masks[0][(z*shape[1]+y)*shape[2]:][lo[2]:hi[2]]...)
				}
			}
			a.Crop(lo, hi)
			require.Equal(t, [3]int{hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]}, a.shape)
			require.Equal(t, want, voxelsOf(t, a))
		}
	}
}

func TestBoxOfEmptyMasks(t *testing.T) {
	m := NewMask([3]int{3, 4, 70})
	lo, hi := Box(m, NewMask(m.shape))
	assert.Zero(t, lo)
	assert.Zero(t, hi)
	m.Crop(lo, hi)
	assert.Zero(t, m.Count())
	assert.Zero(t, Surface(m, 3).Count())
}

func TestSurfaceAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	for _, shape := range [][3]int{{1, 1, 1}, {1, 5, 9}, {3, 4, 64}, {4, 3, 65}, {5, 6, 131}, {3, 1, 70}} {
		for _, density := range []float64{0.3, 0.9, 1} {
			voxels := randomSites(rng, shape[0]*shape[1]*shape[2], density)
			at := func(z, y, x int) uint8 {
				if min(z, y, x) < 0 || z >= shape[0] || y >= shape[1] || x >= shape[2] {
					return 0
				}
				return voxels[(z*shape[1]+y)*shape[2]+x]
			}
			for _, axes := range []int{2, 3} {
				if axes == 2 && shape[0] > 1 {
					continue
				}
				want := make([]uint8, len(voxels))
				for i, v := range voxels {
					z, y, x := i/(shape[1]*shape[2]), i/shape[2]%shape[1], i%shape[2]
					inside := at(z, y-1, x) & at(z, y+1, x) & at(z, y, x-1) & at(z, y, x+1)
					if axes == 3 {
						inside &= at(z-1, y, x) & at(z+1, y, x)
					}
					want[i] = v &^ inside
				}
				m := maskOf(voxels, shape)
				require.Equal(t, want, voxelsOf(t, Surface(m, axes)), "%v %v %d axes", shape, density, axes)
				require.Equal(t, voxels, voxelsOf(t, m))
			}
		}
	}
}
