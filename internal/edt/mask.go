package edt

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/x/afl/internal/parallel"
)

// Mask is a set of voxels as bits: every row fills whole words, and bits beyond
// the end of a row are 0.
type Mask struct {
	shape [3]int // slices, rows, columns
	width int    // words of a row
	words []uint64
}

// NewMask returns an empty mask of a row-major shape (slices, rows, columns); a
// two-dimensional image has one slice.
func NewMask(shape [3]int) *Mask {
	width := (shape[2] + 63) / 64
	return &Mask{shape, width, make([]uint64, shape[0]*shape[1]*width)}
}

// Rows returns the number of rows of all slices together.
func (m *Mask) Rows() int { return m.shape[0] * m.shape[1] }

// Fill adds to the rows from first on, which are empty, the voxels that are not
// 0, given in raster order, whole rows.
func (m *Mask) Fill(first int, voxels []uint8) {
	// Comparing is several times faster than packing, and most of an image has
	// no foreground.
	if len(voxels) <= len(zeros) && bytes.Equal(voxels, zeros[:len(voxels)]) {
		return
	}
	columns := m.shape[2]
	for row := m.words[first*m.width:]; len(voxels) > 0; row = row[m.width:] {
		pack(row[:m.width], voxels[:columns])
		voxels = voxels[columns:]
	}
}

var zeros [4096]uint8

// pack stores in dst, 64 to a word, which of src are not 0.
func pack(dst []uint64, src []uint8) {
	for w := range dst {
		if len(src) >= 64 {
			dst[w] = pack64(src[:64])
			src = src[64:]
			continue
		}
		var word uint64
		at := 0
		for ; len(src) >= 8; src = src[8:] {
			word |= pack8(binary.LittleEndian.Uint64(src)) << at
			at += 8
		}
		for i, v := range src {
			if v != 0 {
				word |= 1 << (at + i)
			}
		}
		dst[w] = word
	}
}

func pack64(src []uint8) uint64 {
	_ = src[63]
	a, b := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
	c, d := binary.LittleEndian.Uint64(src[16:]), binary.LittleEndian.Uint64(src[24:])
	e, f := binary.LittleEndian.Uint64(src[32:]), binary.LittleEndian.Uint64(src[40:])
	g, h := binary.LittleEndian.Uint64(src[48:]), binary.LittleEndian.Uint64(src[56:])
	if a|b|c|d|e|f|g|h == 0 { // most of an image
		return 0
	}
	return pack8(a) | pack8(b)<<8 | pack8(c)<<16 | pack8(d)<<24 | pack8(e)<<32 | pack8(f)<<40 | pack8(g)<<48 | pack8(h)<<56
}

// pack8 returns one bit for each byte of v: whether it is not 0.
func pack8(v uint64) uint64 {
	const low, ones, gather = 0x7f7f7f7f7f7f7f7f, 0x0101010101010101, 0x0102040810204080
	set := ((v&low + low) | v) >> 7 & ones
	return set * gather >> 56
}

// row returns the words of a row, counted through all slices.
func (m *Mask) row(r int) []uint64 { return m.words[r*m.width:][:m.width] }

// Count returns the number of voxels in the mask.
func (m *Mask) Count() int {
	n := 0
	for _, w := range m.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// filledRows returns the number of rows that have a voxel in the mask.
func (m *Mask) filledRows() int {
	n := 0
	for r := range m.Rows() {
		for _, w := range m.row(r) {
			if w != 0 {
				n++
				break
			}
		}
	}
	return n
}

// Shape returns the slices, rows and columns.
func (m *Mask) Shape() [3]int { return m.shape }

// Box returns the smallest box, its end exclusive, that holds the voxels of both
// masks; it is empty where both are.
func Box(a, b *Mask) (lo, hi [3]int) {
	lo = a.shape
	columns := make([]uint64, a.width)
	for r := range a.Rows() {
		var any uint64
		second := b.row(r)
		for w, v := range a.row(r) {
			v |= second[w]
			columns[w] |= v
			any |= v
		}
		if any != 0 {
			z, y := r/a.shape[1], r%a.shape[1]
			lo[0], hi[0] = min(lo[0], z), z+1
			lo[1], hi[1] = min(lo[1], y), max(hi[1], y+1)
		}
	}
	if hi[0] == 0 {
		return [3]int{}, hi
	}
	first := -1
	for w, v := range columns {
		if v == 0 {
			continue
		}
		if first < 0 {
			first = 64*w + bits.TrailingZeros64(v)
		}
		hi[2] = 64*w + bits.Len64(v)
	}
	lo[2] = first
	return lo, hi
}

// Crop returns a copy of the voxels from lo to hi, exclusive.
func (m *Mask) Crop(lo, hi [3]int) *Mask {
	c := NewMask([3]int{hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]})
	if len(c.words) == 0 {
		return c
	}
	from, shift := lo[2]/64, lo[2]%64
	last := ^uint64(0) >> (-c.shape[2] & 63)
	for r := range c.Rows() {
		z, y := r/c.shape[1]+lo[0], r%c.shape[1]+lo[1]
		src, dst := m.row(z*m.shape[1] + y)[from:], c.row(r)
		for w := range dst {
			dst[w] = src[w] >> shift
			if w+1 < len(src) {
				dst[w] |= src[w+1] << 1 << (63 - shift)
			}
		}
		dst[c.width-1] &= last
	}
	return c
}

// Surface returns the voxels that have a face neighbour outside the mask, where
// outside the volume is outside the mask. A volume of two axes has no
// neighbours along the slices, one of three axes does.
func (m *Mask) Surface(axes int) *Mask {
	s := NewMask(m.shape)
	slices, rows := m.shape[0], m.shape[1]
	outside := make([]uint64, m.width)
	m.eachRow(func(r int) {
		own, dst := m.row(r), s.row(r)
		neighbour := func(inside bool, by int) []uint64 {
			if !inside {
				return outside
			}
			return m.row(r + by)
		}
		z, y := r/rows, r%rows
		up, down := neighbour(y > 0, -1), neighbour(y < rows-1, 1)
		front, back := own, own
		if axes == 3 {
			front, back = neighbour(z > 0, -rows), neighbour(z < slices-1, rows)
		}
		before := uint64(0) // the last voxel of the word before
		for w, v := range own {
			after := uint64(0)
			if w+1 < len(own) {
				after = own[w+1] << 63
			}
			dst[w] = v &^ (up[w] & down[w] & front[w] & back[w] & (v<<1 | before) & (v>>1 | after))
			before = v >> 63
		}
	})
	return s
}

// AndNot returns the voxels of m that are not in o.
func (m *Mask) AndNot(o *Mask) *Mask {
	d := NewMask(m.shape)
	for i, w := range m.words {
		d.words[i] = w &^ o.words[i]
	}
	return d
}

// and returns the voxels of both masks.
func (m *Mask) and(o *Mask) *Mask {
	d := NewMask(m.shape)
	for i, w := range m.words {
		d.words[i] = w & o.words[i]
	}
	return d
}

// rowBatch is the number of rows that a goroutine takes at a time.
const rowBatch = 64

// eachRow calls f once for every row, on several goroutines.
func (m *Mask) eachRow(f func(r int)) {
	parallel.Do((m.Rows()+rowBatch-1)/rowBatch, func() func(int) {
		return func(unit int) {
			for r := unit * rowBatch; r < min((unit+1)*rowBatch, m.Rows()); r++ {
				f(r)
			}
		}
	})
}
