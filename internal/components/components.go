// Package components finds the connected components of binary volumes.
//
// Rows are first split into runs of foreground voxels, 64 voxels at a time. Runs of
// neighboring rows that touch are then joined in a union-find forest, in time nearly linear
// in the number of runs. Slabs of slices are labeled concurrently and their components joined
// at the borders.
//
// C. Fiorio and J. Gustedt, "Two linear time Union-Find strategies for image
// processing", Theoretical Computer Science 154 (1996) 165–181.
package components

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"runtime"
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
	return new(Finder).FindBits(nil, words, shape, neighborhood)
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
	// forest joins the components of the slabs, numbered one slab after the other.
	forest forest
	// Scratch memory of joinSlabs.
	last, next []span
}

// FindBits is [Find] for a mask of a bit for each voxel, the least significant of a word
// first. It panics if there are more or fewer words than the voxels take up; the bits after the
// last voxel are 0. The runs are stored in the memory given if it is large enough.
func (f *Finder) FindBits(runs []Run, words []uint64, shape [3]int, neighborhood Neighborhood) (found []Run, count int) {
	slices, rows, columns := shape[0], shape[1], shape[2]
	if voxels := slices * rows * columns; len(words) != (voxels+63)/64 {
		panic(fmt.Sprintf("components: shape %v has %d voxels, mask has %d words", shape, voxels, len(words)))
	}
	if neighborhood < Face || neighborhood > Vertex {
		panic(fmt.Sprintf("components: neighborhood %d is not Face, Edge or Vertex", neighborhood))
	}
	if len(words) == 0 {
		return runs[:0], 0
	}
	// The result does not depend on the slabs.
	const slabVoxels = 1 << 15
	n := max(1, min(slices, len(words)*64/slabVoxels, 2*runtime.GOMAXPROCS(0)))
	f.slabs = grow(f.slabs, n)
	slabs := f.slabs
	grid := gridOf(shape)
	earlier := neighborhood.earlier(grid)
	parallel.Each(n, func(i int) {
		s := &slabs[i]
		s.from, s.to = i*slices/n, (i+1)*slices/n
		s.label(words, grid, earlier, neighborhood == Vertex)
	})
	total, parts := 0, 0
	for i := range slabs {
		s := &slabs[i]
		s.firstRun, s.firstPart = total, parts
		total += len(s.spans)
		parts += s.count
	}
	f.forest = f.forest[:0].grown(parts)
	for i := 1; i < n; i++ {
		f.joinSlabs(&slabs[i-1], &slabs[i], grid, earlier)
	}
	count = f.forest.label()
	runs = grow(runs, total)
	parallel.Each(n, func(i int) {
		s := &slabs[i]
		to, own, labels := runs[s.firstRun:][:len(s.spans)], s.forest[:len(s.spans)], f.forest[s.firstPart:]
		for k := range s.spans {
			one := &s.spans[k]
			to[k] = Run{Start: one.voxel, End: one.voxel + one.end - one.start, Label: labels[own[k]-1]}
		}
	})
	return runs, count
}

// grow returns s with length n and the elements that are in its memory.
func grow[S ~[]T, T any](s S, n int) S { return slices.Grow(s[:0], n)[:n] }

// grid describes positions in a volume whose rows end with one voxel of padding and whose slices
// end with one row of it, so that runs of which one touches the other's shifted position are of
// the rows that the shift says.
type grid struct{ slices, rows, columns, row, slice int }

func gridOf(shape [3]int) grid {
	row := shape[2] + 1
	return grid{shape[0], shape[1], shape[2], row, (shape[1] + 1) * row}
}

// neighbor is a row that precedes a row in raster order, in its slice or the one before: shift
// positions before it. Runs of the two touch if they are within reach columns.
type neighbor struct {
	sameSlice    bool
	shift, reach int
}

// earlier returns the neighboring rows that precede a row.
func (n Neighborhood) earlier(g grid) []neighbor {
	var list []neighbor
	for _, at := range [...]struct{ slice, row int }{{1, 0}, {0, 1}, {1, -1}, {1, 1}} { // how many before
		// Neighbors may differ in as many axes as the neighborhood says: the columns may
		// differ too if the rows do not use all of them up.
		axes := at.slice*at.slice + at.row*at.row
		if axes <= int(n) {
			list = append(list, neighbor{at.slice == 0, at.slice*g.slice + at.row*g.row, min(int(n)-axes, 1)})
		}
	}
	return list
}

// span is a run at positions of a grid, its first voxel, and its node in a forest.
type span struct{ start, end, voxel, node int }

// slab is a range of slices.
type slab struct {
	from, to            int
	spans               []span
	forest              forest // of the runs
	count               int    // of the components
	firstRun, firstPart int    // of the slab's runs among all, and of its components
	open                []span // scratch memory of settle
}

// label finds the runs of the slab and labels its components.
func (s *slab) label(words []uint64, g grid, earlier []neighbor, all bool) {
	s.spans, s.forest = s.spans[:0], s.forest[:0]
	before, first := 0, 0 // the first runs of the slice before and of the slice
	for z := s.from; z < s.to; z++ {
		s.scan(words, g, z)
		s.forest = s.forest.grown(len(s.spans))
		last, own := s.spans[before:first], s.spans[first:]
		open := own
		if all {
			s.open = s.forest.settle(last, own, g.slice, s.open[:0])
			open = s.open
		}
		s.forest.joinAll(last, own, open, earlier)
		before, first = first, len(s.spans)
	}
	s.count = s.forest.label()
}

