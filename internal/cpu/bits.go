package cpu

import (
	"encoding/binary"
	"math"
	"math/bits"
	"runtime"

	"github.com/x/afl/internal/plan"
)

// The statistics of class indices, and of maps of zeros and ones, are computed on bit
// masks, 64 voxels to a word. In
// a 0/1 mask a difference of neighbors is 0 or ±1, so 4|∇mask|² is a whole number: the
// sum of 1 for each axis whose central difference is not 0, and 4 for each whose
// one-sided difference, at a face, is not. It suffices to count the voxels of each
// such number; the counts are exact in any order.

// levels is the number of values of 4|∇mask|²; the largest is that of three one-sided
// differences.
const levels = 13

// histogram counts voxels by 4|∇mask|².
type histogram [levels]int

// magnitude returns Σ|∇mask| and the number of voxels where it is not zero.
func (h *histogram) magnitude() (sum, boundary float64) {
	for level := levels - 1; level > 0; level-- {
		sum += float64(float64(h[level]) * math.Sqrt(float64(level)) / 2)
		boundary += float64(h[level])
	}
	return sum, boundary
}

// bitStats are the counts of one slab of planes of a sample.
type bitStats struct {
	valid int
	count []int // by class
	fore  int
	h     []histogram // by mask, 0 the foreground and k the class k
}

// bitPlane holds bit masks of one plane, the voxels with the same first spatial
// index, in order, padded with words of zeros on both sides.
type bitPlane struct {
	masks   [][]uint64 // 0 is the foreground, k class k; ignored voxels are in none
	ones    []extent   // of each mask
	zeros   int        // voxels of class 0
	ignored []uint64
}

// extent is the number of ones of a mask, which are all in its words [from,to).
type extent struct{ count, from, to int }

func extentOf(mask []uint64) (e extent) {
	for i, w := range mask {
		if w == 0 {
			continue
		}
		if e.count == 0 {
			e.from = i
		}
		e.count += bits.OnesCount64(w)
		e.to = i + 1
	}
	return e
}

// planeReader reads bit planes.
type planeReader interface {
	// readPlane fills p with plane x of sample n.
	readPlane(p *bitPlane, n, x int, s *bitScratch) error
}

// planeShape describes the rows within the words of a plane.
type planeShape struct {
	size, length int // voxels of a plane and of a row
	words        int // of a plane, without padding
	pad          int // words of padding on each side, more than a row has
	// Bit masks of the first and last voxel of each row, and of the first and last
	// row. There the voxel itself takes the place of the missing neighbor.
	starts, ends, top, bottom []uint64
	last                      uint64 // the plane's bits in its last word
}

func (g *planeShape) set(rows, length int) {
	if g.size == rows*length && g.length == length {
		return // unchanged since the previous slab
	}
	g.size, g.length = rows*length, length
	g.words, g.pad = (g.size+63)/64, length/64+1
	for _, mask := range []*[]uint64{&g.starts, &g.ends, &g.top, &g.bottom} {
		*mask = Grow(*mask, g.words)
		clear(*mask)
	}
	set := func(mask []uint64, i int) { mask[i/64] |= 1 << (i % 64) }
	for r := range rows {
		set(g.starts, r*length)
		set(g.ends, (r+1)*length-1)
	}
	for i := range length {
		set(g.top, i)
		set(g.bottom, g.size-1-i)
	}
	g.last = lastWord(g.size)
}

// bitScratch is scratch memory for bitStats.
type bitScratch struct {
	planes [3]bitPlane
	shape  planeShape
	class  []int32
	y      []uint8
}

// statsOfBits computes the statistics of a target that r reads.
func statsOfBits(b *batch, r planeReader, st *plan.Stats, want plan.StatsRequest) error {
	// Sums of whole numbers do not depend on the order, so any slabs will do. Two planes of
	// each are read once more than needed.
	slabs := 1
	if workers := runtime.GOMAXPROCS(0); workers > 1 {
		slabs = min(b.Space[0], (4*workers+b.N-1)/b.N)
	}
	part := make([]bitStats, b.N*slabs)
	for i := range part {
		part[i].count = make([]int, b.C)
		part[i].h = make([]histogram, st.K)
	}
	err := units(len(part), func(i int, s *scratch) error {
		n, slab := i/slabs, i%slabs
		return part[i].planes(b, r, n, slab*b.Space[0]/slabs, (slab+1)*b.Space[0]/slabs, want.Smoothness, &s.bits)
	})
	if err != nil {
		return err
	}
	for n := range b.N {
		total := bitStats{h: make([]histogram, st.K)}
		for _, p := range part[n*slabs : (n+1)*slabs] {
			total.valid += p.valid
			total.fore += p.fore
			for c, k := range p.count {
				st.Count[n*b.C+c] += float64(k)
			}
			for k := range p.h {
				for level, voxels := range p.h[k] {
					total.h[k][level] += voxels
				}
			}
		}
		st.Valid[n], st.Foreground[n] = float64(total.valid), float64(total.fore)
		for k := range total.h {
			st.Magnitude[n*st.K+k], st.Boundary[n*st.K+k] = total.h[k].magnitude()
		}
	}
	return nil
}

