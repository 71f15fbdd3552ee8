package edt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// transformer returns the squared distance of every voxel to the nearest site.
type transformer func(sites []uint8, shape [3]int, spacing [3]float64) []float64

// linear is the linear-time transform, which other tests compare with the definition.
func linear(sites []uint8, shape [3]int, spacing [3]float64) []float64 {
	out := make([]float64, len(sites))
	Squared(out, maskOf(sites, shape), spacing)
	return out
}

// requireNearest compares the distances from one mask to the other, both of a shape, with
// the transform of the other.
func requireNearest(t *testing.T, transform transformer, shape [3]int, from, to *Mask, spacing [3]float64, context ...any) {
	t.Helper()
	toMask := transform(voxelsOf(t, to), shape, spacing)
	var want []float64
	for i, v := range voxelsOf(t, from) {
		if v == 1 {
			want = append(want, toMask[i])
		}
	}
	slices.Sort(want)
	require.Equal(t, want, expand(t, NewGrid(from, spacing).Nearest(from, to)), context...)
}

// expand repeats each distance as often as it was counted.
func expand(t *testing.T, d Distribution) []float64 {
	var all []float64
	require.Len(t, d.Weight, len(d.Squared))
	for i, squared := range d.Squared {
		require.Positive(t, d.Weight[i])
		if i > 0 {
			require.Greater(t, squared, d.Squared[i-1])
		}
		for range int(d.Weight[i]) {
			all = append(all, squared)
		}
	}
	return all
}

// filled returns a mask of the voxels and one more at random, so that it is not empty.
func filled(rng *rand.Rand, voxels []uint8, shape [3]int) *Mask {
	voxels[rng.IntN(len(voxels))] = 1
	return maskOf(voxels, shape)
}

func TestNearestAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for _, shape := range [][3]int{
		{1, 1, 1}, {1, 1, 150}, {1, 150, 1}, {29, 1, 1}, {1, 21, 33}, {23, 31, 1}, {41, 1, 3}, {4, 5, 70},
		{11, 9, 8}, {2, 9, 64}, {3, 2, 129}, {17, 13, 11}, {40, 21, 2},
	} {
		for _, spacing := range [][3]float64{{1, 1, 1}, {3, 0.5, 0.5}, {0.5, 0.5, 3}, {0.7, 0.7, 0.7}, {0.7, 2.78, 1.61}, {1e-3, 40, 1}, {1e-8, 1, 1e8}} {
			for _, density := range []float64{0, 0.01, 0.2, 0.9} {
				n := shape[0] * shape[1] * shape[2]
				a := filled(rng, randomSites(rng, n, density), shape)
				b := filled(rng, randomSites(rng, n, density*density), shape)
				requireNearest(t, rounded, shape, a, b, spacing, shape, spacing, density)
				requireNearest(t, rounded, shape, b, a, spacing, shape, spacing, density)
			}
		}
	}
}

// box returns a volume that is 1 in a box and 0 elsewhere.
func box(shape, lo, hi [3]int) []uint8 {
	out := make([]uint8, shape[0]*shape[1]*shape[2])
	for z := lo[0]; z < hi[0]; z++ {
		for y := lo[1]; y < hi[1]; y++ {
			for x := lo[2]; x < hi[2]; x++ {
				out[(z*shape[1]+y)*shape[2]+x] = 1
			}
		}
	}
	return out
}

// The masks are far apart, or much of one is far from the other: the worst case for a
// search of the neighborhood.
func TestNearestFarApart(t *testing.T) {
	shape := [3]int{11, 37, 140}
	object := func(lo, hi [3]int) *Mask { return maskOf(box(shape, lo, hi), shape) }
	corner, other := object([3]int{}, [3]int{1, 1, 1}), object([3]int{10, 36, 139}, shape)
	full, slab := object([3]int{}, shape), object([3]int{0, 0, 130}, shape)
	for _, spacing := range [][3]float64{{1, 1, 1}, {2.5, 0.7, 0.4}, {0.1, 7, 3}} {
		for i, pair := range [][2]*Mask{{corner, other}, {full, corner}, {full, slab}, {corner, slab}, {full, full}} {
			requireNearest(t, linear, shape, pair[0], pair[1], spacing, i, spacing)
			requireNearest(t, linear, shape, pair[1], pair[0], spacing, i, spacing)
		}
	}
}

