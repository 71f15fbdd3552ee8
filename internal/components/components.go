// Package components finds the connected components of binary volumes.
//
// Rows are first cut into runs of foreground voxels; runs of neighbouring rows
// that touch are then joined in a union-find forest. Each run is visited a
// fixed number of times, so the time is linear in the number of voxels for the
// first step and nearly linear in the number of runs for the second.
//
// C. Fiorio and J. Gustedt, "Two linear time Union-Find strategies for image
// processing", Theoretical Computer Science 154 (1996) 165–181.
package components

import (
	"bytes"
	"fmt"
)

// Neighbourhood says which voxels of the 3×3×3 cube around a voxel touch it.
type Neighbourhood int

const (
	// Face joins voxels that share a face: 6 neighbours, 4 in two dimensions.
	Face Neighbourhood = iota + 1
	// Edge joins voxels that share a face or an edge: 18 neighbours, 8 in two dimensions.
	Edge
	// Vertex joins voxels that share a face, an edge or a corner: 26 neighbours, 8 in two dimensions.
	Vertex
)

// Run is a maximal stretch of foreground voxels in one row.
type Run struct {
	// Start and End are flat indices into the volume, End exclusive.
	Start, End int
	// Label is the component of the run, counted from 1.
	Label int
}

// Find returns the runs of the volume in raster order, each with its
// component, and the number of components. Components are numbered in the
// raster order of their first voxel.
//
// mask is row-major with the given shape (slices, rows, columns), 1 in the
// foreground and 0 elsewhere; a two-dimensional image has one slice. Find
// panics if the length of mask does not fit the shape or the neighbourhood is
// not one of the three.
func Find(mask []uint8, shape [3]int, neighbourhood Neighbourhood) (runs []Run, count int) {
	slices, rows, columns := shape[0], shape[1], shape[2]
	if len(mask) != slices*rows*columns {
		panic(fmt.Sprintf("components: shape %v has %d voxels, mask has %d", shape, slices*rows*columns, len(mask)))
	}
	if neighbourhood < Face || neighbourhood > Vertex {
		panic(fmt.Sprintf("components: neighbourhood %d is not Face, Edge or Vertex", neighbourhood))
	}
	if len(mask) == 0 {
		return nil, 0
	}

	// first[r] is the index of row r's first run, first[r+1] the end.
	first := make([]int, slices*rows+1)
	for r := range slices * rows {
		first[r] = len(runs)
		runs = appendRuns(runs, mask[r*columns:(r+1)*columns], r*columns)
	}
	first[slices*rows] = len(runs)

	f := newForest(len(runs))
	for r := range slices * rows {
		if first[r] == first[r+1] {
			continue
		}
		for _, n := range earlier {
			y := r%rows + n.row
			if y < 0 || y >= rows || r/rows+n.slice < 0 {
				continue
			}
			// An offset in one axis leaves the others for the columns: the row
			// offset and the column offset together may differ in so many axes.
			axes := n.axes()
			if axes > int(neighbourhood) {
				continue
			}
			reach := 0
			if axes < int(neighbourhood) {
				reach = 1
			}
			o := r + n.slice*rows + n.row
			f.join(runs, first[r], first[r+1], first[o], first[o+1], (r-o)*columns, reach)
		}
	}

	for i := range runs {
		root := f.find(i)
		if root == i {
			count++
			runs[i].Label = count
		} else {
			runs[i].Label = runs[root].Label // a root is the first run of its component
		}
	}
	return runs, count
}

// offset is the position of a neighbouring row.
type offset struct{ slice, row int }

// earlier lists the neighbouring rows that come before a row in raster order.
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

func appendRuns(runs []Run, row []uint8, at int) []Run {
	for x := 0; ; {
		step := bytes.IndexByte(row[x:], 1)
		if step < 0 {
			return runs
		}
		start := x + step
		end := start + 1
		for end < len(row) && row[end] == 1 {
			end++
		}
		runs = append(runs, Run{Start: at + start, End: at + end})
		x = end
	}
}

// forest is a union-find forest over runs. The root of a tree is its smallest
// index.
type forest struct{ parent []int }

func newForest(n int) forest {
	f := forest{make([]int, n)}
	for i := range f.parent {
		f.parent[i] = i
	}
	return f
}

func (f forest) find(i int) int {
	for f.parent[i] != i {
		f.parent[i] = f.parent[f.parent[i]]
		i = f.parent[i]
	}
	return i
}

func (f forest) union(a, b int) {
	a, b = f.find(a), f.find(b)
	if a < b {
		f.parent[b] = a
	} else {
		f.parent[a] = b
	}
}

// join unites the runs [a, aEnd) of a row with those of an earlier row,
// [b, bEnd), that come within reach columns of them; shift is the distance of
// the two rows in memory.
func (f forest) join(runs []Run, a, aEnd, b, bEnd, shift, reach int) {
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
