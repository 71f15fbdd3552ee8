package edt

import (
	"maps"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/x/afl/internal/parallel"
)

// Count is a number of voxels at a squared distance.
type Count struct {
	Squared float64
	Voxels  int
}

// Nearest finds the squared Euclidean distance, in the units of the spacing,
// from voxels to the nearest of sites, of which there is at least one. All masks
// have one shape.
//
// distances counts the voxels of queries by their squared distance, ascending;
// farthest is the largest one of the voxels of others, which may share voxels
// with queries, and 0 where there are none. Neither depends on GOMAXPROCS.
//
// A search visits the rows around a query, the nearest first, until those that
// remain are farther than the nearest site found; the nearest site of a row is
// the nearest bit that is set. Its time grows with the square of the distance,
// so voxels that are far from any site are left to the transform of the whole
// volume, see [Squared], where searching on would take longer than that.
func Nearest(queries, others, sites *Mask, spacing [3]float64) (distances []Count, farthest float64) {
	s := &search{
		others:  others,
		sites:   sites,
		squares: squaresAlong(sites.shape[2], spacing[2]),
		offsets: newOffsets(sites.shape, spacing),
		total:   tally{count: map[float64]int{}},
	}
	far := s.search(queries, true)
	rest := others.AndNot(queries)
	if far == nil {
		rest = s.search(rest, false)
	}
	if far != nil || rest != nil {
		s.transform(far, rest, spacing)
	}
	for _, square := range slices.Sorted(maps.Keys(s.total.count)) {
		distances = append(distances, Count{square, s.total.count[square]})
	}
	return distances, s.total.farthest
}

// search is the state of [Nearest].
type search struct {
	others, sites *Mask
	squares       []float64 // squared length of so many steps along a row
	offsets       *offsets  // of the rows that are visited
	total         tally
}

// tally gathers the voxels whose distance is known.
type tally struct {
	count    map[float64]int // queries by squared distance
	farthest float64         // squared, of others
}

func (t *tally) add(u *tally) {
	for square, n := range u.count {
		t.count[square] += n
	}
	t.farthest = max(t.farthest, u.farthest)
}

const (
	// firstReach is the number of offsets that a search visits first, and
	// reachGrowth by how much more it then visits at a time.
	firstReach, reachGrowth = 16, 4
	// searchBudget is the work, in visits of a row for each voxel of the volume,
	// that takes as long as the transform.
	searchBudget = 8
)

// search adds the distances of the voxels of m to the total, counted or only
// for the farthest. It returns those that are too far, nil for none.
func (s *search) search(m *Mask, counted bool) (far *Mask) {
	far = &Mask{m.shape, m.width, slices.Clone(m.words)}
	budget := searchBudget * m.shape[0] * m.shape[1] * m.shape[2]
	// The first reach is always tried: most voxels have a site that near.
	for n := firstReach; ; n *= reachGrowth {
		rows, voxels := s.round(far, n, counted)
		if voxels == 0 {
			return nil
		}
		// Visiting a row is work for each voxel, and some for the row of them.
		if n*reachGrowth*(voxels+4*m.width*rows) > budget {
			return far
		}
	}
}

// round searches the n nearest offsets for the voxels of m and removes from it
// those whose distance is known then. It returns how many voxels remain, and in
// how many rows.
//
// What is known, and so what remains, must not depend on which goroutine was
// first: voxels that cannot be the farthest are told by the total of the rounds
// before.
func (s *search) round(m *Mask, n int, counted bool) (rows, voxels int) {
	reach := s.offsets.grow(n)
	enough := -1.0 // a voxel this near needs no exact distance
	if !counted {
		enough = s.total.farthest
	}
	var leftRows, leftVoxels atomic.Int64
	var tallies []*tally
	units := (m.Rows() + rowBatch - 1) / rowBatch
	parallel.Do(units, func() func(int) {
		t := &tally{count: map[float64]int{}}
		tallies = append(tallies, t)
		v := newVisitor(s, reach, enough)
		return func(unit int) {
			for r := unit * rowBatch; r < min((unit+1)*rowBatch, m.Rows()); r++ {
				if left := v.row(m.row(r), r, counted, t); left > 0 {
					leftRows.Add(1)
					leftVoxels.Add(int64(left))
				}
			}
		}
	})
	for _, t := range tallies {
		s.total.add(t)
	}
	return int(leftRows.Load()), int(leftVoxels.Load())
}

