package cpu

import (
	"errors"
	"unsafe"
)

// errSoft is the error of a [mapReader] for a map with other values than 0 and 1.
var errSoft = errors.New("a map is soft")

// mapReader reads a target of maps of zeros and ones as bit planes.
type mapReader struct {
	*batch
	kernels *kernels
	bytes   []uint8 // the maps, if they are of uint8 or bool
	floats  []float32
}

// newMapReader returns nil for maps of other types than uint8, bool and float32.
func newMapReader(b *batch, k *kernels) *mapReader {
	r := &mapReader{batch: b, kernels: k}
	switch s := b.target.(type) {
	case []uint8:
		r.bytes = s
	case []bool:
		r.bytes = bytesOf(s)
	case []float32:
		r.floats = s
	default:
		return nil
	}
	return r
}

// bytesOf returns the memory of bools as bytes of 0 and 1.
func bytesOf(s []bool) []uint8 {
	return unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

// readPlane implements [planeReader]. It returns errSoft for other values than 0 and 1.
func (r *mapReader) readPlane(p *bitPlane, n, x int, s *bitScratch) error {
	g := &s.shape
	p.resize(r.C)
	p.ignored = p.ignored[:0]
	for c := range r.C {
		mask, inner := g.padded(p.masks[c])
		p.masks[c] = mask
		if !r.pack(inner, (n*r.C+c)*r.V+x*g.size, g.size, s) {
			return errSoft
		}
		p.ones[c] = extentOf(inner)
	}
	// The foreground takes the place of channel 0, and is it if there is no other.
	p.zeros = p.ones[0].count
	if r.C > 1 {
		fore := p.masks[0]
		copy(fore, p.masks[1])
		for _, mask := range p.masks[2:r.C] {
			for i, w := range mask[:len(fore)] {
				fore[i] |= w
			}
		}
		p.ones[0] = extentOf(fore[g.pad:][:g.words])
	}
	return nil
}

// pack sets the bits of the ones among the size values from index at on, and returns
// whether the others are 0.
func (r *mapReader) pack(dst []uint64, at, size int, s *bitScratch) (hard bool) {
	if r.bytes != nil {
		s.y = Grow(s.y, size+63)
		clear(s.y[size:])
		if !r.kernels.labels(s.y[:size], r.bytes[at:at+size], &labelRules{cap: noClass - 1, limit: 2}) {
			return false
		}
		r.kernels.pack(dst, s.y, 1)
		return true
	}
	src := r.floats[at : at+size]
	whole := size / 64
	hard = r.kernels.packMap(dst[:whole], src)
	if rest := src[whole*64:]; len(rest) > 0 {
		var last [64]float32
		copy(last[:], rest)
		hard = r.kernels.packMap(dst[whole:], last[:]) && hard
	}
	return hard
}

// packMapGo sets the bits of the ones and returns whether all other values are 0. src
// holds 64 values for each word. Values a rounding error outside [0,1] are soft.
func packMapGo(dst []uint64, src []float32) (hard bool) {
	hard = true
	for w := range dst {
		var word uint64
		for i, v := range src[64*w:][:64] {
			if v == 1 {
				word |= 1 << i
			} else if v != 0 {
				hard = false
			}
		}
		dst[w] = word
	}
	return hard
}
