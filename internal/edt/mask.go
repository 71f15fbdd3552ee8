package edt

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/x/afl/internal/parallel"
)

// Mask is a set of voxels stored as bits. Every row starts a new word, and the bits
// after the end of a row are 0.
//
// Where the last axis has one voxel, the axes are turned, the last one becoming the first,
// until it has more: it would take a word for every voxel. The raster order is the same.
type Mask struct {
	shape [3]int // slices, rows, columns
	turn  int    // by how many places the axes are turned
	width int    // words per row
	words []uint64
}

// NewMask returns an empty mask of a shape (slices, rows, columns); a two-dimensional
// image has one slice.
func NewMask(shape [3]int) *Mask {
	turn := 0
	for turn < 2 && shape[2] == 1 {
		shape = [3]int{shape[2], shape[0], shape[1]}
		turn++
	}
	m := newMask(shape)
	m.turn = turn
	return m
}

// newMask returns an empty mask whose axes are not turned.
func newMask(shape [3]int) *Mask {
	width := (shape[2] + 63) / 64
	return &Mask{shape: shape, width: width, words: make([]uint64, shape[0]*shape[1]*width)}
}

// empty returns an empty mask like m.
func (m *Mask) empty() *Mask {
	return &Mask{m.shape, m.turn, m.width, make([]uint64, len(m.words))}
}

// turned returns the spacing along the axes of m, given that along the axes of the shape
// that it was made with.
func (m *Mask) turned(spacing [3]float64) [3]float64 {
	for range m.turn {
		spacing = [3]float64{spacing[2], spacing[0], spacing[1]}
	}
	return spacing
}

// Rows returns the number of rows in all slices.
func (m *Mask) Rows() int { return m.shape[0] * m.shape[1] }

// Columns returns the length of the rows.
func (m *Mask) Columns() int { return m.shape[2] }

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

// FillBits sets the voxels of an empty mask whose bits are set, 64 to a word in raster order.
func (m *Mask) FillBits(voxels []uint64) {
	columns := m.shape[2]
	if columns == 64*m.width {
		copy(m.words, voxels)
		return
	}
	parallel.Each(m.batches(), func(batch int) {
		for r := batch * rowBatch; r < min((batch+1)*rowBatch, m.Rows()); r++ {
			row := m.row(r)
			for w := range row {
				at := r*columns + 64*w
				i, shift := at/64, at%64
				word := voxels[i] >> shift
				if shift > 0 && i+1 < len(voxels) {
					word |= voxels[i+1] << (64 - shift)
				}
				row[w] = word
			}
			row[m.width-1] &= ^uint64(0) >> (-columns & 63)
		}
	})
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

// Count returns the number of voxels in the mask.
func (m *Mask) Count() int {
	n := 0
	for _, w := range m.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// Each calls f with the index in raster order of every voxel in the mask, ascending. The
// raster order is that of the mask's own axes, which may be turned.
func (m *Mask) Each(f func(i int)) {
	for r := range m.Rows() {
		for w, word := range m.row(r) {
			for ; word != 0; word &= word - 1 {
				f(r*m.shape[2] + 64*w + bits.TrailingZeros64(word))
			}
		}
	}
}

// filledRows returns the number of rows that have at least one voxel in the mask.
func (m *Mask) filledRows() int {
	n := 0
	for words := m.words; len(words) > 0; words = words[m.width:] {
		if !isEmpty(words[:m.width]) {
			n++
		}
	}
	return n
}

// Box returns the smallest box that holds the voxels of both masks, from lo to hi,
// exclusive; it is empty if both masks are.
func Box(a, b *Mask) (lo, hi [3]int) {
	lo = a.shape
	n := a.shape[1] * a.width // words of a slice
	for z := range a.shape[0] {
		first, second := a.words[z*n:][:n], b.words[z*n:][:n]
		if isEmpty(first) && isEmpty(second) { // as most of an image is
			continue
		}
		for y := range a.shape[1] {
			from, end := extent(first[:a.width], second[:a.width])
			first, second = first[a.width:], second[a.width:]
			if end > 0 {
				lo = [3]int{min(lo[0], z), min(lo[1], y), min(lo[2], from)}
				hi = [3]int{z + 1, max(hi[1], y+1), max(hi[2], end)}
			}
		}
	}
	if hi[0] == 0 {
		lo = [3]int{}
	}
	return lo, hi
}

// size returns the size of the smallest box that holds the voxels.
func (m *Mask) size() [3]int {
	lo, hi := Box(m, m)
	return [3]int{hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]}
}

// extent returns the columns from the first to the last one, exclusive, that hold the
// voxels of two rows; the latter is 0 if both are empty.
func extent(a, b []uint64) (from, end int) {
	for w, v := range a {
		v |= b[w]
		if v == 0 {
			continue
		}
		if end == 0 {
			from = 64*w + bits.TrailingZeros64(v)
		}
		end = 64*w + bits.Len64(v)
	}
	return from, end
}

// Crop reduces the mask to the box from lo to hi, exclusive.
func (m *Mask) Crop(lo, hi [3]int) {
	c := &Mask{shape: [3]int{hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]}, turn: m.turn}
	c.width = (c.shape[2] + 63) / 64
	// Words only move towards the front, so it can be done in place.
	c.words = m.words[:c.Rows()*c.width]
	last := ^uint64(0) >> (-c.shape[2] & 63)
	for r := range c.Rows() {
		z, y := r/c.shape[1]+lo[0], r%c.shape[1]+lo[1]
		dst := c.row(r)
		for w := range dst {
			dst[w] = m.window(z*m.shape[1]+y, lo[2]+64*w)
		}
		dst[len(dst)-1] &= last
	}
	*m = *c
}

