package edt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fieldOf returns the absolute values of what Field stores, and checks the signs and that every
// voxel is stored.
func fieldOf(t *testing.T, voxels []uint8, shape [3]int, spacing [3]float64) []float64 {
	t.Helper()
	out := make([]float64, len(voxels))
	for i := range out {
		out[i] = math.NaN()
	}
	m := maskOf(voxels, shape)
	before := copyOf(m)
	require.True(t, Field(out, m, spacing))
	require.Equal(t, before, m)
	for i, v := range out {
		if math.Signbit(v) != (voxels[i] != 0) {
			require.Failf(t, "sign", "voxel %d of mask %d has %v", i, voxels[i], v)
		}
		out[i] = math.Abs(v)
	}
	return out
}

// fieldBy returns the field of two transforms: of the mask and of the rest.
func fieldBy(transform func(sites []uint8) []float64, voxels []uint8) []float64 {
	rest := make([]uint8, len(voxels))
	for i, v := range voxels {
		rest[i] = 1 - v
	}
	out := transform(voxels)
	for i, v := range transform(rest) {
		out[i] = max(out[i], v)
	}
	return out
}

func squaredBy(shape [3]int, spacing [3]float64) func(sites []uint8) []float64 {
	return func(sites []uint8) []float64 {
		out := make([]float64, len(sites))
		Squared(out, maskOf(sites, shape), spacing)
		return out
	}
}

// requireSame compares bit by bit.
func requireSame(t *testing.T, want, got []float64, context ...any) {
	t.Helper()
	require.Len(t, got, len(want))
	for i, v := range want {
		if v != got[i] {
			require.Equal(t, v, got[i], "voxel %d; %v", i, context)
		}
	}
}

// mixed reports whether there are both zeros and ones.
func mixed(voxels []uint8) bool {
	sum := 0
	for _, v := range voxels {
		sum += int(v)
	}
	return sum > 0 && sum < len(voxels)
}

func TestFieldAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	shapes := [][3]int{
		{1, 1, 2}, {1, 1, 17}, {1, 19, 1}, {23, 1, 1}, {1, 13, 9}, {7, 1, 11}, {5, 3, 1},
		{3, 5, 7}, {9, 11, 13}, {2, 8, 16}, {4, 5, 65}, {3, 2, 130},
	}
	spacings := [][3]float64{{1, 1, 1}, {3, 0.5, 0.5}, {0.7, 0.7, 0.7}, {0.7, 2.78, 1.61}, {1e-3, 40, 1}, {1e-8, 1, 1e8}, {1e99, 1e-99, 1}}
	for _, shape := range shapes {
		for _, spacing := range spacings {
			for _, density := range []float64{0.003, 0.05, 0.5, 0.95, 0.999} {
				voxels := randomSites(rng, shape[0]*shape[1]*shape[2], density)
				voxels[rng.IntN(len(voxels))] ^= 1
				if !mixed(voxels) {
					continue
				}
				want := fieldBy(func(sites []uint8) []float64 { return rounded(sites, shape, spacing) }, voxels)
				if shape[2] == 1 { // the axes are turned
					want = fieldBy(squaredBy(shape, spacing), voxels)
				}
				requireSame(t, want, fieldOf(t, voxels, shape, spacing), shape, spacing, density)
				narrow := make([]float32, len(voxels)) // the same, rounded
				Field(narrow, maskOf(voxels, shape), spacing)
				for i, v := range want {
					if float32(v) != float32(math.Abs(float64(narrow[i]))) {
						require.Equal(t, float32(v), narrow[i], "voxel %d of %v, spacing %v", i, shape, spacing)
					}
				}
				plain := make([]float64, len(voxels))
				plainField(plain, maskOf(voxels, shape), spacing)
				for i, v := range plain {
					plain[i] = math.Abs(v)
				}
				requireSame(t, want, plain, shape, spacing, density)
			}
		}
	}
}

// figures are masks of a shape of which vectors and stretches of lines are not multiples.
func figures(shape [3]int) map[string][]uint8 {
	all := map[string][]uint8{}
	draw := func(name string, inside func(z, y, x int) bool) {
		voxels := make([]uint8, shape[0]*shape[1]*shape[2])
		for i := range voxels {
			if inside(i/(shape[1]*shape[2]), i/shape[2]%shape[1], i%shape[2]) {
				voxels[i] = 1
			}
		}
		all[name] = voxels
	}
	near := func(v, center, radius int) bool { return v >= center-radius && v <= center+radius }
	lesion := func(z, y, x, k int) bool {
		return near(z, 3+k*37%(shape[0]-6), 1) && near(y, 3+k*53%(shape[1]-6), 1) && near(x, 3+k*7%(shape[2]-6), 1)
	}
	draw("lesion", func(z, y, x int) bool { return lesion(z, y, x, 1) })
	draw("lesions", func(z, y, x int) bool {
		for k := range 50 {
			if lesion(z, y, x, k) {
				return true
			}
		}
		return false
	})
	draw("organ", func(z, y, x int) bool {
		sum := 0.0
		for axis, v := range [3]int{z, y, x} {
			d := (float64(v) - 0.45*float64(shape[axis])) / (0.3 * float64(shape[axis]))
			sum += d * d
		}
		return sum < 1
	})
	draw("first voxel", func(z, y, x int) bool { return z+y+x == 0 })
	draw("all but the last voxel", func(z, y, x int) bool { return z+y+x < shape[0]+shape[1]+shape[2]-3 })
	draw("plane", func(z, y, x int) bool { return y == 0 })
	rng := rand.New(rand.NewPCG(23, 24))
	draw("noise", func(z, y, x int) bool { return rng.IntN(2) == 0 })
	draw("sparse", func(z, y, x int) bool { return rng.IntN(500) == 0 })
	return all
}

