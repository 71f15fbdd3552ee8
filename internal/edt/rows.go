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

// rows adds the distances of the voxels of m, counted or only for the farthest,
// and removes from m those whose distance is known. It returns whether that is
// all of them; else the rest takes more than what is left of the budget.
func (s *search) rows(m *Mask, counted bool) (all bool) {
	voxels, rows := m.Count(), m.filledRows()
	for n := firstReach; voxels > 0; n *= reachGrowth {
		// A visit is work for each voxel, and some for the rows of them.
		work := min(n, m.Rows()) * (voxels + (3+m.width)*rows)
		if work > s.budget {
			return false
		}
		s.budget -= work
		voxels, rows = s.round(m, n, counted)
	}
	return true
}

// round searches the rows at the n nearest offsets for the voxels of m and
// removes those whose distance is known then. It returns how many voxels remain
// and in how many rows.
//
// How much remains must not depend on which goroutine is first, so voxels that
// cannot be the farthest are told by the tally of the rounds before.
func (s *search) round(m *Mask, n int, counted bool) (voxels, rows int) {
	offsets, beyond := s.grid.offsets.nearest(n)
	enough := -1.0
	if !counted {
		enough = s.farthest
	}
	var leftVoxels, leftRows atomic.Int64
	var tallies []*tally
	m.eachRow(func() func(int) {
		t := &rowSearch{
			search: s, around: newSurroundings(s.to.Surface, offsets), beyond: beyond, enough: enough,
			tally: newTally(),
		}
		tallies = append(tallies, &t.tally)
		return func(r int) {
			if isEmpty(m.row(r)) {
				return
			}
			if n := t.row(m.row(r), r, counted); n > 0 {
				leftVoxels.Add(int64(n))
				leftRows.Add(1)
			}
		}
	})
	for _, t := range tallies {
		s.tally.add(t)
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
	enough float64 // where a site is that near the exact distance does not matter
	tally  tally
	_      [8 * apart]byte
}

// row finds the distances of the voxels of left, row r, and removes them from
// it. It returns how many remain.
func (t *rowSearch) row(left []uint64, r int, counted bool) (remain int) {
	t.around.moveTo(r)
	for w, voxels := range left {
		for ; voxels != 0; voxels &= voxels - 1 {
			bit := voxels & -voxels
			squared, known := t.nearest(64*w + bits.TrailingZeros64(voxels))
			if !known {
				remain++
				continue
			}
			left[w] &^= bit
			if counted {
				t.tally.count[squared]++
			}
			if t.outside(r*len(left)+w)&bit != 0 {
				t.tally.farthest = max(t.tally.farthest, squared)
			}
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
		steps := nearestBit(around.words[i*around.stride+1:][:t.to.Surface.width], x)
		best = min(best, t.grid.squared(&around.offsets[i], steps))
		if best <= t.enough {
			return best, true
		}
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