// methods find the distances of all voxels by one method of [Grid.Nearest] each. They
// report whether that was possible.
var methods = map[string]func(s *search) bool{
	"rows": func(s *search) bool {
		left := copyOf(s.from)
		for n, voxels := 1, left.Count(); voxels > 0; n *= 3 {
			voxels, _, _ = s.round(left, n)
		}
		return true
	},
	"transform": func(s *search) bool {
		s.transform(s.from)
		return true
	},
	"shells": func(s *search) bool { return s.nearShells() == nil },
}

func copyOf(m *Mask) *Mask {
	c := *m
	c.words = slices.Clone(m.words)
	return &c
}

// All methods have to agree in every bit, wherever one takes over from another.
func TestNearestMethodsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	used := map[string]int{}
	for _, shape := range [][3]int{{9, 13, 70}, {1, 40, 65}, {21, 16, 24}, {70, 33, 3}, {45, 61, 1}} {
		for _, spacing := range [][3]float64{{1, 1, 1}, {3, 1, 2}, {1, 1, 6}, {0.7, 0.7, 0.7}, {1.2, 0.6, 0.6}, {2.2, 0.61, 0.59}} {
			for _, density := range []float64{0.002, 0.05, 0.6} {
				n := shape[0] * shape[1] * shape[2]
				a := filled(rng, randomSites(rng, n, density), shape)
				b := filled(rng, randomSites(rng, n, density), shape)
				g := NewGrid(a, spacing)
				want := g.Nearest(a, b)
				g.listShells(maxShells) // also where it is too small or narrow for them
				for name, find := range methods {
					s := newSearch(g, a, b)
					if !find(s) {
						continue // some were too far
					}
					used[name]++
					require.Equal(t, want, s.distribution(), "%s: %v %v %v", name, shape, spacing, density)
				}
			}
		}
	}
	for name := range methods {
		assert.Positive(t, used[name], "%s never found all distances", name)
	}
}

// Where a method has used up its budget it leaves the other voxels to the next one.
func TestNearestAtTheBudgets(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 5))
	for _, test := range []struct {
		name     string
		shape    [3]int
		from, to func(at [3]int) bool
		// what the search of shells has found, whether a round of the search of rows found
		// more, and whether that of rows found all
		shells, rows, all bool
	}{
		{
			"shells stop in the middle of a batch of narrow rows", [3]int{37, 41, 9},
			func([3]int) bool { return rng.IntN(3) == 0 }, func(at [3]int) bool { return at[2] == 2 && at[1]%13 == 0 },
			true, false, false,
		},
		{
			"shells stop in the middle of a wide row", [3]int{2, 1, 9001},
			func(at [3]int) bool { return at[0] == 0 }, func(at [3]int) bool { return at[0] == 1 && at[2]%900 == 13 },
			true, false, false,
		},
		{
			"shells find nothing at all", [3]int{9, 77, 71},
			func(at [3]int) bool { return at[0] == 0 }, func(at [3]int) bool { return at == [3]int{8, 3, 70} },
			false, false, false,
		},
		{
			"rows find some and then the rest", [3]int{41, 43, 67},
			func(at [3]int) bool { return at[0] == 0 && at[1]%21 == 0 && at[2]%33 == 0 },
			func(at [3]int) bool { return at[0] >= 8 && at[2] > 12 },
			false, true, true,
		},
		{
			"rows find some, the transform the rest", [3]int{63, 65, 67},
			func(at [3]int) bool { return at[0] <= 31 && at[0]%31 == 0 && at[1]%4 == 0 && at[2]%16 == 0 },
			func(at [3]int) bool { return at[0] == 38 || at == [3]int{62, 64, 66} },
			false, true, false,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var masks [2]*Mask
			for i, has := range []func([3]int) bool{test.from, test.to} {
				m := make([]uint8, 0, test.shape[0]*test.shape[1]*test.shape[2])
				for z := range test.shape[0] {
					for y := range test.shape[1] {
						for x := range test.shape[2] {
							v := uint8(0)
							if has([3]int{z, y, x}) {
								v = 1
							}
							m = append(m, v)
						}
					}
				}
				masks[i] = maskOf(m, test.shape)
			}
			a, b := masks[0], masks[1]
			for _, spacing := range [][3]float64{{1, 1, 1}, {0.7, 0.7, 0.7}} {
				requireNearest(t, linear, test.shape, a, b, spacing)
				s := newSearch(NewGrid(a, spacing), a, b)
				left := s.nearShells()
				require.NotNil(t, left)
				found := a.Count() - left.Count()
				counted := 0.0
				for _, n := range s.near.Weight {
					counted += n
				}
				require.Equal(t, float64(found), counted)
				assert.Equal(t, test.shells, found > 0, "%d of %d", found, a.Count())
				before := left.Count()
				assert.Equal(t, test.all, s.rows(left))
				assert.Equal(t, test.rows, left.Count() < before)
				assert.Equal(t, before, left.Count()+len(s.found.squared))
			}
		})
	}
}