func TestFieldAgainstSquared(t *testing.T) {
	for _, shape := range [][3]int{{25, 31, 23}, {10, 23, 70}} {
		for _, spacing := range [][3]float64{{1, 1, 1}, {2.2, 0.61, 0.59}} {
			for name, voxels := range figures(shape) {
				want := fieldBy(squaredBy(shape, spacing), voxels)
				for _, procs := range []int{1, 2, 7} {
					before := runtime.GOMAXPROCS(procs)
					got := fieldOf(t, voxels, shape, spacing)
					runtime.GOMAXPROCS(before)
					requireSame(t, want, got, name, shape, spacing, procs)
				}
			}
		}
	}
}

func TestFieldOfNoBoundary(t *testing.T) {
	for _, shape := range [][3]int{{0, 3, 4}, {1, 1, 1}, {2, 3, 70}, {5, 4, 1}} {
		full, dst := make([]uint8, shape[0]*shape[1]*shape[2]), make([]float64, shape[0]*shape[1]*shape[2])
		for _, label := range []uint8{0, 1} {
			for i := range full {
				full[i], dst[i] = label, math.NaN()
			}
			assert.False(t, Field(dst, maskOf(full, shape), [3]float64{1, 1, 1}))
			assert.Equal(t, make([]float64, len(dst)), dst)
		}
	}
}

func TestCommonUnit(t *testing.T) {
	for _, test := range []struct {
		shape   [3]int
		spacing [3]float64
		unit    float64 // 0 if there is none
	}{
		{[3]int{160, 128, 24}, [3]float64{1, 1, 1}, 1},
		{[3]int{160, 128, 24}, [3]float64{0.5, 0.5, 3}, 0.5},
		{[3]int{160, 128, 24}, [3]float64{6, 2, 4}, 2},
		{[3]int{160, 128, 24}, [3]float64{0.6, 0.6, 3}, 0},
		{[3]int{1, 128, 24}, [3]float64{0.6, 1, 3}, 1}, // no distance is along the first
		{[3]int{1, 1, 4097}, [3]float64{1, 1, 1}, 1},
		{[3]int{1, 1, 4098}, [3]float64{1, 1, 1}, 0},
		{[3]int{1, 2, 4097}, [3]float64{1, 1, 1}, 0},
		{[3]int{1, 1, 9}, [3]float64{1, 1, 0x1p-600}, 0},
		{[3]int{1, 1, 9}, [3]float64{1, 1, 0x1p-400}, 0x1p-400},
	} {
		unit, exact := commonUnit(test.shape, test.spacing)
		assert.Equal(t, test.unit > 0, exact, "%v", test)
		if exact {
			assert.Equal(t, test.unit, unit, "%v", test)
		}
	}
}

func FuzzField(f *testing.F) {
	f.Add(uint8(3), uint8(5), uint8(7), 1.0, 0.5, 2.0, []byte{1, 0, 0, 4, 9})
	f.Add(uint8(1), uint8(1), uint8(9), 1e-6, 1e6, 3.0, []byte{0x80})
	f.Add(uint8(4), uint8(2), uint8(69), 0.3, 1.0, 1.0, []byte{0xff, 0xff, 0xff, 0xff, 0x80, 0xff})
	f.Fuzz(func(t *testing.T, a, b, c uint8, sz, sy, sx float64, bits []byte) {
		shape := [3]int{int(a%9) + 1, int(b%9) + 1, int(c%80) + 1}
		spacing := [3]float64{sz, sy, sx}
		for _, s := range spacing {
			// Squares of smaller or larger numbers leave the range of float64.
			if !(s > 1e-100 && s < 1e100) {
				return
			}
		}
		voxels := make([]uint8, shape[0]*shape[1]*shape[2])
		for i := range voxels {
			if byteAt := i / 8; byteAt < len(bits) {
				voxels[i] = bits[byteAt] >> (i % 8) & 1
			}
		}
		if !mixed(voxels) {
			return
		}
		requireSame(t, fieldBy(squaredBy(shape, spacing), voxels), fieldOf(t, voxels, shape, spacing))
	})
}

func BenchmarkField(b *testing.B) {
	for _, shape := range [][3]int{{160, 128, 24}, {224, 224, 144}} {
		all := figures(shape)
		for _, spacing := range [][3]float64{{1, 1, 1}, {1, 1, 1.1}} {
			for _, name := range []string{"lesion", "lesions", "organ", "noise"} {
				m := maskOf(all[name], shape)
				dst := make([]float64, len(all[name]))
				at := fmt.Sprintf("%dx%dx%d/spacing=%g/%s", shape[0], shape[1], shape[2], spacing[2], name)
				b.Run(at, func(b *testing.B) {
					b.SetBytes(int64(len(dst)))
					for b.Loop() {
						Field(dst, m, spacing)
					}
				})
				b.Run(at+"/by Squared", func(b *testing.B) {
					rest := m.empty()
					for r := range m.Rows() {
						complement(rest.row(r), m.row(r), m.Columns())
					}
					b.SetBytes(int64(len(dst)))
					for b.Loop() {
						Squared(dst, m, spacing)
						Squared(dst, rest, spacing)
					}
				})
			}
		}
	}
}
