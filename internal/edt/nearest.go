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

// Grid is the shape of a volume and the spacing of its voxels, with the tables that
// the search for nearest neighbors derives from them.
type Grid struct {
	shape   [3]int
	spacing [3]float64
	squares []float64 // squared distance by number of steps along a row
	offsets *offsets
	shells  []shell
}

// NewGrid returns the grid of a volume of slices, rows and columns. spacing is the
// positive, finite distance between neighboring voxels along each axis.
func NewGrid(shape [3]int, spacing [3]float64) *Grid {
	g := &Grid{shape: shape, spacing: spacing, squares: squaresAlong(shape[2], spacing[2]), offsets: newOffsets(shape, spacing)}
	g.shells = g.nearestShells(maxShells)
	return g
}

// squared returns the squared distance to the voxels that are steps along the rows at
// an offset. It adds the terms in the order of the sweeps of [Squared].
func (g *Grid) squared(o *offset, steps int) float64 {
	return g.squares[steps] + o.rowSquare + o.sliceSquare
}

// Nearest counts the voxels of one mask by their squared distance to the nearest voxel
// of the other, in ascending order. Both masks have the shape of the grid, and neither
// is empty. The result does not depend on GOMAXPROCS.
//
// Three methods find the distances, each those that are too large for the one before:
//
//   - the nearest neighbors of 64 voxels at a time, see shell;
//   - the rows around one voxel at a time, see rowSearch;
//   - the transform of the whole volume, see [Squared], which takes time linear in the
//     number of voxels whatever the distances. The others stop when it is faster.
func (g *Grid) Nearest(from, to *Mask) []Count {
	s := newSearch(g, from, to)
	if left := s.nearShells(); left != nil {
		if !s.rows(left) {
			s.transform(left)
		}
	}
	counts := make([]Count, 0, len(s.count))
	for _, square := range slices.Sorted(maps.Keys(s.count)) {
		counts = append(counts, Count{square, s.count[square]})
	}
	return counts
}

// search is the state of [Grid.Nearest].
type search struct {
	grid     *Grid
	from, to *Mask
	budget   int // row visits left to the search of rows
	count    tally
}

func newSearch(g *Grid, from, to *Mask) *search {
	budget := rowBudget * g.shape[0] * g.shape[1] * g.shape[2]
	return &search{grid: g, from: from, to: to, budget: budget, count: tally{}}
}

// tally counts voxels by squared distance.
type tally map[float64]int

// transform counts the voxels of m by the transform of the volume.
func (s *search) transform(m *Mask) {
	shape := s.grid.shape
	plane := NewMask([3]int{1, shape[1], shape[2]})
	for i, w := range m.words {
		plane.words[i%len(plane.words)] |= w
	}
	squared := make([]float64, shape[0]*shape[1]*shape[2])
	Squared(squared, s.to, s.grid.spacing, plane)
	for i, voxels := range m.words {
		row := squared[i/m.width*shape[2]:]
		for ; voxels != 0; voxels &= voxels - 1 {
			s.count[row[i%m.width*64+bits.TrailingZeros64(voxels)]]++
		}
	}
}

// surroundings are the sites in the rows around one row. They are looked up on first
// use, in the order of the offsets.
type surroundings struct {
	sites   *Mask
	offsets []offset
	slice   int // position of the row in the middle
	row     int
	ready   int // number of offsets looked up
	stride  int
	words   []uint64 // by offset: the words of a row between two words of 0
	empty   []bool   // by offset: whether there are no sites
	outside []uint64 // an empty row, for rows outside the volume
}

// apart is the number of words of padding that keep what different goroutines write on
// different cache lines, of which processors may fetch two at a time.
const apart = 16

func newSurroundings(sites *Mask, list []offset) *surroundings {
	s := &surroundings{sites: sites, offsets: list, stride: sites.width + 2, outside: make([]uint64, sites.width)}
	s.words = make([]uint64, len(list)*s.stride+apart)
	s.empty = make([]bool, len(list)+8*apart)
	return s
}

// moveTo makes row r, numbered through all slices, the one in the middle.
func (s *surroundings) moveTo(r int) {
	rows := s.sites.shape[1]
	s.slice, s.row, s.ready = r/rows, r%rows, 0
}

// lookUp collects the sites in the rows, up to four, at the next offset.
func (s *surroundings) lookUp() {
	o := &s.offsets[s.ready]
	z, y := s.slice, s.row
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