// scan finds the runs of a slice.
func (s *slab) scan(words []uint64, g grid, z int) {
	spans := s.spans
	at, end := z*g.rows*g.columns, (z+1)*g.rows*g.columns
	rowEnd, shift := at+g.columns, z*(g.slice-g.rows*g.columns)
	for w := at / 64; at < end; {
		// The word's voxels from at on.
		word := words[w] >> (at % 64) << (at % 64)
		for word != 0 {
			first := bits.TrailingZeros64(word)
			start := 64*w + first
			stop := start + bits.TrailingZeros64(^(word >> first))
			word &= word + 1<<first
			if stop >= 64*(w+1) {
				stop = NextBit(words, stop, end, ^uint64(0))
				if w, word = stop/64, 0; stop < end {
					word = words[w] >> (stop % 64) << (stop % 64)
				}
			}
			if stop >= end {
				if start >= end {
					break
				}
				stop, word = end, 0
			}
			if start >= rowEnd {
				rows := 1
				if start >= rowEnd+g.columns {
					rows += (start - rowEnd) / g.columns
				}
				rowEnd += rows * g.columns
				shift += rows
			}
			for ; stop > rowEnd; shift++ {
				spans = append(spans, span{start + shift, rowEnd + shift, start, len(spans)})
				start = rowEnd
				rowEnd += g.columns
			}
			spans = append(spans, span{start + shift, stop + shift, start, len(spans)})
		}
		w++
		at = 64 * w
	}
	s.spans = spans
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

// joinSlabs joins the components of a slab with those of the slab before it.
func (f *Finder) joinSlabs(a, b *slab, g grid, earlier []neighbor) {
	first, _ := slices.BinarySearchFunc(a.spans, (a.to-1)*g.slice, func(s span, at int) int { return s.start - at })
	last, _ := slices.BinarySearchFunc(b.spans, (b.from+1)*g.slice, func(s span, at int) int { return s.start - at })
	f.last, f.next = a.components(f.last, first, len(a.spans)), b.components(f.next, 0, last)
	f.forest.joinAll(f.last, nil, f.next, earlier)
}

// components returns runs of the slab as nodes of the components of all slabs.
func (s *slab) components(nodes []span, from, to int) []span {
	nodes = append(nodes[:0], s.spans[from:to]...)
	for i := range nodes {
		nodes[i].node = s.firstPart + s.forest[from+i] - 1
	}
	return nodes
}

// forest is a union-find forest: the parent of each node, which is the node itself or an earlier
// one.
type forest []int

func (f forest) find(i int) int {
	for f[i] != i {
		f[i] = f[f[i]]
		i = f[i]
	}
	return i
}

func (f forest) union(a, b int) {
	if f[a] != f[b] {
		f.unite(a, b)
	}
}

func (f forest) unite(a, b int) {
	a, b = f.find(a), f.find(b)
	if a < b {
		f[b] = a
	} else {
		f[a] = b
	}
}

// settle joins each run of a slice that lies within one of the slice before, and returns the
// others. Every voxel that touches a voxel of such a run, in another row before it, also touches
// the voxel across its face in the slice before: of 26 neighbors no other needs to be looked at.
// slice is how many positions are between the slices.
func (f forest) settle(before, own []span, slice int, open []span) []span {
	first := 0
	for j := range own {
		start, end := own[j].start-slice, own[j].end-slice
		for first < len(before) && before[first].end <= start {
			first++
		}
		if first < len(before) && before[first].start <= start && end <= before[first].end {
			f[own[j].node] = f[before[first].node]
		} else {
			open = append(open, own[j])
		}
	}
	return open
}

// joinAll joins runs of a slice with neighbors in their own slice and in the one before.
func (f forest) joinAll(before, own, runs []span, earlier []neighbor) {
	for _, n := range earlier {
		if n.sameSlice {
			f.join(own, runs, n.shift, n.reach)
		} else {
			f.join(before, runs, n.shift, n.reach)
		}
	}
}

// join joins runs with those neighbors that, shifted, are within reach of them.
func (f forest) join(neighbors, runs []span, shift, reach int) {
	first := 0
	for j := range runs {
		start, end := runs[j].start-shift-reach, runs[j].end-shift+reach
		for first < len(neighbors) && neighbors[first].end <= start {
			first++
		}
		for i := first; i < len(neighbors) && neighbors[i].start < end; i++ {
			f.union(neighbors[i].node, runs[j].node)
		}
	}
}

// grown returns the forest with so many nodes, of which the new ones are trees of their own.
func (f forest) grown(n int) forest {
	at := len(f)
	f = slices.Grow(f, n-at)[:n]
	for ; at < n; at++ {
		f[at] = at
	}
	return f
}

// label stores the number of each node's tree in its place, counted from 1 in the order of their
// roots, and returns how many there are.
func (f forest) label() (count int) {
	for i, parent := range f {
		if parent == i {
			count++
			f[i] = count
		} else {
			f[i] = f[parent] // its number already: a parent comes first
		}
	}
	return count
}