// planes counts planes [lo,hi) of sample n.
func (p *bitStats) planes(b *batch, r planeReader, n, lo, hi int, smoothness bool, s *bitScratch) error {
	last := b.Space[0] - 1
	g := &s.shape
	g.set(b.Space[1], b.Space[2])
	before, center, after := &s.planes[0], &s.planes[1], &s.planes[2]
	if smoothness {
		if err := r.readPlane(before, n, max(lo-1, 0), s); err != nil {
			return err
		}
		if err := r.readPlane(center, n, lo, s); err != nil {
			return err
		}
	}
	for x := lo; x < hi; x++ {
		next := x
		if smoothness {
			next = min(x+1, last)
		}
		if err := r.readPlane(after, n, next, s); err != nil {
			return err
		}
		own := center
		if !smoothness {
			own = after
		}
		valid, fore := g.size-ones(own.ignored), own.ones[0].count
		p.valid += valid
		p.fore += fore
		p.count[0] += own.zeros
		for c := 1; c < len(p.count); c++ {
			p.count[c] += own.ones[c].count
		}
		if smoothness {
			for k := range p.h {
				if k == 1 && b.C == 2 {
					continue // the foreground
				}
				from, to := g.words, 0
				for _, of := range [...]*bitPlane{before, own, after} {
					if e := of.ones[k]; e.count > 0 {
						from, to = min(from, e.from), max(to, e.to)
					}
				}
				if to == 0 {
					continue // no boundary here
				}
				p.h[k].plane(before.masks[k], own.masks[k], after.masks[k], own.ignored, g,
					max(from-g.pad, 0), min(to+g.pad, g.words), x == 0 || x == last)
			}
		}
		before, center, after = center, after, before
	}
	if b.C == 2 && len(p.h) == 2 {
		p.h[1] = p.h[0]
	}
	return nil
}

func ones(mask []uint64) int {
	n := 0
	for _, w := range mask {
		n += bits.OnesCount64(w)
	}
	return n
}

// plane adds the voxels of words [from,to) of one plane of a mask. faceX says that left or
// right is the plane itself.
func (h *histogram) plane(left, own, right, ignored []uint64, g *planeShape, from, to int, faceX bool) {
	x := 1
	if faceX {
		x = 4
	}
	// The neighbors along y of a word's voxels are a row's length away and spread over
	// two words. Slices of equal length and masked shift counts spare the compiler's
	// bounds and overflow checks.
	n, far, shift := to-from, g.length/64, g.length%64
	near := func(mask []uint64, by int) []uint64 { return mask[g.pad+from+by:][:n] }
	left, right, ignored = near(left, 0), near(right, 0), ignored[min(g.pad+from, len(ignored)):]
	up0, up1, down0, down1 := near(own, -far), near(own, -far-1), near(own, far), near(own, far+1)
	previous, following := near(own, -1), near(own, 1)
	tops, bottoms, allStarts, allEnds := g.top[from:to], g.bottom[from:to], g.starts[from:to], g.ends[from:to]
	for w, here := range near(own, 0) {
		top, bottom, starts, ends := tops[w], bottoms[w], allStarts[w], allEnds[w]
		up := up0[w]<<(shift&63) | up1[w]>>1>>((63-shift)&63)
		down := down0[w]>>(shift&63) | down1[w]<<1<<((63-shift)&63)
		before := here<<1 | previous[w]>>63
		after := here>>1 | following[w]<<63
		dx := left[w] ^ right[w]
		dy := (up&^top | here&top) ^ (down&^bottom | here&bottom)
		dz := (before&^starts | here&starts) ^ (after&^ends | here&ends)
		if dx|dy|dz == 0 {
			continue
		}
		inside := ^uint64(0)
		if w == g.words-1-from {
			inside = g.last
		}
		if len(ignored) > 0 {
			inside &^= ignored[w]
		}
		faceY, faceZ := top|bottom, starts|ends
		if in := inside &^ faceY; in != 0 {
			h.word(dx&in, dy&in, dz&in, faceZ, x, 1)
		}
		if in := inside & faceY; in != 0 {
			h.word(dx&in, dy&in, dz&in, faceZ, x, 4)
		}
	}
}

// word adds the voxels of one word, separately for each combination of axes along
// which they differ. Voxels in face have one-sided differences along z; x and y are
// the levels of the other axes.
func (h *histogram) word(dx, dy, dz, face uint64, x, y int) {
	oneZ := dz &^ face
	fourZ := dz & face
	noZ := ^dz
	h[x] += bits.OnesCount64(dx &^ dy & noZ)
	h[y] += bits.OnesCount64(dy &^ dx & noZ)
	h[x+y] += bits.OnesCount64(dx & dy & noZ)
	h[1] += bits.OnesCount64(oneZ &^ dx &^ dy)
	h[x+1] += bits.OnesCount64(oneZ & dx &^ dy)
	h[y+1] += bits.OnesCount64(oneZ & dy &^ dx)
	h[x+y+1] += bits.OnesCount64(oneZ & dx & dy)
	if fourZ == 0 {
		return
	}
	h[4] += bits.OnesCount64(fourZ &^ dx &^ dy)
	h[x+4] += bits.OnesCount64(fourZ & dx &^ dy)
	h[y+4] += bits.OnesCount64(fourZ & dy &^ dx)
	h[x+y+4] += bits.OnesCount64(fourZ & dx & dy)
}