// flatten stores slice z of the box from lo to hi in dst, 64 voxels in a word without a
// gap between rows.
func (m *Mask) flatten(dst []uint64, z int, lo, hi [3]int) {
	columns := hi[2] - lo[2]
	word, filled := uint64(0), 0 // the next word and the number of voxels in it
	for r := z*m.shape[1] + lo[1]; r < z*m.shape[1]+hi[1]; r++ {
		for x := 0; x < columns; x += 64 {
			n := min(64, columns-x)
			voxels := m.window(r, lo[2]+x) & (^uint64(0) >> (64 - n))
			word |= voxels << filled
			if filled += n; filled >= 64 {
				dst[0], dst = word, dst[1:]
				filled -= 64
				word = voxels >> (n - filled)
			}
		}
	}
	if filled > 0 {
		dst[0] = word
	}
}

// window returns 64 voxels of a row from column x on, 0 where the row has ended.
func (m *Mask) window(r, x int) uint64 {
	row, w, shift := m.row(r), x/64, x%64
	word := row[w] >> shift
	if w+1 < len(row) {
		word |= row[w+1] << 1 << (63 - shift)
	}
	return word
}

// byteAt returns eight voxels of a row from column x on, a multiple of eight.
func (m *Mask) byteAt(r, x int) uint8 {
	return uint8(m.words[r*m.width+x/64] >> (x % 64))
}

// rowBatch is the number of rows that a goroutine takes at a time.
const rowBatch = 512

// batches returns the number of batches of rows.
func (m *Mask) batches() int { return (m.Rows() + rowBatch - 1) / rowBatch }

// eachBatch calls a body for every batch of rows, from the first to the end, exclusive, on
// several goroutines that each have their own; see [parallel.Do].
func (m *Mask) eachBatch(newBody func() func(first, end int)) {
	parallel.Do(m.batches(), func() func(int) {
		body := newBody()
		return func(unit int) { body(unit*rowBatch, min((unit+1)*rowBatch, m.Rows())) }
	})
}
