package edt

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/x/afl/internal/parallel"
)

// Mask is a set of voxels stored as bits. Every row starts a new word, and the bits
// after the end of a row are 0.
type Mask struct {
	shape [3]int // slices, rows, columns
	width int    // words per row
	words []uint64
}

// NewMask returns an empty mask of a shape (slices, rows, columns); a two-dimensional
// image has one slice.
func NewMask(shape [3]int) *Mask {
	width := (shape[2] + 63) / 64
	return &Mask{shape, width, make([]uint64, shape[0]*shape[1]*width)}
}

// Rows returns the number of rows in all slices.
func (m *Mask) Rows() int { return m.shape[0] * m.shape[1] }

// Fill sets the rows from first on, which are empty, to the voxels that are not 0:
// whole rows in raster order.
func (m *Mask) Fill(first int, voxels []uint8) {
	columns := m.shape[2]
	batch := max(1, len(zeros)/columns) // rows
	for ; len(voxels) > 0; first += batch {
		part := voxels[:min(batch*columns, len(voxels))]
		voxels = voxels[len(part):]
		// Comparing is several times faster than packing, and most rows of an
		// image have no foreground.
		if len(part) <= len(zeros) && bytes.Equal(part, zeros[:len(part)]) {
			continue
		}
		for row := m.words[first*m.width:]; len(part) > 0; row = row[m.width:] {
			pack(row[:m.width], part[:columns])
			part = part[columns:]
		}
	}
}

var zeros [1024]uint8

// pack stores in dst, 64 per word, which elements of src are not 0.
func pack(dst []uint64, src []uint8) {
	for len(src) >= 64 {
		dst[0] = pack64(src)
		dst, src = dst[1:], src[64:]
	}
	at := 0
	for ; len(src) >= 8; src = src[8:] {
		dst[0] |= pack8(binary.LittleEndian.Uint64(src)) << (at & 63)
		at += 8
	}
	for i, v := range src {
		if v != 0 {
			dst[0] |= 1 << (at + i)
		}
	}
}

func pack64(src []uint8) uint64 {
	_ = src[63]
	a, b := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
	c, d := binary.LittleEndian.Uint64(src[16:]), binary.LittleEndian.Uint64(src[24:])
	e, f := binary.LittleEndian.Uint64(src[32:]), binary.LittleEndian.Uint64(src[40:])
	g, h := binary.LittleEndian.Uint64(src[48:]), binary.LittleEndian.Uint64(src[56:])
	if a|b|c|d|e|f|g|h == 0 { // the common case
		return 0
	}
	return pack8(a) | pack8(b)<<8 | pack8(c)<<16 | pack8(d)<<24 | pack8(e)<<32 | pack8(f)<<40 | pack8(g)<<48 | pack8(h)<<56
}

// pack8 returns one bit per byte of v: whether it is not 0.
func pack8(v uint64) uint64 {
	const low, ones, gather = 0x7f7f7f7f7f7f7f7f, 0x0101010101010101, 0x0102040810204080
	set := ((v&low + low) | v) >> 7 & ones
	return set * gather >> 56
}

// row returns the words of a row; rows are numbered through all slices.
func (m *Mask) row(r int) []uint64 { return m.words[r*m.width:][:m.width] }

// Shape returns the number of slices, rows and columns.
func (m *Mask) Shape() [3]int { return m.shape }

// Count returns the number of voxels in the mask.
func (m *Mask) Count() int {
	n := 0
	for _, w := range m.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// filledRows returns the number of rows that have at least one voxel in the mask.
func (m *Mask) filledRows() int {
	n, last := 0, -1
	for i, w := range m.words {
		if r := i / m.width; w != 0 && r != last {
			n, last = n+1, r
		}
	}
	return n
}

// Box returns the smallest box that holds the voxels of both masks, from lo to hi,
// exclusive; it is empty if both masks are.
func Box(a, b *Mask) (lo, hi [3]int) {
	lo = a.shape
	second := b.words[:len(a.words)]
	for i, v := range a.words {
		v |= second[i]
		if v == 0 {
			continue
		}
		r, x := i/a.width, i%a.width*64
		corner := [3]int{r / a.shape[1], r % a.shape[1], x + bits.TrailingZeros64(v)}
		end := [3]int{corner[0] + 1, corner[1] + 1, x + bits.Len64(v)}
		for axis := range lo {
			lo[axis] = min(lo[axis], corner[axis])
			hi[axis] = max(hi[axis], end[axis])
		}
	}
	if hi[0] == 0 {
		lo = [3]int{}
	}
	return lo, hi
}

// Crop reduces the mask to the box from lo to hi, exclusive.
func (m *Mask) Crop(lo, hi [3]int) {
	c := &Mask{shape: [3]int{hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]}}
	c.width = (c.shape[2] + 63) / 64
	// Words only move towards the front, so it can be done in place.
	c.words = m.words[:c.Rows()*c.width]
	from, shift := lo[2]/64, lo[2]%64
	last := ^uint64(0) >> (-c.shape[2] & 63)
	for r := range c.Rows() {
		z, y := r/c.shape[1]+lo[0], r%c.shape[1]+lo[1]
		src, dst := m.row(z*m.shape[1] + y)[from:], c.row(r)
		for w := range dst {
			word := src[w] >> shift
			if w+1 < len(src) {
				word |= src[w+1] << 1 << (63 - shift)
			}
			dst[w] = word
		}
		dst[len(dst)-1] &= last
	}
	*m = *c
}

// rowBatch is the number of rows that a goroutine takes at a time.
const rowBatch = 512

// eachRow calls a body once for every row, on several goroutines that each have their
// own; see [parallel.Do].
func (m *Mask) eachRow(newBody func() func(r int)) {
	parallel.Do((m.Rows()+rowBatch-1)/rowBatch, func() func(int) {
		body := newBody()
		return func(unit int) {
			for r := unit * rowBatch; r < min((unit+1)*rowBatch, m.Rows()); r++ {
				body(r)
			}
		}
	})
}
