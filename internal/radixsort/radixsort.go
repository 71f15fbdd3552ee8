// Package radixsort sorts non-negative numbers with their positions, stably.
package radixsort

import (
	"math/bits"
	"unsafe"

	"github.com/x/afl/internal/parallel"
)

// Sorter sorts numbers in descending order. It keeps its memory for the next call. The zero
// value is ready for use.
type Sorter[T float32 | float64] struct {
	memory [2][]Item[T]
	counts [][buckets]int32
	keys   []keyRange
}

// Item is a number and its position, or whatever else goes with it.
type Item[T float32 | float64] struct {
	Value T
	At    uint32
}

// keyRange holds how many items a part has, and which bits are set in all and in any of
// their keys.
type keyRange struct {
	items    int
	all, any uint64
}

// digit is the largest number of bits that one pass distributes by: as many buckets can be
// written to at a time without leaving the second-level cache.
const (
	digit   = 11
	buckets = 1 << digit
)

// Descending returns the items that fill stores, the largest first; equal ones keep their
// order. Values must not be negative, −0 included; NaN counts as larger than any number.
//
// fill is called concurrently, once for each part. It stores at most size items in dst and
// returns how many. The result is in the sorter's memory, until the next call.
//
// A pass distributes the items by some bits of the numbers, from the last to the first that
// differ: three passes for float32 and six for float64 at most, in parallel.
func (s *Sorter[T]) Descending(parts, size int, fill func(part int, dst []Item[T]) int) []Item[T] {
	for i := range s.memory {
		if cap(s.memory[i]) < parts*size {
			s.memory[i] = make([]Item[T], parts*size)
		}
	}
	if len(s.counts) < parts {
		s.counts, s.keys = make([][buckets]int32, parts), make([]keyRange, parts)
	}
	from, to := s.memory[0][:parts*size], s.memory[1][:parts*size]
	keys, counts := s.keys[:parts], s.counts[:parts]
	parallel.Each(parts, func(i int) {
		n := fill(i, from[i*size:(i+1)*size])
		k := keyRange{items: n, all: ^uint64(0)}
		for _, it := range from[i*size:][:n] {
			key := key(it.Value)
			k.all &= key
			k.any |= key
		}
		keys[i] = k
	})
	total := keyRange{all: ^uint64(0)}
	for _, k := range keys {
		total.items += k.items
		total.all &= k.all
		total.any |= k.any
	}
	width, shift := 0, 0 // of the bits that differ
	if differ := total.any &^ total.all; differ != 0 {
		shift = bits.TrailingZeros64(differ)
		width = bits.Len64(differ) - shift
	}
	passes := max((width+digit-1)/digit, 1) // one at least puts the parts together
	step := (width + passes - 1) / passes
	for pass := range passes {
		// The first pass reads the parts as they were filled, the others equal ones.
		part := func(i int) []Item[T] { return from[i*size:][:keys[i].items] }
		if pass > 0 {
			part = func(i int) []Item[T] { return from[i*total.items/parts : (i+1)*total.items/parts] }
		}
		d := bitField{shift + pass*step, 1<<step - 1}
		parallel.Each(parts, func(i int) { count(part(i), &counts[i], d) })
		next := int32(0)
		for b := range d.mask + 1 {
			for i := range counts {
				n := counts[i][b]
				counts[i][b] = next
				next += n
			}
		}
		parallel.Each(parts, func(i int) { distribute(part(i), to, &counts[i], d) })
		from, to = to[:total.items], from[:cap(from)]
	}
	return from
}

// bitField is a range of the bits of a key.
type bitField struct {
	shift int
	mask  uint64
}

func (f bitField) of(key uint64) uint64 { return key >> (f.shift & 63) & f.mask & (buckets - 1) }

// count stores how many items there are for each value of a bit field.
func count[T float32 | float64](items []Item[T], counts *[buckets]int32, f bitField) {
	clear(counts[:f.mask+1])
	for i := range items {
		counts[f.of(key(items[i].Value))]++
	}
}

// distribute copies items to the next place for their value of a bit field.
func distribute[T float32 | float64](items, to []Item[T], next *[buckets]int32, f bitField) {
	for _, it := range items {
		b := f.of(key(it.Value))
		at := next[b]
		next[b] = at + 1
		to[at] = it
	}
}

// key orders numbers in descending order.
func key[T float32 | float64](v T) uint64 {
	// Not a type switch, which the compiler does not resolve for a type parameter.
	if unsafe.Sizeof(v) == 4 {
		return uint64(^*(*uint32)(unsafe.Pointer(&v)))
	}
	return ^*(*uint64)(unsafe.Pointer(&v))
}
