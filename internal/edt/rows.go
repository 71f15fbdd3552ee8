package edt

import (
	"math"
	"math/bits"
	"sync/atomic"
)

const (
	// firstReach is the number of offsets that the search of rows visits first,
	// and reachGrowth by how much more it then does at a time.
	firstReach, reachGrowth = 64, 4
	// rowBudget is how many visits of a row it may take for each voxel of the
	// volume: some part of the transform's time, so that little is lost where
	// it does not succeed.
	rowBudget = 6
)

// rows adds the distances of the voxels of m and removes from m those whose
// distance is known. It returns whether that is all of them; else the rest takes
// more than what is left of the budget.
func (s *search) rows(m *Mask) (all bool) {
	voxels, rows := m.Count(), m.filledRows()
	for n := firstReach; voxels > 0; n *= reachGrowth {
		// A visit is work for each voxel, and some for the rows of them.
		work := min(n, m.Rows()) * (voxels + (3+m.width)*rows)
		if work > s.budget {
			return false
		}
		s.budget -= work
		voxels, rows = s.round(m, n)
	}
	return true
}

// round searches the rows at the n nearest offsets for the voxels of m and
// removes those whose distance is known then. It returns how many voxels remain
// and in how many rows.
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

// rowSearch is what one goroutine of a round has of its own.
//
// It visits the rows around a voxel, the nearest first, until those that remain
// are farther than the nearest site found. In a row that is the nearest bit.
type rowSearch struct {
	*search
	around *surroundings
	beyond float64 // squared, of the nearest row that is not visited
	count  tally
	_      [8 * apart]byte
}

// row finds the distances of the voxels of left, row r, and removes them from
// it. It returns how many remain.
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

// nearest returns the squared distance from column x to the nearest site, and
// whether it is known.
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

// nearestBit returns the distance from bit x to the nearest bit that is set, of
// which there is at least one.
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