// The transform cuts the volume into pieces of work, and leaves out what is empty.
func TestTransformAgainstSquared(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 6))
	for _, shape := range [][3]int{{3, 131, 517}, {67, 70, 75}, {1, 401, 307}, {301, 5, 130}, {2000, 3, 11}, {5, 900, 17}} {
		for range 6 {
			var masks [2]*Mask
			for i := range masks {
				var lo, hi [3]int
				for axis, n := range shape {
					lo[axis] = rng.IntN(n)
					hi[axis] = lo[axis] + 1 + rng.IntN(n-lo[axis])
				}
				voxels := box(shape, lo, hi)
				for v := range voxels {
					if voxels[v] == 1 && rng.Float64() > 0.05 {
						voxels[v] = 0
					}
				}
				masks[i] = filled(rng, voxels, shape)
			}
			from, to := masks[0], masks[1]
			spacing := [3]float64{0.9, 0.3, 0.3}
			s := newSearch(NewGrid(from, spacing), from, to)
			s.transform(from)
			slices.Sort(s.found.squared)
			require.Equal(t, SortedSquared(from, to, spacing), s.found.squared, "%v", shape)
		}
	}
}

func TestNearestBitsDoNotDependOnProcessors(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	shape, spacing := [3]int{37, 61, 90}, [3]float64{2.2, 0.61, 0.59}
	n := shape[0] * shape[1] * shape[2]
	sparse, single := filled(rng, randomSites(rng, n, 1e-4), shape), filled(rng, make([]uint8, n), shape)
	ball := filled(rng, box(shape, [3]int{5, 9, 20}, [3]int{30, 50, 80}), shape)
	narrow := [3]int{211, 61, 9} // where the search of shells stops
	manySites, fewSites := filled(rng, randomSites(rng, 211*61*9, 0.4), narrow), filled(rng, randomSites(rng, 211*61*9, 0.003), narrow)
	for i, pair := range [][2]*Mask{{sparse, single}, {single, sparse}, {ball, sparse}, {sparse, ball}, {ball, single}, {manySites, fewSites}, {fewSites, manySites}} {
		var first Distribution
		for _, procs := range []int{1, 2, 3, 7} {
			before := runtime.GOMAXPROCS(procs)
			got := NewGrid(pair[0], spacing).Nearest(pair[0], pair[1])
			runtime.GOMAXPROCS(before)
			if first.Squared == nil {
				first = got
			}
			require.Equal(t, first, got, "pair %d, GOMAXPROCS %d", i, procs)
		}
	}
}

func TestNearestBit(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 4))
	for range 2000 {
		words := make([]uint64, 1+rng.IntN(4))
		var set []int
		for range 1 + rng.IntN(5) {
			bit := rng.IntN(64 * len(words))
			words[bit/64] |= 1 << (bit % 64)
			set = append(set, bit)
		}
		x := rng.IntN(64 * len(words))
		want := math.MaxInt
		for _, bit := range set {
			want = min(want, max(bit-x, x-bit))
		}
		require.Equal(t, want, nearestBit(words, x), "bit %d of %x", x, words)
	}
}

