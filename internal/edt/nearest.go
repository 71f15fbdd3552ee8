package edt

import (
	"maps"
	"math/bits"
	"slices"
)

// Count is a number of voxels at a squared distance.
type Count struct {
	Squared float64
	Voxels  int
}

// Grid is a volume's shape and the spacing of its voxels, with what the search
// of nearest neighbours needs to know of them.
type Grid struct {
	shape   [3]int
	spacing [3]float64
	squares []float64 // squared length of so many steps along a row
	offsets *offsets
	shells  []shell
}

// NewGrid returns the grid of a volume of slices, rows and columns whose
// neighbours along each axis are the positive, finite spacing apart.
func NewGrid(shape [3]int, spacing [3]float64) *Grid {
	g := &Grid{shape: shape, spacing: spacing, squares: squaresAlong(shape[2], spacing[2]), offsets: newOffsets(shape, spacing)}
	g.shells = g.nearestShells(maxShells)
	return g
}

// squared is the squared distance of the voxels so many steps along the rows at
// an offset. The terms are added in the order of the sweeps of [Squared].
func (g *Grid) squared(o *offset, steps int) float64 {
	return g.squares[steps] + o.rowSquare + o.sliceSquare
}

// Nearest finds the squared Euclidean distance, in the units of the spacing,
// from voxels to the nearest of sites, of which there is at least one. The masks
// have the shape of the grid.
//
// distances counts the voxels of queries by their squared distance, ascending;
// farthest is the largest one of the voxels of others, which may share voxels
// with queries, and 0 where there are none. Neither depends on GOMAXPROCS.
//
// There are three ways to a distance, each for voxels that are farther from a
// site than suits the one before:
//
//   - the nearest neighbours of 64 voxels at a time, see shell;
//   - the rows around one voxel at a time, see rowSearch;
//   - the transform of the whole volume, see [Squared], whose time is linear in
//     the number of voxels whatever the distances: the others stop where it
//     would be faster.
func (g *Grid) Nearest(queries, others, sites *Mask) (distances []Count, farthest float64) {
	s := &search{grid: g, queries: queries, others: others, sites: sites, tally: tally{count: map[float64]int{}}}
	left := s.nearShells()
	far, rest := left.and(queries), left.AndNot(queries)
	// The queries come first: with their distances known, most of the others
	// need none to tell that they are not the farthest.
	if s.rows(far, true) {
		s.rows(rest, false)
	}
	s.transform(far, rest)
	for _, square := range slices.Sorted(maps.Keys(s.count)) {
		distances = append(distances, Count{square, s.count[square]})
	}
	return distances, s.farthest
}

// search is the state of [Grid.Nearest].
type search struct {
	grid                   *Grid
	queries, others, sites *Mask
	tally
}

// tally gathers the distances that are known.
type tally struct {
	count    map[float64]int // queries by squared distance
	farthest float64         // squared, of others
}

func (t *tally) add(u *tally) {
	for square, n := range u.count {
		t.count[square] += n
	}
	t.farthest = max(t.farthest, u.farthest)
}

// transform adds the distances of the voxels of far, counted, and of rest, from
// the transform of the volume.
func (s *search) transform(far, rest *Mask) {
	shape := s.sites.shape
	plane := NewMask([3]int{1, shape[1], shape[2]})
	var any uint64
	for i := range far.words {
		w := far.words[i] | rest.words[i]
		plane.words[i%len(plane.words)] |= w
		any |= w
	}
	if any == 0 {
		return
	}
	squared := make([]float64, shape[0]*shape[1]*shape[2])
	Squared(squared, s.sites, s.grid.spacing, plane)
	for r := range s.sites.Rows() {
		row, counted, others := squared[r*shape[2]:][:shape[2]], far.row(r), s.others.row(r)
		for w, single := range rest.row(r) {
			for voxels := counted[w] | single; voxels != 0; voxels &= voxels - 1 {
				d, bit := row[64*w+bits.TrailingZeros64(voxels)], voxels&-voxels
				if counted[w]&bit != 0 {
					s.count[d]++
				}
				if others[w]&bit != 0 {
					s.farthest = max(s.farthest, d)
				}
			}
		}
	}
}

// surroundings are the sites in the rows around one row, looked up when they are
// first asked for, an offset after the other.
type surroundings struct {
	sites   *Mask
	offsets []offset
	row     int
	ready   int // offsets that are looked up
	stride  int
	words   []uint64 // by offset: a row's words between two that are 0
	empty   []bool   // by offset: there are none
	outside []uint64 // a row outside the volume
}

// cacheLine keeps apart, in words, what different goroutines write.
const cacheLine = 16

func newSurroundings(sites *Mask, list []offset) *surroundings {
	s := &surroundings{sites: sites, offsets: list, stride: sites.width + 2, outside: make([]uint64, sites.width)}
	s.words = make([]uint64, len(list)*s.stride+cacheLine)
	s.empty = make([]bool, len(list)+8*cacheLine)
	return s
}

// around moves to the row r of all slices.
func (s *surroundings) around(r int) { s.row, s.ready = r, 0 }

// lookUp gathers the sites of the up to four rows at the next offset.
func (s *surroundings) lookUp() {
	o := &s.offsets[s.ready]
	z, y := s.row/s.sites.shape[1], s.row%s.sites.shape[1]
	a, b := s.at(z-o.slices, y-o.rows), s.at(z-o.slices, y+o.rows)
	c, d := s.at(z+o.slices, y-o.rows), s.at(z+o.slices, y+o.rows)
	dst := s.words[s.ready*s.stride+1:][:len(a)]
	var any uint64
	for w := range dst {
		word := a[w] | b[w] | c[w] | d[w]
		dst[w] = word
		any |= word
	}
	s.empty[s.ready] = any == 0
	s.ready++
}

// at returns the words of a row, which may lie outside the volume.
func (s *surroundings) at(slice, row int) []uint64 {
	m := s.sites
	if uint(slice) >= uint(m.shape[0]) || uint(row) >= uint(m.shape[1]) {
		return s.outside
	}
	return m.words[(slice*m.shape[1]+row)*m.width:][:m.width]
}
