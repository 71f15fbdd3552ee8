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

// brute returns squared distances by definition: the smallest over all sites.
func brute(site []uint8, shape [3]int, spacing [3]float64) []float64 {
	type point [3]int
	var sites []point
	at := func(i int) point {
		return point{i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]}
	}
	for i, s := range site {
		if s == 1 {
			sites = append(sites, at(i))
		}
	}
	out := make([]float64, len(site))
	for i := range out {
		out[i] = math.Inf(1)
		p := at(i)
		for _, s := range sites {
			d2 := 0.0
			for a := range p {
				d := float64(p[a]-s[a]) * spacing[a]
				d2 += d * d
			}
			out[i] = min(out[i], d2)
		}
	}
	return out
}

// rounded returns the least squared distances by definition, each term and sum rounded as
// the package comment says.
func rounded(site []uint8, shape [3]int, spacing [3]float64) []float64 {
	var squares [3][]float64 // by axis and number of steps
	for axis, n := range shape {
		for i := range n {
			d := float64(i)
			if axis == 2 {
				d *= spacing[2]
				squares[2] = append(squares[2], d*d)
				continue
			}
			squares[axis] = append(squares[axis], float64(spacing[axis]*spacing[axis])*float64(d*d))
		}
	}
	var sites [][3]int
	for i, s := range site {
		if s == 1 {
			sites = append(sites, [3]int{i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]})
		}
	}
	out := make([]float64, 0, len(site))
	for z := range shape[0] {
		for y := range shape[1] {
			for x := range shape[2] {
				best := math.Inf(1)
				for _, s := range sites {
					best = min(best, squares[2][max(x-s[2], s[2]-x)]+squares[1][max(y-s[1], s[1]-y)]+squares[0][max(z-s[0], s[0]-z)])
				}
				out = append(out, best)
			}
		}
	}
	return out
}

// tolerance covers the roundings in which the sweeps and the definition may differ; it is
// far below any difference between two sites.
const tolerance = 2e-15

func requireSquared(t *testing.T, want, got []float64, context ...any) {
	t.Helper()
	require.Len(t, got, len(want), context...)
	for i := range want {
		if math.IsInf(want[i], 1) {
			require.True(t, math.IsInf(got[i], 1), "voxel %d is %v, want +Inf; %v", i, got[i], context)
			continue
		}
		require.LessOrEqual(t, math.Abs(got[i]-want[i]), tolerance*want[i], "voxel %d is %v, want %v; %v", i, got[i], want[i], context)
	}
}

func randomSites(rng *rand.Rand, n int, density float64) []uint8 {
	site := make([]uint8, n)
	for i := range site {
		if rng.Float64() < density {
			site[i] = 1
		}
	}
	return site
}

func TestSquaredAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	shapes := [][3]int{
		{1, 1, 1}, {1, 1, 17}, {1, 19, 1}, {23, 1, 1}, {1, 13, 9}, {7, 1, 11}, {5, 3, 1},
		{3, 5, 7}, {9, 11, 13}, {2, 8, 16}, {17, 9, 8}, {4, 21, 31},
	}
	spacings := [][3]float64{{1, 1, 1}, {3, 0.5, 0.5}, {0.7, 0.7, 0.7}, {0.7, 2.78, 1.61}, {1e-3, 40, 1}, {1e-8, 1, 1e8}, {1e99, 1e-99, 1}}
	for _, shape := range shapes {
		for _, spacing := range spacings {
			for _, density := range []float64{0, 0.003, 0.05, 0.5, 1} {
				n := shape[0] * shape[1] * shape[2]
				site := randomSites(rng, n, density)
				got := make([]float64, n)
				Squared(got, maskOf(site, shape), spacing)
				requireSquared(t, brute(site, shape, spacing), got, shape, spacing, density)
				require.Equal(t, rounded(site, shape, spacing), got, "%v %v %v", shape, spacing, density)
			}
		}
	}
}

