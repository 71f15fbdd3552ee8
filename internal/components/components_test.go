package components

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// flood labels components by flood fill, from the definition of a neighbor.
func flood(mask []uint8, shape [3]int, neighborhood Neighborhood) ([]int, int) {
	labels := make([]int, len(mask))
	count := 0
	for seed, m := range mask {
		if m != 1 || labels[seed] != 0 {
			continue
		}
		count++
		labels[seed] = count
		for stack := []int{seed}; len(stack) > 0; {
			i := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			z, y, x := i/(shape[1]*shape[2]), i/shape[2]%shape[1], i%shape[2]
			for dz := -1; dz <= 1; dz++ {
				for dy := -1; dy <= 1; dy++ {
					for dx := -1; dx <= 1; dx++ {
						if dz*dz+dy*dy+dx*dx > int(neighborhood) {
							continue
						}
						nz, ny, nx := z+dz, y+dy, x+dx
						if nz < 0 || ny < 0 || nx < 0 || nz >= shape[0] || ny >= shape[1] || nx >= shape[2] {
							continue
						}
						j := (nz*shape[1]+ny)*shape[2] + nx
						if mask[j] == 1 && labels[j] == 0 {
							labels[j] = count
							stack = append(stack, j)
						}
					}
				}
			}
		}
	}
	return labels, count
}

func labelsOf(runs []Run, n int) []int {
	labels := make([]int, n)
	for _, r := range runs {
		for i := r.Start; i < r.End; i++ {
			labels[i] = r.Label
		}
	}
	return labels
}

func TestFindAgainstFloodFill(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	shapes := [][3]int{{1, 1, 1}, {1, 1, 19}, {1, 17, 1}, {13, 1, 1}, {1, 15, 21}, {9, 1, 7}, {5, 7, 9}, {11, 13, 6}}
	for _, shape := range shapes {
		for _, neighborhood := range []Neighborhood{Face, Edge, Vertex} {
			for _, density := range []float64{0, 0.05, 0.2, 0.35, 0.5, 0.7, 1} {
				n := shape[0] * shape[1] * shape[2]
				mask := make([]uint8, n)
				for i := range mask {
					if rng.Float64() < density {
						mask[i] = 1
					}
				}
				want, wantCount := flood(mask, shape, neighborhood)
				runs, count := Find(mask, shape, neighborhood)
				require.Equal(t, wantCount, count, "%v %v %v", shape, neighborhood, density)
				require.Equal(t, want, labelsOf(runs, n), "%v %v %v", shape, neighborhood, density)
			}
		}
	}
}

// TestFindInSlabs: a volume of several slabs, of lines that cross them.
func TestFindInSlabs(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	shape := [3]int{23, 61, 103}
	for i, neighborhood := range []Neighborhood{Face, Edge, Vertex} {
		mask := make([]uint8, shape[0]*shape[1]*shape[2])
		for at := range mask {
			if rng.Float64() < []float64{0.28, 0.12, 0.08}[i] { // near the percolation threshold
				mask[at] = 1
			} else if rng.IntN(50) == 0 {
				mask[at] = 255 // no foreground
			}
		}
		want, wantCount := flood(mask, shape, neighborhood)
		runs, count := Find(mask, shape, neighborhood)
		require.Equal(t, wantCount, count)
		require.Equal(t, want, labelsOf(runs, len(mask)))
	}
}

func TestFindDiagonals(t *testing.T) {
	// Two voxels that share a face, an edge or a corner only.
	tests := []struct {
		second int
		counts [3]int // components with Face, Edge, Vertex
	}{{1, [3]int{1, 1, 1}}, {3, [3]int{2, 1, 1}}, {7, [3]int{2, 2, 1}}}
	for _, test := range tests {
		mask := make([]uint8, 8)
		mask[0], mask[test.second] = 1, 1
		for i, neighborhood := range []Neighborhood{Face, Edge, Vertex} {
			_, count := Find(mask, [3]int{2, 2, 2}, neighborhood)
			assert.Equal(t, test.counts[i], count, "voxel %d, neighborhood %d", test.second, neighborhood)
		}
	}
}

func TestFindEmptyVolume(t *testing.T) {
	runs, count := Find(nil, [3]int{3, 0, 4}, Face)
	assert.Empty(t, runs)
	assert.Zero(t, count)
}

func TestFindPanicsOnMisuse(t *testing.T) {
	assert.Panics(t, func() { Find(make([]uint8, 5), [3]int{1, 2, 3}, Face) })
	assert.Panics(t, func() { Find(make([]uint8, 6), [3]int{1, 2, 3}, 0) })
	assert.Panics(t, func() { new(Finder).FindBits(nil, make([]uint64, 2), [3]int{1, 2, 3}, Face) })
	assert.Panics(t, func() { Find(make([]uint8, 6), [3]int{1, 2, 3}, Vertex+1) })
}

func FuzzFind(f *testing.F) {
	f.Add(uint8(2), uint8(3), uint8(9), uint8(0), []byte{0xa5, 0x5a, 0x3c})
	f.Fuzz(func(t *testing.T, a, b, c, kind uint8, bits []byte) {
		shape := [3]int{int(a%7) + 1, int(b%7) + 1, int(c%13) + 1}
		neighborhood := Neighborhood(kind%3) + Face
		mask := make([]uint8, shape[0]*shape[1]*shape[2])
		for i := range mask {
			if i/8 < len(bits) {
				mask[i] = bits[i/8] >> (i % 8) & 1
			}
		}
		want, wantCount := flood(mask, shape, neighborhood)
		runs, count := Find(mask, shape, neighborhood)
		require.Equal(t, wantCount, count)
		require.Equal(t, want, labelsOf(runs, len(mask)))
	})
}

func BenchmarkFind(b *testing.B) {
	shape := [3]int{144, 224, 224}
	mask := make([]uint8, shape[0]*shape[1]*shape[2])
	rng := rand.New(rand.NewPCG(2, 2))
	for i := range mask {
		if rng.Float64() < 0.1 {
			mask[i] = 1
		}
	}
	b.SetBytes(int64(len(mask)))
	for b.Loop() {
		Find(mask, shape, Vertex)
	}
}
