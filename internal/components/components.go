// Package components finds the connected components of binary volumes.
//
// Rows are first split into runs of foreground voxels, 64 voxels at a time. Runs of
// neighboring rows that touch are then joined in a union-find forest, in time nearly linear
// in the number of runs. Slabs of slices are independent but for the runs on their borders,
// and are computed concurrently.
//
// C. Fiorio and J. Gustedt, "Two linear time Union-Find strategies for image
// processing", Theoretical Computer Science 154 (1996) 165–181.
package components

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/x/afl/internal/parallel"
)

// Neighborhood says which voxels of the 3×3×3 cube around a voxel touch it.
type Neighborhood int

const (
	// Face joins voxels that share a face: 6 neighbors, 4 in two dimensions.
	Face Neighborhood = iota + 1
	// Edge joins voxels that share a face or an edge: 18 neighbors, 8 in two dimensions.
	Edge
	// Vertex joins voxels that share a face, an edge or a corner: 26 neighbors, 8 in two dimensions.
	Vertex
)

// Run is a maximal stretch of foreground voxels in one row.
type Run struct {
	// Start and End are flat indices into the volume, End exclusive.
	Start, End int
	// Label is the component of the run, counted from 1.
	Label int
}

// Find returns the runs of a volume in raster order, each with its component, and the
// number of components. Components are numbered in the raster order of their first voxel.
//
// mask holds the voxels in raster order, 1 in the foreground and 0 elsewhere, shape is
// (slices, rows, columns); a two-dimensional image has one slice. Find panics if the
// length of mask does not match the shape or the neighborhood is not one of the three.
func Find(mask []uint8, shape [3]int, neighborhood Neighborhood) (runs []Run, count int) {
	slices, rows, columns := shape[0], shape[1], shape[2]
	if len(mask) != slices*rows*columns {
		panic(fmt.Sprintf("components: shape %v has %d voxels, mask has %d", shape, slices*rows*columns, len(mask)))
	}
	words := make([]uint64, (len(mask)+63)/64)
	pack(words, mask)
	return new(Finder).FindBits(words, shape, neighborhood)
}

// pack sets the bits of the ones.
func pack(words []uint64, mask []uint8) {
	parallel.Each((len(words)+packWords-1)/packWords, func(part int) {
		for w := part * packWords; w < min((part+1)*packWords, len(words)); w++ {
			voxels := mask[64*w : min(64*w+64, len(mask))]
			if len(voxels) < 64 {
				for i, v := range voxels {
					if v == 1 {
						words[w] |= 1 << i
					}
				}
				continue
			}
			for i := 0; i < 64; i += 8 {
				// The top bit of each byte that is not 1, then a bit for each that is.
				const low, ones = 0x7f7f7f7f7f7f7f7f, 0x0101010101010101
				x := binary.LittleEndian.Uint64(voxels[i:]) ^ ones
				x = ^((x&low + low) | x) >> 7 & ones
				words[w] |= x * 0x0102040810204080 >> 56 << i
			}
		}
	})
}

const packWords = 1 << 10 // of a unit of work

// Finder finds components in memory that it keeps from call to call.
type Finder struct {
	slabs []slab
	forest
}

// FindBits is [Find] for a mask of a bit for each voxel, the least significant of a word
// first. It panics if there are more or fewer words than the voxels take up; the bits after the
// last voxel are 0. The runs are valid until the next call.
func (f *Finder) FindBits(words []uint64, shape [3]int, neighborhood Neighborhood) (runs []Run, count int) {
	slices, rows, columns := shape[0], shape[1], shape[2]
	if voxels := slices * rows * columns; len(words) != (voxels+63)/64 {
		panic(fmt.Sprintf("components: shape %v has %d voxels, mask has %d words", shape, voxels, len(words)))
	}
	if neighborhood < Face || neighborhood > Vertex {
		panic(fmt.Sprintf("components: neighborhood %d is not Face, Edge or Vertex", neighborhood))
	}
	if len(words) == 0 {
		return nil, 0
	}
	// The result does not depend on the slabs.
	const slabVoxels = 1 << 15
	n := max(1, min(slices, len(words)*64/slabVoxels))
	f.slabs = grow(f.slabs, n)
	slabs := f.slabs
	f.first, f.rows, f.columns, f.neighborhood = grow(f.first, slices*rows+1), rows, columns, neighborhood
	parallel.Each(n, func(i int) {
		s := &slabs[i]
		s.from, s.to = i*slices/n, (i+1)*slices/n
		s.scan(words, &f.forest)
	})
	total := 0
	for i := range slabs {
		slabs[i].offset = total
		total += len(slabs[i].runs)
	}
	f.first[slices*rows] = total
	f.runs, f.parent = grow(f.runs, total), grow(f.parent, total)
	parallel.Each(len(slabs), func(i int) {
		s := &slabs[i]
		copy(f.runs[s.offset:], s.runs)
		for k := range s.runs {
			f.parent[s.offset+k] = s.offset + k
		}
		for row := s.from * rows; row < s.to*rows; row++ {
			f.first[row] += s.offset
		}
	})
	parallel.Each(len(slabs), func(i int) {
		s := &slabs[i]
		f.joinSlices(s.from, s.to, earlier[:1])
		f.joinSlices(s.from+1, s.to, earlier[1:])
	})
	for _, s := range slabs[1:] {
		f.joinSlices(s.from, s.from+1, earlier[1:])
	}
	for i, parent := range f.parent {
		if parent == i {
			count++
			f.runs[i].Label = count
		} else {
			f.runs[i].Label = f.runs[parent].Label // labeled already: a parent comes first
		}
	}
	return f.runs, count
}

