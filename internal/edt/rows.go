package edt

import (
	"math"
	"math/bits"
	"sync/atomic"
)

const (
	// firstReach is the number of offsets in the first round of the search of rows;
	// every further round has reachGrowth times as many.
	firstReach, reachGrowth = 64, 4
	// rowBudget is the number of row visits that the search may make per voxel of
	// the volume: a part of the transform's time, so that little is lost if the
	// transform is needed after all.
	rowBudget = 6
)

// rows counts the voxels of m by distance and removes them from m until none is left
// or the budget does not suffice. It reports whether none is left.
func (s *search) rows(m *Mask) (all bool) {
	voxels, rows := m.Count(), m.filledRows()
	for n := firstReach; voxels > 0; n *= reachGrowth {
		// Each offset takes a visit per voxel, and some work per row of voxels.
		work := min(n, m.Rows()) * (voxels + (3+m.width)*rows)
		if work > s.budget {
			return false
		}
		s.budget -= work
		voxels, rows = s.round(m, n)
	}
	return true
}

// round searches the rows at the n nearest offsets for the voxels of m, counts those
// whose distance that settles and removes them from m. It returns the number of voxels
// that remain and of the rows that hold them.
func (s *search) round(m *Mask, n int) (voxels, rows int) {
	offsets, beyond := s.grid.offsets.nearest(n)
	var leftVoxels, leftRows atomic.Int64
	var tallies []tally
	m.eachRow(func() func(int) {
		t := &rowSearch{search: s, around: newSurroundings(s.to, offsets), beyond: beyond, count: tally{}}
		tallies = append(tallies, t.count)
		return func(r int) {
			if isEmpty(m.row(r)) {
				return
			}
			if n := t.row(m.row(r), r); n > 0 {
				leftVoxels.Add(int64(n))
				leftRows.Add(1)
			}
		}
	})
	for _, t := range tallies {
		for square, n := range t {
			s.count[square] += n
		}
	}
	return int(leftVoxels.Load()), int(leftRows.Load())
}

// rowSearch is the state of one goroutine of a round.
//
// It visits the rows around a voxel, nearest first, until the remaining ones are farther
// away than the nearest site found so far. The nearest site in a row is the nearest bit.
type rowSearch struct {
	*search
	around *surroundings
	beyond float64 // squared distance of the nearest row that is not visited
	count  tally
	_      [8 * apart]byte
}

// row counts the voxels of left, which is row r, whose distance it finds and removes
// them. It returns the number that remain.
func (t *rowSearch) row(left []uint64, r int) (remain int) {
	t.around.moveTo(r)
	for w, voxels := range left {
		for ; voxels != 0; voxels &= voxels - 1 {
			squared, known := t.nearest(64*w + bits.TrailingZeros64(voxels))
			if !known {
				remain++
				continue
			}
			left[w] &^= voxels & -voxels
			t.count[squared]++
		}
	}
	return remain
}

// nearest returns the squared distance from column x to the nearest site found, and
// whether that is the nearest of all.
func (t *rowSearch) nearest(x int) (squared float64, known bool) {
	around := t.around
	best := math.Inf(1)
	for i := range around.offsets {
		if best <= around.offsets[i].square {
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
