package edt

import (
	"math"
	"math/bits"
)

// shell is a set of up to eight neighbors of a voxel at one distance: those that are a
// number of slices, rows and steps along the row away, in either direction.
//
// Shifting the rows at that offset by as many steps moves their sites to the voxels that
// have a site in the shell. Shells are visited in the order of their distance, so the
// first site that a voxel meets is its nearest.
type shell struct {
	offset  int // index in the list of offsets
	steps   int // less than a word
	squared float64
}

// maxShells is the number of shells that are searched. Their number grows with the cube
// of the distance, while fewer and fewer voxels of a word are left.
const maxShells = 128

// nearestShells returns the n nearest shells, or fewer: those before the first that is
// a word's length away along the row.
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

// nearShells counts the voxels of the first mask near the second by their distance. It
// returns the others, or nil if there are none.
func (s *search) nearShells() *Mask {
	list := s.grid.shells
	offsets, _ := s.grid.offsets.nearest(len(list))
	left := NewMask(s.grid.shape)
	var all []*shellSearch
	left.eachRow(func() func(int) {
		t := &shellSearch{search: s, shells: list, around: newSurroundings(s.to, offsets)}
		t.count = make([]int, len(list)+apart)
		all = append(all, t)
		return func(r int) { t.row(left.row(r), r) }
	})
	done := true
	for _, t := range all {
		for k, shell := range list {
			if t.count[k] > 0 {
				s.count[shell.squared] += t.count[k]
			}
		}
		done = done && !t.some
	}
	if done {
		return nil
	}
	return left
}

// shellSearch is the state of one goroutine of the search of shells.
type shellSearch struct {
	*search
	shells []shell
	around *surroundings
	count  []int // voxels by shell
	some   bool  // whether voxels are left
	_      [8 * apart]byte
}

// row counts the voxels of row r by shell and stores in left those without a site in any.
func (t *shellSearch) row(left []uint64, r int) {
	t.around.moveTo(r)
	for w, todo := range t.from.row(r) {
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
			sites := t.around.words[shell.offset*t.around.stride+w:][:3] // the word between its neighbors
			up, down := shell.steps&63, (63-shell.steps)&63
			met := todo & (sites[1]>>up | sites[1]<<up | sites[0]>>1>>down | sites[2]<<1<<down)
			if met == 0 {
				continue
			}
			t.count[k] += bits.OnesCount64(met)
			if todo &^= met; todo == 0 {
				break
			}
		}
		if todo != 0 {
			left[w], t.some = todo, true
		}
	}
}