// grow returns s with length n and the elements that are in its memory.
func grow[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// slab is a range of slices.
type slab struct {
	from, to int
	runs     []Run
	offset   int // of its runs among all
}

// scan finds the runs, and for each row the first of those of the slab that is not before it.
func (s *slab) scan(words []uint64, f *forest) {
	row := s.from * f.rows
	rowEnd, end := (row+1)*f.columns, s.to*f.rows*f.columns
	f.first[row], s.runs = 0, s.runs[:0]
	for at := row * f.columns; ; {
		if at = NextBit(words, at, end, 0); at == end {
			break
		}
		stop := NextBit(words, at, end, ^uint64(0))
		for at < stop {
			for at >= rowEnd {
				row++
				rowEnd += f.columns
				f.first[row] = len(s.runs)
			}
			to := min(stop, rowEnd)
			s.runs = append(s.runs, Run{Start: at, End: to})
			at = to
		}
	}
	for row++; row < s.to*f.rows; row++ {
		f.first[row] = len(s.runs)
	}
}

// NextBit returns the first bit from at on, before end, that is 1, or 0 if flip has all bits set;
// or end.
func NextBit(words []uint64, at, end int, flip uint64) int {
	if at >= end {
		return end
	}
	w := at / 64
	word := (words[w] ^ flip) >> (at % 64) << (at % 64)
	for word == 0 {
		if w++; 64*w >= end {
			return end
		}
		word = words[w] ^ flip
	}
	return min(64*w+bits.TrailingZeros64(word), end)
}

// offset is the position of a neighboring row relative to a row.
type offset struct{ slice, row int }

// earlier lists the neighboring rows that precede a row in raster order, those of its slice
// first.
var earlier = [...]offset{{0, -1}, {-1, -1}, {-1, 0}, {-1, 1}}

func (o offset) axes() int {
	n := 0
	if o.slice != 0 {
		n++
	}
	if o.row != 0 {
		n++
	}
	return n
}

// forest is a union-find forest over runs. A parent is the run itself or an earlier one.
type forest struct {
	parent        []int
	runs          []Run
	first         []int // the runs of row r are first[r] to first[r+1], exclusive
	rows, columns int
	neighborhood  Neighborhood
}

func (f *forest) find(i int) int {
	for f.parent[i] != i {
		f.parent[i] = f.parent[f.parent[i]]
		i = f.parent[i]
	}
	return i
}

func (f *forest) union(a, b int) {
	if f.parent[a] == f.parent[b] {
		return
	}
	a, b = f.find(a), f.find(b)
	if a < b {
		f.parent[b] = a
	} else {
		f.parent[a] = b
	}
}

// joinSlices joins the runs of the slices [from, to) with those of neighboring rows.
func (f *forest) joinSlices(from, to int, neighbors []offset) {
	for _, n := range neighbors {
		// Neighbors may differ in as many axes as the neighborhood says: the columns may
		// differ too if the rows do not use all of them up.
		axes := n.axes()
		if axes > int(f.neighborhood) {
			continue
		}
		reach := 0
		if axes < int(f.neighborhood) {
			reach = 1
		}
		back := -(n.slice*f.rows + n.row) // how many rows before
		for z := max(from, -n.slice); z < to; z++ {
			for r := z*f.rows + max(0, -n.row); r < (z+1)*f.rows-max(0, n.row); r++ {
				a, aEnd, b, bEnd := f.first[r], f.first[r+1], f.first[r-back], f.first[r-back+1]
				if a != aEnd && b != bEnd {
					f.join(a, aEnd, b, bEnd, back*f.columns, reach)
				}
			}
		}
	}
}

// join unites the runs [a, aEnd) of a row with those runs [b, bEnd) of an earlier row
// that are within reach columns of them; shift is the distance between the rows in memory.
func (f *forest) join(a, aEnd, b, bEnd, shift, reach int) {
	runs := f.runs
	for a < aEnd && b < bEnd {
		start, end := runs[b].Start+shift, runs[b].End+shift
		if start < runs[a].End+reach && runs[a].Start < end+reach {
			f.union(a, b)
		}
		if runs[a].End < end {
			a++
		} else {
			b++
		}
	}
}
