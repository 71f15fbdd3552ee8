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

// listShells lists the n nearest shells, or fewer: those before the first that is a word's
// length away along the row.
func (g *Grid) listShells(n int) {
	g.offsets, g.shells = newOffsets(g.shape, g.spacing), nil
	offsets, _ := g.offsets.nearest(n + 1)
	f := newFrontier(func(offset, steps int) float64 {
		if offset == len(offsets) || steps == len(g.squares) {
			return math.Inf(1)
		}
		return g.squared(&offsets[offset], steps)
	})
	for len(g.shells) < n {
		p := f.take()
		if math.IsInf(p.value, 1) || p.j == 64 {
			break
		}
		g.shells = append(g.shells, shell{p.i, p.j, p.value})
	}
}

// nearShells counts the voxels of the first mask near the second by their distance. It
// returns the others, or nil if there are none.
func (s *search) nearShells() *Mask {
	list := s.grid.shells
	offsets, _ := s.grid.offsets.nearest(len(list))
	left := s.from.empty()
	var all []*shellSearch
	left.eachBatch(func() func(int, int) {
		t := &shellSearch{search: s, shells: list, around: newSurroundings(s.to, offsets)}
		if s.corners == nil {
			t.count = make([]int, len(list)+apart)
		} else {
			t.kinds = len(s.corners.areas.ofKind)
			t.count = make([]int, len(list)*t.kinds+apart)
		}
		all = append(all, t)
		return func(first, end int) { t.batch(left, first, end) }
	})
	done := true
	total := all[0]
	for _, t := range all {
		done = done && !t.some
		if t != total {
			for i, n := range t.count {
				total.count[i] += n
			}
		}
	}
	for k, shell := range list {
		weight := 0.0
		if s.corners == nil {
			weight = float64(total.count[k])
		} else {
			weight = s.corners.areas.sum(total.count[k*total.kinds:][:total.kinds])
		}
		if weight > 0 {
			s.near.add(shell.squared, weight)
		}
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
	count  []int // voxels by shell, corners by shell and kind
	some   bool  // whether voxels are left
	work   int   // in the batch; see shellBudget

	// Of corners:
	kinds  int         // the number of different areas
	voxels [4][]uint64 // those around the corners of the row
	codes  wordCodes   // of the corners of the word
	_      [8 * apart]byte
}

// batch counts the voxels of some rows by shell and stores in left those without a site in
// any, and those that it does not get to within its budget.
func (t *shellSearch) batch(left *Mask, first, end int) {
	voxels := (end - first) * t.from.shape[2]
	budget, limit := shellBudget*voxels, shellLimit*voxels
	t.work = 0
	w := first * t.from.width
	for r := first; r < end; r++ {
		row := t.from.row(r)
		if isEmpty(row) {
			w += len(row)
			continue
		}
		t.around.moveTo(r)
		if t.corners != nil {
			t.voxels = t.corners.around(r/t.from.shape[1], r%t.from.shape[1])
		}
		for x, todo := range row {
			if todo != 0 {
				rest := t.word(x, todo)
				found := bits.OnesCount64(todo &^ rest)
				budget += shellCredit * found
				limit += shellLimitCredit * found
				left.words[w] = rest
				t.some = t.some || rest != 0
			}
			w++
			if t.work > min(budget, limit) {
				t.some = t.some || !isEmpty(t.from.words[w:end*t.from.width])
				copy(left.words[w:end*t.from.width], t.from.words[w:])
				return
			}
		}
	}
}

// word counts voxels of word w of the row by shell and returns those without a site in any.
func (t *shellSearch) word(w int, todo uint64) uint64 {
	coded := false
	for k := range t.shells {
		shell := &t.shells[k]
		if shell.offset == t.around.ready {
			t.around.lookUp()
			t.work += lookUpWork + wordWork*t.to.width
		}
		if t.around.none {
			continue
		}
		sites := t.around.words[shell.offset*t.around.stride+w:][:3] // the word between its neighbors
		up, down := shell.steps&63, (63-shell.steps)&63
		met := todo & (sites[1]>>up | sites[1]<<up | sites[0]>>1>>down | sites[2]<<1<<down)
		if met == 0 {
			continue
		}
		if t.corners == nil {
			t.count[k] += bits.OnesCount64(met)
		} else {
			if !coded {
				t.codes.set(&t.voxels, w, todo)
				coded = true
			}
			count, kind := t.count[k*t.kinds:][:t.kinds], &t.corners.areas.kind
			for corners := met; corners != 0; corners &= corners - 1 {
				count[kind[t.codes[bits.TrailingZeros64(corners)&63]]]++
			}
		}
		if todo &^= met; todo == 0 {
			t.work += k
			return 0
		}
	}
	t.work += len(t.shells)
	return todo
}
