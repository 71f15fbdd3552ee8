package edt

import (
	"math"
	"math/bits"

	"github.com/x/afl/internal/parallel"
)

// shell is a set of up to eight neighbours of a voxel at one distance: those so
// many slices, rows and steps along the row away, either way.
//
// The rows at that offset, shifted by as many steps, have their sites where the
// voxels are that find one in the shell. Where the shells come by their distance
// and a voxel leaves with the first site it finds, that is its nearest.
type shell struct {
	offset  int // index in the list of offsets
	steps   int // less than a word
	squared float64
}

// maxShells is the number of shells that are searched. They grow in number with
// the cube of the distance, and the words hold ever fewer voxels.
const maxShells = 128

// nearestShells returns the n nearest shells, or as many as there are before one
// of a word's length.
func (g *Grid) nearestShells(n int) []shell {
	offsets, _ := g.offsets.nearest(n + 1)
	f := newFrontier(func(offset, steps int) float64 {
		if offset == len(offsets) || steps == len(g.squares) {
			return math.Inf(1)
		}
		return g.squared(&offsets[offset], steps)
	})
	var list []shell
	for len(list) < n {
		p := f.take()
		if math.IsInf(p.value, 1) || p.j == 64 {
			break
		}
		list = append(list, shell{p.i, p.j, p.value})
	}
	return list
}

// shells finds the distances of the voxels near a site and returns the others.
func (s *search) nearShells() *Mask {
	list := s.grid.shells
	offsets, _ := s.grid.offsets.nearest(len(list))
	left := NewMask(s.sites.shape)
	var all []*shellSearch
	units := (left.Rows() + rowBatch - 1) / rowBatch
	parallel.Do(units, func() func(int) {
		t := &shellSearch{search: s, shells: list, around: newSurroundings(s.sites, offsets)}
		t.count, t.found = make([]int, len(list)+cacheLine), make([]bool, len(list)+8*cacheLine)
		all = append(all, t)
		return func(unit int) {
			for r := unit * rowBatch; r < min((unit+1)*rowBatch, left.Rows()); r++ {
				t.row(left.row(r), r)
			}
		}
	})
	for _, t := range all {
		for k, shell := range list {
			if t.count[k] > 0 {
				s.count[shell.squared] += t.count[k]
			}
			if t.found[k] {
				s.farthest = max(s.farthest, shell.squared)
			}
		}
	}
	return left
}

// shellSearch is what one goroutine of the search of shells has of its own.
type shellSearch struct {
	*search
	shells []shell
	around *surroundings
	count  []int  // queries by shell
	found  []bool // whether there are others, by shell
}

// row stores in left the voxels of row r that have no site in the shells.
func (t *shellSearch) row(left []uint64, r int) {
	t.around.around(r)
	queries, others := t.queries.row(r), t.others.row(r)
	for w := range left {
		todo := queries[w] | others[w]
		if todo == 0 {
			continue
		}
		for k := range t.shells {
			shell := &t.shells[k]
			if shell.offset == t.around.ready {
				t.around.lookUp()
			}
			if t.around.empty[shell.offset] {
				continue
			}
			sites := t.around.words[shell.offset*t.around.stride+w:][:3] // the word between its neighbours
			up, down := shell.steps&63, (63-shell.steps)&63
			met := todo & (sites[1]>>up | sites[1]<<up | sites[0]>>1>>down | sites[2]<<1<<down)
			if met == 0 {
				continue
			}
			t.count[k] += bits.OnesCount64(met & queries[w])
			t.found[k] = t.found[k] || met&others[w] != 0
			if todo &^= met; todo == 0 {
				break
			}
		}
		left[w] = todo
	}
}