func TestOffsetsComeByDistance(t *testing.T) {
	for _, spacing := range [][3]float64{{1, 1, 1}, {3, 0.5, 1}, {1e-8, 1e8, 1}, {0.3, 0.7, 1}} {
		shape := [3]int{9, 14, 5}
		o := newOffsets(shape, spacing)
		list, beyond := o.nearest(10)
		require.Len(t, list, 10)
		require.LessOrEqual(t, list[9].square, beyond)
		list, beyond = o.nearest(1000)
		require.Len(t, list, shape[0]*shape[1], "all there are")
		require.True(t, math.IsInf(beyond, 1))
		seen := map[[2]int]bool{}
		for i, f := range list {
			seen[[2]int{f.slices, f.rows}] = true
			z, y := float64(f.slices)*spacing[0], float64(f.rows)*spacing[1]
			require.InEpsilon(t, 1+z*z+y*y, 1+f.square, tolerance)
			if i > 0 {
				require.LessOrEqual(t, list[i-1].square, f.square)
			}
		}
		require.Len(t, seen, len(list), "each once")
		short, next := o.nearest(10)
		require.Len(t, short, 10, "however many were asked for before")
		require.Equal(t, list[10].square, next)
	}
}

func TestShellsComeByDistance(t *testing.T) {
	for _, shape := range [][3]int{{9, 9, 9}, {1, 1, 200}, {2, 2, 2}, {1, 1, 1}} {
		for _, spacing := range [][3]float64{{1, 1, 1}, {0.5, 0.5, 3}, {5, 7, 1e-3}} {
			g := NewGrid(newMask(shape), spacing)
			g.listShells(maxShells)
			offsets, _ := g.offsets.nearest(maxShells + 1)
			var all []float64
			for z := range shape[0] {
				for y := range shape[1] {
					for x := range shape[2] {
						o := g.offsets.at(z, y)
						all = append(all, g.squared(&o, x))
					}
				}
			}
			slices.Sort(all)
			require.NotEmpty(t, g.shells)
			reached := -1 // the offsets have to come in order: they are looked up so
			for i, s := range g.shells {
				require.Equal(t, all[i], s.squared)
				require.Equal(t, s.squared, g.squared(&offsets[s.offset], s.steps))
				require.Less(t, s.steps, 64)
				require.LessOrEqual(t, s.offset, reached+1)
				reached = max(reached, s.offset)
			}
		}
	}
}

func FuzzNearest(f *testing.F) {
	f.Add(uint8(3), uint8(5), uint8(70), 1.0, 0.5, 2.0, []byte{1, 0, 0, 4, 9}, []byte{0, 8})
	f.Add(uint8(1), uint8(1), uint8(9), 1e-6, 1e6, 3.0, []byte{0x80}, []byte{1})
	f.Add(uint8(8), uint8(12), uint8(20), 2.0, 1.0, 1.0, []byte{0xff, 0xff, 0xff}, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0})
	f.Fuzz(func(t *testing.T, a, b, c uint8, sz, sy, sx float64, first, second []byte) {
		shape := [3]int{int(a%9) + 1, int(b%13) + 1, int(c%80) + 1}
		spacing := [3]float64{sz, sy, sx}
		for _, s := range spacing {
			if !(s > 1e-100 && s < 1e100) {
				return
			}
		}
		object := func(bits []byte) *Mask {
			voxels := make([]uint8, shape[0]*shape[1]*shape[2])
			for i := range voxels {
				if i/8 < len(bits) {
					voxels[i] = bits[i/8] >> (i % 8) & 1
				}
			}
			return maskOf(voxels, shape)
		}
		from, to := object(first), object(second)
		if from.Count() == 0 || to.Count() == 0 {
			return
		}
		requireNearest(t, linear, shape, from, to, spacing)
	})
}

// BenchmarkNearest measures both directions between the surfaces of two boxes, the
// second moved along every axis.
func BenchmarkNearest(b *testing.B) {
	shape := [3]int{170, 170, 110}
	a := Surface(maskOf(box(shape, [3]int{}, [3]int{120, 120, 60}), shape), 3)
	for _, by := range []int{0, 2, 10, 50} {
		b.Run(fmt.Sprintf("moved=%d", by), func(b *testing.B) {
			to := Surface(maskOf(box(shape, [3]int{by, by, by}, [3]int{120 + by, 120 + by, 60 + by}), shape), 3)
			for b.Loop() {
				g := NewGrid(a, [3]float64{1, 1, 1})
				g.Nearest(a, to)
				g.Nearest(to, a)
			}
		})
	}
}
