package edt

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// codesOf returns the code of every corner on the surface, found one at a time and by words.
func codesOf(t *testing.T, c *Corners) []uint8 {
	codes := make([]uint8, c.Rows()*c.Columns())
	c.Each(func(i int) {
		r := i / c.shape[2]
		codes[i] = c.code(r/c.shape[1], r%c.shape[1], i%c.shape[2])
	})
	for r := range c.Rows() {
		around := c.around(r/c.shape[1], r%c.shape[1])
		for w, word := range c.row(r) {
			var ofWord wordCodes
			ofWord.set(&around, w, word)
			for ; word != 0; word &= word - 1 {
				x := bits.TrailingZeros64(word)
				require.Equal(t, codes[r*c.shape[2]+64*w+x], ofWord[x])
			}
		}
	}
	return codes
}

// cornersByDefinition returns the code of every corner of the surface, the axes not turned.
func cornersByDefinition(voxels []uint8, shape [3]int, axes int) (codes []uint8, size [3]int) {
	size = shape
	for a := 3 - axes; a < 3; a++ {
		size[a]++
	}
	for z := range size[0] {
		for y := range size[1] {
			for x := range size[2] {
				code := uint8(0)
				for i := range 8 {
					vz, vy, vx := z+i>>2-1, y+i>>1&1-1, x+i&1-1
					if axes == 2 {
						vz = 0
					}
					if vz >= 0 && vy >= 0 && vx >= 0 && vz < shape[0] && vy < shape[1] && vx < shape[2] &&
						voxels[(vz*shape[1]+vy)*shape[2]+vx] != 0 {
						code |= 1 << i
					}
				}
				if code == 255 {
					code = 0
				}
				codes = append(codes, code)
			}
		}
	}
	return codes, size
}

func TestCornersAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	spacing := [3]float64{3, 0.5, 0.75}
	for _, shape := range [][3]int{{1, 1, 1}, {3, 4, 5}, {1, 7, 63}, {1, 5, 64}, {2, 3, 65}, {4, 7, 1}, {5, 1, 1}, {1, 6, 1}, {1, 1, 9}, {2, 1, 130}} {
		for _, axes := range []int{2, 3} {
			if axes == 2 && shape[0] > 1 {
				continue
			}
			for _, density := range []float64{0, 0.1, 0.5, 0.95, 1} {
				voxels := randomSites(rng, shape[0]*shape[1]*shape[2], density)
				want, size := cornersByDefinition(voxels, shape, axes)
				m := maskOf(voxels, shape)
				areas, wantAreas := NewAreas(m, spacing), NewAreas(NewMask([3]int{2, 2, 2}), spacing)
				corners := NewCorners(m, axes, areas)
				require.Equal(t, len(want), corners.Rows()*corners.Columns())
				set := voxelsOf(t, corners.Mask)
				codes := codesOf(t, corners)
				total := 0.0
				count := 0
				for i, code := range want {
					at := [3]int{i / size[2] / size[1], i / size[2] % size[1], i % size[2]}
					for range m.turn {
						at = [3]int{at[2], at[0], at[1]}
					}
					j := (at[0]*corners.shape[1]+at[1])*corners.shape[2] + at[2]
					require.Equal(t, code != 0, set[j] == 1, "%v %d", shape, i)
					if code != 0 {
						require.Equal(t, bits.OnesCount8(code), bits.OnesCount8(codes[j]), "%v %d", shape, i)
						require.InDelta(t, wantAreas.ByCode[code], corners.Area(j), 1e-15, "%v %d", shape, i)
						total += wantAreas.ByCode[code]
						count++
					}
				}
				assert.Equal(t, count, corners.Count())
				assert.InDelta(t, total, corners.TotalArea(), 1e-12*total)
				assert.Equal(t, m.turned(spacing), corners.turned(spacing))
			}
		}
	}
}

// TestAreas checks shapes whose surface of triangles is known.
func TestAreas(t *testing.T) {
	area := func(voxels []uint8, shape [3]int, axes int, spacing [3]float64) float64 {
		m := maskOf(voxels, shape)
		return NewCorners(m, axes, NewAreas(m, spacing)).TotalArea()
	}
	spacing := [3]float64{3, 0.5, 2}
	// A single voxel becomes an octahedron, with vertices half way to its neighbors.
	octahedron := 8 * math.Sqrt(math.Pow(0.5*2, 2)+math.Pow(3*2, 2)+math.Pow(3*0.5, 2)) / 8
	assert.InDelta(t, octahedron, area([]uint8{1}, [3]int{1, 1, 1}, 3, spacing), 1e-12)
	assert.InDelta(t, 2*math.Sqrt(0.5*0.5+2*2), area([]uint8{1}, [3]int{1, 1, 1}, 2, [3]float64{1, 0.5, 2}), 1e-12, "a rhombus")
	// Two voxels in a row: the halves of the octahedron, and between them a prism whose
	// sides are as long as a voxel.
	prism := 4 * 2 * math.Sqrt(math.Pow(3.0/2, 2)+math.Pow(0.5/2, 2))
	assert.InDelta(t, octahedron+prism, area([]uint8{1, 1}, [3]int{1, 1, 2}, 3, spacing), 1e-12)
	a := NewAreas(NewMask([3]int{2, 2, 2}), spacing).ByCode
	for code := range 256 {
		assert.Equal(t, a[code], a[255-code], "the surface has two sides")
		assert.Equal(t, code == 0 || code == 255, a[code] == 0)
	}
}

// TestNearestByArea compares every method with a table of areas by distance, on one and
// several cores.
func TestNearestByArea(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 9))
	for _, shape := range [][3]int{{9, 13, 70}, {1, 40, 65}, {21, 16, 24}, {70, 33, 3}, {45, 61, 1}, {1, 1, 200}, {20, 30, 40}} {
		for _, density := range []float64{0.002, 0.05, 0.6} {
			n := shape[0] * shape[1] * shape[2]
			spacing := [3]float64{1.2, 0.6, 0.61}
			masks := [2]*Mask{filled(rng, randomSites(rng, n, density), shape), filled(rng, randomSites(rng, n, density*density), shape)}
			areas := NewAreas(masks[0], spacing)
			from, to := NewCorners(masks[0], 3, areas), NewCorners(masks[1], 3, areas)
			squared := make([]float64, from.Rows()*from.Columns())
			Squared(squared, to.Mask, spacing)
			want := map[float64]float64{}
			from.Each(func(i int) { want[squared[i]] += from.Area(i) })
			check := func(d Distribution, by string) {
				require.Len(t, d.Squared, len(want), "%s: %v %v", by, shape, density)
				for i, squared := range d.Squared {
					require.InEpsilon(t, want[squared], d.Weight[i], 1e-12, "%s: %v %v", by, shape, density)
				}
			}
			g := NewGrid(from.Mask, spacing)
			one := g.NearestByArea(from, to)
			check(one, "all")
			before := runtime.GOMAXPROCS(3)
			require.Equal(t, one, g.NearestByArea(from, to))
			runtime.GOMAXPROCS(before)
			g.listShells(maxShells)
			for name, find := range methods {
				s := newSearch(g, from.Mask, to.Mask)
				s.corners = from
				if find(s) {
					check(s.distribution(), name)
				}
			}
		}
	}
}