// visitor holds the scratch memory of one goroutine of a round.
type visitor struct {
	*search
	reach, enough float64
	ready         int      // offsets that are looked up for this row
	nearby        []uint64 // by offset: the sites of the up to four rows there
	empty         []bool   // by offset: there are none
}

func newVisitor(s *search, reach, enough float64) *visitor {
	n := len(s.offsets.list)
	return &visitor{search: s, reach: reach, enough: enough, nearby: make([]uint64, n*s.sites.width), empty: make([]bool, n)}
}

// row finds the nearest sites of the voxels in queries, row r, and removes the
// voxels that are done. It returns how many remain.
func (v *visitor) row(queries []uint64, r int, counted bool, t *tally) (left int) {
	v.ready = 0
	others := v.others.row(r)
	for w, remaining := range queries {
		for voxels := remaining; voxels != 0; voxels &= voxels - 1 {
			bit := voxels & -voxels
			squared, known := v.nearest(r, 64*w+bits.TrailingZeros64(voxels))
			if !known {
				left++
				continue
			}
			remaining &^= bit
			if counted {
				t.count[squared]++
			}
			if others[w]&bit != 0 {
				t.farthest = max(t.farthest, squared)
			}
		}
		queries[w] = remaining
	}
	return left
}

// nearest returns the squared distance from column x of row r to the nearest
// site, and whether it is known.
func (v *visitor) nearest(r, x int) (squared float64, known bool) {
	width := v.sites.width
	best := math.Inf(1)
	for i := range v.offsets.list {
		o := &v.offsets.list[i]
		if best <= o.square {
			return best, true
		}
		if i == v.ready {
			v.lookUp(r, i)
		}
		if v.empty[i] {
			continue
		}
		steps := nearestBit(v.nearby[i*width:(i+1)*width], x)
		// The sum has the order of the sweeps of [Squared].
		best = min(best, v.squares[steps]+o.rowSquare+o.sliceSquare)
		if best <= v.enough {
			return best, true
		}
	}
	return best, best <= v.reach
}

// lookUp gathers the sites of the rows at offset i from row r.
func (v *visitor) lookUp(r, i int) {
	v.ready++
	o, m := v.offsets.list[i], v.sites
	width, rows := m.width, m.shape[1]
	z, y := r/rows, r%rows
	dst := v.nearby[i*width : (i+1)*width]
	clear(dst)
	var any uint64
	for _, slice := range [2]int{z - o.slices, z + o.slices} {
		if slice < 0 || slice >= m.shape[0] {
			continue
		}
		for _, row := range [2]int{y - o.rows, y + o.rows} {
			if row < 0 || row >= rows {
				continue
			}
			for w, word := range m.row(slice*rows + row) {
				dst[w] |= word
				any |= word
			}
		}
	}
	v.empty[i] = any == 0
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

// transform adds the distances of the voxels of far, counted, and of rest, from
// the transform of the volume. Either may be nil.
func (s *search) transform(far, rest *Mask, spacing [3]float64) {
	shape := s.sites.shape
	plane := NewMask([3]int{1, shape[1], shape[2]})
	masks := []*Mask{far, rest}
	for _, m := range masks {
		if m != nil {
			for i, w := range m.words {
				plane.words[i%len(plane.words)] |= w
			}
		}
	}
	squared := make([]float64, shape[0]*shape[1]*shape[2])
	Squared(squared, s.sites, spacing, plane)
	for i, m := range masks {
		if m == nil {
			continue
		}
		for r := range m.Rows() {
			row, others := squared[r*shape[2]:][:shape[2]], s.others.row(r)
			for w, voxels := range m.row(r) {
				for ; voxels != 0; voxels &= voxels - 1 {
					d := row[64*w+bits.TrailingZeros64(voxels)]
					if i == 0 {
						s.total.count[d]++
					}
					if others[w]&voxels&-voxels != 0 {
						s.total.farthest = max(s.total.farthest, d)
					}
				}
			}
		}
	}
}