func TestSquaredSingleSiteInEachCorner(t *testing.T) {
	shape, spacing := [3]int{5, 9, 11}, [3]float64{2.5, 0.3, 0.9}
	n := shape[0] * shape[1] * shape[2]
	for corner := range 8 {
		z, y, x := (corner&1)*(shape[0]-1), (corner>>1&1)*(shape[1]-1), (corner>>2)*(shape[2]-1)
		site := make([]uint8, n)
		site[(z*shape[1]+y)*shape[2]+x] = 1
		got := make([]float64, n)
		Squared(got, maskOf(site, shape), spacing)
		requireSquared(t, brute(site, shape, spacing), got, corner)
	}
}

// With integer spacing every sum is exact, so the result has to be.
func TestSquaredIsExactForWholeSpacing(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	shape, spacing := [3]int{13, 27, 35}, [3]float64{3, 1, 2}
	n := shape[0] * shape[1] * shape[2]
	site := randomSites(rng, n, 0.002)
	got := make([]float64, n)
	Squared(got, maskOf(site, shape), spacing)
	assert.Equal(t, brute(site, shape, spacing), got)
}

func TestSquaredBitsDoNotDependOnProcessors(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	shape, spacing := [3]int{21, 33, 45}, [3]float64{2.2, 0.61, 0.59}
	n := shape[0] * shape[1] * shape[2]
	site := randomSites(rng, n, 0.001)
	var first []float64
	for _, procs := range []int{1, 2, 3, 7} {
		before := runtime.GOMAXPROCS(procs)
		got := make([]float64, n)
		Squared(got, maskOf(site, shape), spacing)
		runtime.GOMAXPROCS(before)
		if first == nil {
			first = got
		}
		for i := range got {
			require.Equal(t, math.Float64bits(first[i]), math.Float64bits(got[i]), "GOMAXPROCS %d, voxel %d", procs, i)
		}
	}
}

func TestSquaredEmptyVolume(t *testing.T) {
	assert.NotPanics(t, func() { Squared(nil, NewMask([3]int{0, 3, 4}), [3]float64{1, 1, 1}) })
}

func TestSquaredPanicsOnWrongShapes(t *testing.T) {
	sites, spacing := NewMask([3]int{2, 3, 4}), [3]float64{1, 1, 1}
	assert.Panics(t, func() { Squared(make([]float64, 23), sites, spacing) })
}

func FuzzSquared(f *testing.F) {
	f.Add(uint8(3), uint8(5), uint8(7), 1.0, 0.5, 2.0, []byte{1, 0, 0, 4, 9})
	f.Add(uint8(1), uint8(1), uint8(9), 1e-6, 1e6, 3.0, []byte{0x80})
	f.Fuzz(func(t *testing.T, a, b, c uint8, sz, sy, sx float64, bits []byte) {
		shape := [3]int{int(a%9) + 1, int(b%9) + 1, int(c%12) + 1}
		spacing := [3]float64{sz, sy, sx}
		for _, s := range spacing {
			// Squares of smaller or larger numbers leave the range of float64.
			if !(s > 1e-100 && s < 1e100) {
				return
			}
		}
		n := shape[0] * shape[1] * shape[2]
		site := make([]uint8, n)
		for i := range site {
			if byteAt := i / 8; byteAt < len(bits) {
				site[i] = bits[byteAt] >> (i % 8) & 1
			}
		}
		got := make([]float64, n)
		Squared(got, maskOf(site, shape), spacing)
		requireSquared(t, brute(site, shape, spacing), got)
		require.Equal(t, rounded(site, shape, spacing), got)
	})
}

func BenchmarkSquared(b *testing.B) {
	for _, density := range []float64{0, 1e-4, 1e-2} {
		b.Run(fmt.Sprintf("224x224x144/density=%g", density), func(b *testing.B) {
			shape, spacing := [3]int{224, 224, 144}, [3]float64{1, 1, 1.5}
			n := shape[0] * shape[1] * shape[2]
			site := randomSites(rand.New(rand.NewPCG(9, 9)), n, density)
			dst, sites := make([]float64, n), maskOf(site, shape)
			b.SetBytes(int64(n))
			for b.Loop() {
				Squared(dst, sites, spacing)
			}
		})
	}
}
