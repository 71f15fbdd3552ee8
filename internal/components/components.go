// Package components finds the connected components of binary volumes.
//
// Rows are first split into runs of foreground voxels, in time linear in the number of
// voxels. Runs of neighboring rows that touch are then joined in a union-find forest, in
// time nearly linear in the number of runs.
//
// C. Fiorio and J. Gustedt, "Two linear time Union-Find strategies for image
// processing", Theoretical Computer Science 154 (1996) 165–181.
package components

import (
	"bytes"
	"fmt"
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
	if neighborhood < Face || neighborhood > Vertex {
		panic(fmt.Sprintf("components: neighborhood %d is not Face, Edge or Vertex", neighborhood))
	}
	if len(mask) == 0 {
		return nil, 0
	}

	// The runs of row r are first[r] to first[r+1], exclusive.
	first := make([]int, slices*rows+1)
	row := 0 // the first one that is not known yet
	for at := 0; ; {
		// Over the rows, of which most are empty.
		step := bytes.IndexByte(mask[at:], 1)
		if step < 0 {
			break
		}
		start := at + step
		of := start / columns
		for ; row <= of; row++ {
			first[row] = len(runs)
		}
		end := start + 1
		for rowEnd := (of + 1) * columns; end < rowEnd && mask[end] == 1; end++ {
		}
		runs = append(runs, Run{Start: start, End: end})
		at = end
	}
	for ; row < len(first); row++ {
		first[row] = len(runs)
	}

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
			// Neighbors may differ in as many axes as the neighborhood says: the
			// columns may differ too if the rows do not use all of them up.
			axes := n.axes()
			if axes > int(neighborhood) {
				continue
			}
			reach := 0
			if axes < int(neighborhood) {
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
			runs[i].Label = runs[root].Label // labeled already: the root comes first
		}
	}
	return runs, count
}

// offset is the position of a neighboring row relative to a row.
type offset struct{ slice, row int }

// earlier lists the neighboring rows that precede a row in raster order.
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

// join unites the runs [a, aEnd) of a row with those runs [b, bEnd) of an earlier row
// that are within reach columns of them; shift is the distance between the rows in memory.
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
