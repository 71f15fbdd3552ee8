package cpu

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/x/afl/internal/plan"
)

// The statistics of class indices work on bit masks, 64 voxels to a word. In a
// 0/1 mask a difference of neighbours is 0 or ±1, so 4|∇mask|² is a whole
// number: 1 for each axis along which the central differences do not vanish, 4
// for one with a one-sided difference, at a face. It is enough to count how many
// voxels have each number; the sums are exact, whatever their order.

// levels is one more than the largest 4|∇mask|²: three one-sided differences.
const levels = 13

// histogram counts voxels by 4|∇mask|².
type histogram [levels]int

// magnitude returns Σ|∇mask| and the number of voxels where it is not zero.
func (h *histogram) magnitude() (sum, boundary float64) {
	for level := levels - 1; level > 0; level-- {
		sum += float64(h[level]) * math.Sqrt(float64(level)) / 2
		boundary += float64(h[level])
	}
	return sum, boundary
}

// bitStats counts one slab of planes of a sample.
type bitStats struct {
	valid int
	count []int // by class
	fore  int
	h     []histogram // by mask, 0 the foreground and k the class k
}

// bitPlane is one plane (all voxels of one first spatial index) as bit masks.
// Rows begin at a new word; bits past a row's end are 0.
type bitPlane struct {
	masks   [][]uint64 // 0 the foreground, k the class k; ignored voxels are in none
	ignored []uint64
}

// bitScratch is a worker's memory for bitStats.
type bitScratch struct {
	planes [3]bitPlane
	class  []int32
	y      []uint8
}

// statsOfClasses computes the statistics of a target of class indices.
func statsOfClasses(b *labelReader, st *plan.Stats, want plan.StatsRequest) error {
	// Whole numbers add up to the same in any order, so the slabs may be any.
	slabs := min(b.Space[0], 16)
	part := make([]bitStats, b.N*slabs)
	for i := range part {
		part[i].count = make([]int, b.C)
		part[i].h = make([]histogram, st.K)
	}
	err := units(len(part), func(i int, s *scratch) error {
		n, slab := i/slabs, i%slabs
		return part[i].planes(b, n, slab*b.Space[0]/slabs, (slab+1)*b.Space[0]/slabs, want.Smoothness, &s.bits)
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
func (p *bitStats) planes(b *labelReader, n, lo, hi int, smoothness bool, s *bitScratch) error {
	last := b.Space[0] - 1
	rows, length := b.Space[1], b.Space[2]
	before, centre, after := &s.planes[0], &s.planes[1], &s.planes[2]
	if smoothness {
		if err := before.read(b, n, max(lo-1, 0), s); err != nil {
			return err
		}
		if err := centre.read(b, n, lo, s); err != nil {
			return err
		}
	}
	for x := lo; x < hi; x++ {
		next := x
		if smoothness {
			next = min(x+1, last)
		}
		if err := after.read(b, n, next, s); err != nil {
			return err
		}
		own := centre
		if !smoothness {
			own = after
		}
		p.valid += rows*length - ones(own.ignored)
		p.fore += ones(own.masks[0])
		p.count[0] += rows*length - ones(own.ignored) - ones(own.masks[0])
		for c := 1; c < len(p.count); c++ {
			p.count[c] += ones(own.masks[c])
		}
		if smoothness {
			for k := range p.h {
				p.h[k].plane(before.masks[k], own.masks[k], after.masks[k], own.ignored, rows, length, oneSided(x, last+1))
			}
		}
		before, centre, after = centre, after, before
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

// oneSided reports whether the derivative at an index of an axis is one-sided.
func oneSided(at, size int) bool { return at == 0 || at == size-1 }

// plane adds the voxels of one plane of a mask. faceX says that left or right is
// the plane itself.
func (h *histogram) plane(left, own, right, ignored []uint64, rows, length int, faceX bool) {
	words := (length + 63) / 64
	end := uint64(1) << ((length - 1) % 64) // a row's last voxel in its last word
	x := 1
	if faceX {
		x = 4
	}
	for r := range rows {
		row := own[r*words:][:words]
		up, down := own[max(r-1, 0)*words:][:words], own[min(r+1, rows-1)*words:][:words]
		l, t := left[r*words:][:words], right[r*words:][:words]
		y := 1
		if oneSided(r, rows) {
			y = 4
		}
		before := row[0] & 1 // the first voxel stands in for the one before it
		for w, here := range row {
			after, face, inside := here&end, end, end|(end-1)
			if w+1 < words {
				after, face, inside = row[w+1]<<63, 0, ^uint64(0)
			}
			if w == 0 {
				face |= 1
			}
			dx, dy, dz := l[w]^t[w], up[w]^down[w], (here<<1|before)^(here>>1|after)
			before = here >> 63
			if len(ignored) > 0 {
				inside &^= ignored[r*words+w]
			}
			if (dx|dy|dz)&inside != 0 {
				h.word(dx&inside, dy&inside, dz&inside, face, x, y)
			}
		}
	}
}

// word adds the voxels of one word by the eight ways in which the axes can
// differ, where those in face have one-sided
// differences along z; x and y are the levels of the other axes.
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

// read fills the plane with plane x of sample n.
func (p *bitPlane) read(l *labelReader, n, x int, s *bitScratch) error {
	rows, length := l.Space[1], l.Space[2]
	size := rows * length
	// The kernels read whole words of labels.
	s.y = grow(s.y, size+63)
	if err := l.read(n, x*size, (x+1)*size, s.y, &s.class); err != nil {
		return err
	}
	words := rows * ((length + 63) / 64)
	pack := func(mask []uint64, class uint8) []uint64 {
		mask = grow(mask, words)
		l.kernels.pack(mask, s.y, rows, length, class)
		return mask
	}
	p.ignored = p.ignored[:0]
	if l.rules.mark == noClass {
		p.ignored = pack(p.ignored, noClass)
	}
	if len(p.masks) < l.C {
		p.masks = make([][]uint64, l.C)
	}
	fore := pack(p.masks[0], 0)
	p.masks[0] = fore
	tail := lastWord(length)
	perRow := words / rows
	for i := range fore {
		fore[i] = ^fore[i]
		if (i+1)%perRow == 0 {
			fore[i] &= tail
		}
	}
	for i, w := range p.ignored {
		fore[i] &^= w
	}
	if l.C == 2 {
		p.masks[1] = append(p.masks[1][:0], fore...)
		return nil
	}
	for c := 1; c < l.C; c++ {
		p.masks[c] = pack(p.masks[c], uint8(c))
	}
	return nil
}

// lastWord has the bits of a row of the given length in its last word.
func lastWord(length int) uint64 { return ^uint64(0) >> (-length & 63) }

// packGo writes one bit for each label of rows of the given length: whether it
// equals class. A row begins at a new word. src has 63 labels to spare.
func packGo(dst []uint64, src []uint8, rows, length int, class uint8) {
	const ones, low, gather = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f, 0x0102040810204080
	words := (length + 63) / 64
	want := uint64(class) * ones
	for r := range rows {
		for w := range words {
			var word uint64
			labels := src[r*length+64*w:][:64]
			for i := 0; i < 64; i += 8 {
				v := binary.LittleEndian.Uint64(labels[i:]) ^ want
				equal := ^((v&low + low) | v | low) // the top bit of each byte that is 0
				word |= equal >> 7 * gather >> 56 << i
			}
			dst[r*words+w] = word
		}
		dst[(r+1)*words-1] &= lastWord(length)
	}
}
