package edt

import (
	"encoding/binary"
	"math/bits"
)

// Corners are the corners of voxels on the surface of a mask, with the area of the surface
// there. They are the corners shared by eight voxels, four in two dimensions, of which some
// but not all are in the mask. Everything outside the volume is outside the mask.
//
// The corners of a volume are one more than its voxels along each axis. The eight voxels
// around a corner form its code: bit 4·i+2·j+k is whether the voxel is in the mask that lies
// after the corner (1) or before it (0) along the three axes of the corners, which are
// turned like those of the mask. A volume with two axes is taken as two equal slices, whose
// corners lie in between.
type Corners struct {
	*Mask        // those on the surface
	voxels *Mask // the voxel before corner x of each axis is at x, the one after it at x+1
	areas  *Areas
}

// NewCorners returns the corners on the surface of m, a mask with two or three axes.
func NewCorners(m *Mask, axes int, areas *Areas) *Corners {
	shape := m.shape
	flat := -1 // the axis that a volume with two axes lacks
	if axes == 2 {
		flat = m.turn
	}
	for a := range shape {
		if a != flat {
			shape[a]++
		}
	}
	c := &Corners{Mask: newMask(shape), areas: areas}
	c.turn = m.turn
	v := &Mask{shape: [3]int{shape[0] + 1, shape[1] + 1, shape[2] + 1}, width: shape[2]/64 + 1}
	v.words = make([]uint64, v.Rows()*v.width+1) // so that every word has a next one
	c.voxels = v
	c.voxels.eachBatch(func() func(int, int) {
		return func(first, end int) { c.place(m, flat, first, end) }
	})
	c.eachBatch(func() func(int, int) { return c.find })
	return c
}

// place stores some rows of the voxels around the corners.
func (c *Corners) place(m *Mask, flat, first, end int) {
	z, y := first/c.voxels.shape[1], first%c.voxels.shape[1]
	for r := first; r < end; r++ {
		from := [2]int{z - 1, y - 1} // of m
		if flat == 0 || flat == 1 {
			from[flat] = 0
		}
		if y++; y == c.voxels.shape[1] {
			z, y = z+1, 0
		}
		if uint(from[0]) >= uint(m.shape[0]) || uint(from[1]) >= uint(m.shape[1]) {
			continue
		}
		row := m.row(from[0]*m.shape[1] + from[1])
		if isEmpty(row) {
			continue
		}
		dst := c.voxels.row(r)
		carry := uint64(0)
		for w, word := range row {
			dst[w] = word<<1 | carry
			carry = word >> 63
		}
		if len(dst) > len(row) {
			dst[len(row)] = carry
		}
		if flat == 2 { // the row is a single voxel
			dst[0] |= row[0]
		}
	}
}

// find finds the corners on the surface of some rows.
func (c *Corners) find(first, end int) {
	v := c.voxels
	n, words := v.width, c.width
	z, y := first/c.shape[1], first%c.shape[1]
	for r := first; r < end; r++ {
		at := (z*v.shape[1] + y) * n
		front, back := v.words[at:at+2*n], v.words[at+v.shape[1]*n:][:2*n]
		if y++; y == c.shape[1] {
			z, y = z+1, 0
		}
		some, all := front[0]|front[n]|back[0]|back[n], front[0]&front[n]&back[0]&back[n]
		for w := range words {
			var someNext, allNext uint64
			if i := w + 1; i < n {
				someNext, allNext = front[i]|front[n+i]|back[i]|back[n+i], front[i]&front[n+i]&back[i]&back[n+i]
			}
			c.words[r*words+w] = (some | some>>1 | someNext<<63) &^ (all & (all>>1 | allNext<<63))
			some, all = someNext, allNext
		}
		if c.shape[2] == 1 { // in two dimensions the voxels after the last corner need not be outside
			c.words[r*words] &= 1
		}
	}
}

// around returns the four rows of voxels around a row of corners: bit 2·i+j of their number
// is whether they lie after it along the first two axes.
func (c *Corners) around(z, y int) (rows [4][]uint64) {
	for i := range rows {
		rows[i] = c.voxels.row((z+i/2)*c.voxels.shape[1] + y + i%2)
	}
	return rows
}

// code returns the code of corner (z, y, x).
func (c *Corners) code(z, y, x int) uint8 {
	v := c.voxels
	front := v.words[(z*v.shape[1]+y)*v.width+x/64:]
	back := v.words[((z+1)*v.shape[1]+y)*v.width+x/64:]
	pair := func(words []uint64) uint64 { return (words[0]>>(x&63) | words[1]<<1<<(63-x&63)) & 3 }
	return uint8(pair(front) | pair(front[v.width:])<<2 | pair(back)<<4 | pair(back[v.width:])<<6)
}

// Area returns the area of the surface at a corner on it, given its index as by [Mask.Each].
func (c *Corners) Area(i int) float64 {
	r, x := i/c.shape[2], i%c.shape[2]
	return c.areas.ByCode[c.code(r/c.shape[1], r%c.shape[1], x)]
}

// TotalArea returns the area of the surface.
func (c *Corners) TotalArea() float64 {
	count := make([]int, len(c.areas.ofKind))
	c.Each(func(i int) {
		r, x := i/c.shape[2], i%c.shape[2]
		count[c.areas.kind[c.code(r/c.shape[1], r%c.shape[1], x)]]++
	})
	return c.areas.sum(count)
}

// wordCodes holds the codes of the corners of one word.
type wordCodes [64]uint8

// set stores the codes of those corners of word w of a row that are given as bits.
func (codes *wordCodes) set(around *[4][]uint64, w int, corners uint64) {
	var before, after [4]uint64
	for i, row := range around {
		next := uint64(0)
		if w+1 < len(row) {
			next = row[w+1] << 63
		}
		before[i], after[i] = row[w], row[w]>>1|next
	}
	for corners != 0 {
		at := bits.TrailingZeros64(corners) &^ 7
		corners &^= 0xff << at
		binary.LittleEndian.PutUint64(codes[at:], transpose8(
			before[0]>>at&0xff|after[0]>>at&0xff<<8|before[1]>>at&0xff<<16|after[1]>>at&0xff<<24|
				before[2]>>at&0xff<<32|after[2]>>at&0xff<<40|before[3]>>at&0xff<<48|after[3]>>at&0xff<<56))
	}
}

// transpose8 exchanges bit j of byte i with bit i of byte j, after H. S. Warren, Hacker's
// Delight, section 7–3.
func transpose8(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}
