package edt

// Grid is the shape of a volume and the spacing of its voxels, with the tables that
// the search for nearest neighbors derives from them.
type Grid struct {
	shape   [3]int
	spacing [3]float64
	squares []float64 // squared distance by number of steps along a row
	offsets *offsets
	shells  []shell

	// Scratch memory of [Grid.Nearest].
	found   samples
	scratch []float64
}

// NewGrid returns the grid of masks like m. spacing is the positive, finite distance
// between neighboring voxels along each axis of the shape that m was made with.
func NewGrid(m *Mask, spacing [3]float64) *Grid {
	g := &Grid{shape: m.shape, spacing: m.turned(spacing), squares: squaresAlong(m, spacing)}
	// In a small volume finding the shells takes longer than the transform, and in a
	// narrow one looking up the rows does.
	if voxels := m.Rows() * m.Columns(); voxels >= smallVolume && m.Columns() >= narrowRow && m.Rows() > 1 {
		g.listShells(min(maxShells, voxels/shellVoxels))
	}
	return g
}

// squared returns the squared distance to the voxels that are steps along the rows at
// an offset. It adds the terms in the order of the sweeps of [Squared].
func (g *Grid) squared(o *offset, steps int) float64 {
	return g.squares[steps] + o.rowSquare + o.sliceSquare
}

// scratchMemory returns n numbers of scratch memory, which the next call returns again.
func (g *Grid) scratchMemory(n int) []float64 {
	if len(g.scratch) < n {
		g.scratch = make([]float64, n)
	}
	return g.scratch[:n]
}

// Nearest counts the voxels of one mask by their squared distance to the nearest voxel of
// the other. Both masks are like that of the grid, and neither is empty. The result does
// not depend on GOMAXPROCS. The calls for one grid share scratch memory and must not run
// at the same time.
//
// Three methods find the distances, each those that are too large for the one before:
//
//   - the nearest neighbors of 64 voxels at a time, see shell;
//   - the rows around one voxel at a time, see rowSearch;
//   - the distance transform, see transform, which takes time linear in the number of
//     voxels of the volume whatever the distances.
//
// The first two may each do a fraction of the work of the third; see shellBudget and
// rowShare. So no masks take much longer than two plain transforms.
func (g *Grid) Nearest(from, to *Mask) Distribution {
	return newSearch(g, from, to).run()
}

// NearestByArea is [Grid.Nearest] for corners of one surface and those of another, weighted
// by the area at the former.
func (g *Grid) NearestByArea(from, to *Corners) Distribution {
	s := newSearch(g, from.Mask, to.Mask)
	s.corners, s.found.codes = from, g.found.codes[:0]
	return s.run()
}

// search is the state of [Grid.Nearest] and [Grid.NearestByArea].
type search struct {
	grid     *Grid
	from, to *Mask
	corners  *Corners     // from, where they are corners
	near     Distribution // found by the search of shells
	found    samples      // found otherwise, in no order but the same in every run
}

func newSearch(g *Grid, from, to *Mask) *search {
	return &search{grid: g, from: from, to: to, found: samples{squared: g.found.squared[:0]}}
}

func (s *search) run() Distribution {
	switch {
	case s.from.Rows() == 1 && s.corners == nil:
		return s.alongRow()
	case s.grid.shells == nil:
		s.transform(s.from)
	default:
		if left := s.nearShells(); left != nil && !s.rows(left) {
			s.transform(left)
		}
	}
	s.grid.found = s.found
	return s.distribution()
}

// distribution returns the distribution of all distances found.
func (s *search) distribution() Distribution {
	n := len(s.found.squared)
	scratch := samples{squared: s.grid.scratchMemory(n)}
	if s.corners == nil {
		return s.found.distribution(scratch, nil, s.near)
	}
	scratch.codes = make([]uint8, n)
	return s.found.distribution(scratch, s.corners.areas, s.near)
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
	none    bool     // whether there are none at all so far
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
	s.slice, s.row, s.ready, s.none = r/rows, r%rows, 0, true
}

// lookUp collects the sites in the rows, up to four, at the next offset.
func (s *surroundings) lookUp() {
	o := &s.offsets[s.ready]
	z, y := s.slice, s.row
	a, b := s.at(z-o.slices, y-o.rows), s.at(z-o.slices, y+o.rows)
	c, d := a, b
	if o.slices > 0 {
		c, d = s.at(z+o.slices, y-o.rows), s.at(z+o.slices, y+o.rows)
	}
	dst := s.words[s.ready*s.stride+1:][:len(a)]
	var any uint64
	for w := range dst {
		word := a[w] | b[w] | c[w] | d[w]
		dst[w] = word
		any |= word
	}
	s.empty[s.ready] = any == 0
	s.none = s.none && any == 0
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