// resize makes room for the masks of c channels.
func (p *bitPlane) resize(c int) {
	if len(p.masks) < c {
		p.masks, p.ones = make([][]uint64, c), make([]extent, c)
	}
}

// padded returns mask with the length of a padded plane and zeros as padding, and the
// words of the plane in it.
func (g *planeShape) padded(mask []uint64) (all, inner []uint64) {
	mask = Grow(mask, g.words+2*g.pad)
	clear(mask[:g.pad])
	clear(mask[g.pad+g.words:])
	return mask, mask[g.pad:][:g.words]
}

// readPlane implements [planeReader].
func (l *labelReader) readPlane(p *bitPlane, n, x int, s *bitScratch) error {
	g := &s.shape
	p.resize(l.C)
	var fore, ignored []uint64
	p.masks[0], fore = g.padded(p.masks[0])
	p.ignored = p.ignored[:0]
	if l.Target.HasIgnore {
		p.ignored, ignored = g.padded(p.ignored)
	}
	lo, hi := x*g.size, (x+1)*g.size
	src, isUint8 := l.target.([]uint8)
	if !isUint8 || l.C > 2 || !l.kernels.foreground(fore, ignored, src[n*l.V+lo:n*l.V+hi], &l.rules) {
		// The kernels read the labels of whole words.
		s.y = Grow(s.y, g.size+63)
		if err := l.read(n, lo, hi, s.y, &s.class); err != nil {
			return err
		}
		pack := func(mask []uint64, class uint8) {
			l.kernels.pack(mask, s.y, class)
			mask[g.words-1] &= g.last
		}
		for c := 1; c < l.C && l.C > 2; c++ {
			mask, inner := g.padded(p.masks[c])
			pack(inner, uint8(c))
			p.masks[c], p.ones[c] = mask, extentOf(inner)
		}
		pack(fore, 0)
		for i, w := range fore {
			fore[i] = ^w
		}
		fore[g.words-1] &= g.last
		if ignored != nil {
			pack(ignored, noClass)
			for i, w := range ignored {
				fore[i] &^= w
			}
		}
	}
	p.ones[0] = extentOf(fore)
	p.zeros = g.size - ones(ignored) - p.ones[0].count
	if l.C == 2 {
		p.ones[1] = p.ones[0] // and the same mask
	}
	return nil
}

// foregroundGo sets the bits of the labels of a class above 0 in fore and of those that
// take no part in ignored, unless that is nil, and reports whether all labels are valid.
// Both have a word for every 64 labels, also for fewer at the end.
func foregroundGo(fore, ignored []uint64, src []uint8, r *labelRules) bool {
	ok := true
	var y [64]uint8
	for w := range fore {
		n := min(len(src)-64*w, 64)
		ok = labelsGo(y[:n], src[64*w:][:n], r) && ok
		var zero, none [1]uint64
		packGo(zero[:], y[:], 0)
		packGo(none[:], y[:], noClass)
		fore[w] = lastWord(n) &^ (zero[0] | none[0])
		if ignored != nil {
			ignored[w] = lastWord(n) & none[0]
		}
	}
	return ok
}

// lastWord has the bits set that n voxels occupy in their last word.
func lastWord(n int) uint64 { return ^uint64(0) >> (-n & 63) }

// packGo sets the bits of the labels that equal class. src holds 64 labels for each
// word.
func packGo(dst []uint64, src []uint8, class uint8) {
	const ones, low, gather = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f, 0x0102040810204080
	want := uint64(class) * ones
	for w := range dst {
		var word uint64
		labels := src[64*w:][:64]
		for i := 0; i < 64; i += 8 {
			v := binary.LittleEndian.Uint64(labels[i:]) ^ want
			equal := ^((v&low + low) | v | low) // the top bit of each byte that is 0
			word |= equal >> 7 * gather >> 56 << i
		}
		dst[w] = word
	}
}

// positions stores the positions of the bits that are set, plus first, behind the n that there
// are, and returns the number of all. It stores four at a time, which takes few branches at
// random, and so up to 3 more.
func positions(words []uint64, first int, found []uint16, n int) int {
	for w, word := range words {
		end := n + bits.OnesCount64(word)
		base := first + 64*w
		for ; n < end; n += 4 {
			next := found[n:][:4]
			next[0] = uint16(base + bits.TrailingZeros64(word)&63)
			word &= word - 1
			next[1] = uint16(base + bits.TrailingZeros64(word)&63)
			word &= word - 1
			next[2] = uint16(base + bits.TrailingZeros64(word)&63)
			word &= word - 1
			next[3] = uint16(base + bits.TrailingZeros64(word)&63)
			word &= word - 1
		}
		n = end
	}
	return n
}
