package edt

import (
	"math"
	"math/bits"
)

// firstReach is the number of offsets in the first round of the search of rows; every
// further round has reachGrowth times as many.
const firstReach, reachGrowth = 64, 4

// rows adds the distances of the voxels of m to the samples and removes the voxels from m
// until none is left or the budget does not suffice. It reports whether none is left.
func (s *search) rows(m *Mask) (all bool) {
	voxels := m.Count()
	most := func(n, rows int) float64 { // the most work of a round
		n = min(n, m.Rows())
		return rowWork(m.width, n*voxels, n*rows) + offsetWork*float64(max(0, n-len(s.grid.offsets.list)))
	}
	// The boxes are not needed where even the transform of the whole volume is faster.
	if most(firstReach, 0) > rowShare*transformWork(voxels, m.shape, m.shape) {
		return false
	}
	budget := rowShare * transformWork(voxels, m.size(), s.to.size())
	rows := m.filledRows()
	for n := firstReach; voxels > 0; n *= reachGrowth {
		if most(n, rows) > budget {
			return false
		}
		var work float64
		voxels, rows, work = s.round(m, n)
		budget -= work
	}
	return true
}

// round searches the rows at the n nearest offsets for the voxels of m, adds the
// distances that this settles to the samples and removes their voxels from m. It returns
// the number of voxels that remain and of the rows that hold them, and the work done.
func (s *search) round(m *Mask, n int) (voxels, rows int, work float64) {
	before := len(s.grid.offsets.list)
	offsets, beyond := s.grid.offsets.nearest(n)
	work = offsetWork * float64(len(s.grid.offsets.list)-before)
	visits, lookUps := 0, 0
	var all []*rowSearch
	found := make([]samples, m.batches()) // in an order that does not depend on the goroutines
	m.eachBatch(func() func(int, int) {
		t := &rowSearch{search: s, around: newSurroundings(s.to, offsets), beyond: beyond}
		all = append(all, t)
		return func(first, end int) {
			before := len(t.found.squared)
			t.batch(m, first, end)
			found[first/rowBatch] = t.found.part(before, len(t.found.squared))
		}
	})
	for _, f := range found {
		s.found.squared = append(s.found.squared, f.squared...)
		s.found.codes = append(s.found.codes, f.codes...)
	}
	for _, t := range all {
		voxels += t.voxels
		rows += t.rows
		visits += t.visits
		lookUps += t.lookUps
	}
	return voxels, rows, work + rowWork(m.width, visits, lookUps)
}

// rowSearch is the state of one goroutine of a round.
//
// It visits the rows around a voxel, nearest first, until the remaining ones are farther
// away than the nearest site found so far. The nearest site in a row is the nearest bit.
type rowSearch struct {
	*search
	around *surroundings
	beyond float64 // squared distance of the nearest row that is not visited
	found  samples

	voxels, rows    int // that remain
	visits, lookUps int // of rows
	_               [8 * apart]byte
}

// batch finds distances of the voxels of some rows of m and removes those voxels.
func (t *rowSearch) batch(m *Mask, first, end int) {
	for r := first; r < end; r++ {
		row := m.row(r)
		if isEmpty(row) {
			continue
		}
		t.around.moveTo(r)
		before := t.voxels
		for w, voxels := range row {
			for ; voxels != 0; voxels &= voxels - 1 {
				x := 64*w + bits.TrailingZeros64(voxels)
				squared, known := t.nearest(x)
				if !known {
					t.voxels++
					continue
				}
				row[w] &^= voxels & -voxels
				t.found.squared = append(t.found.squared, squared)
				if t.corners != nil {
					t.found.codes = append(t.found.codes, t.corners.code(r/m.shape[1], r%m.shape[1], x))
				}
			}
		}
		t.lookUps += t.around.ready
		if t.voxels > before {
			t.rows++
		}
	}
}

// nearest returns the squared distance from column x to the nearest site found, and
// whether that is the nearest of all.
func (t *rowSearch) nearest(x int) (squared float64, known bool) {
	around := t.around
	best := math.Inf(1)
	for i := range around.offsets {
		if best <= around.offsets[i].square {
			t.visits += i
			return best, true
		}
		if i == around.ready {
			around.lookUp()
		}
		if around.empty[i] {
			continue
		}
		steps := nearestBit(around.words[i*around.stride+1:][:t.to.width], x)
		best = min(best, t.grid.squared(&around.offsets[i], steps))
	}
	t.visits += len(around.offsets)
	return best, best <= t.beyond
}

// nearestBit returns the distance from bit x to the nearest bit that is set; at least
// one is.
func nearestBit(words []uint64, x int) int {
	w, bit := x/64, x%64
	best := len(words) * 64
	if after := words[w] >> bit; after != 0 {
		best = bits.TrailingZeros64(after)
	} else {
		for k := w + 1; k < len(words); k++ {
			if words[k] != 0 {
				best = 64*k + bits.TrailingZeros64(words[k]) - x
				break
			}
		}
	}
	if before := words[w] << (63 - bit); before != 0 {
		return min(best, bits.LeadingZeros64(before))
	}
	for k := w - 1; k >= 0 && x-64*k-63 < best; k-- {
		if words[k] != 0 {
			return min(best, x-64*k-(bits.Len64(words[k])-1))
		}
	}
	return best
}
