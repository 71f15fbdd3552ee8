// Package radixsort sorts positive numbers with their positions, stably.
package radixsort

import (
	"unsafe"

	"github.com/x/afl/internal/parallel"
)

// Sorter sorts numbers in descending order. Its memory is used again. The zero value is
// ready for use.
type Sorter[T float32 | float64] struct {
	other  []Item[T]
	counts []int32
}

// Item is a number and its position.
type Item[T float32 | float64] struct {
	Value T
	At    uint32
}

// digit is the number of bits that one pass distributes by.
const (
	digit   = 11
	buckets = 1 << digit
)

// Descending sorts items by value, the largest first; equal ones keep their order. Values
// are not negative (−0 and NaN are not allowed). It returns either the memory of the
// items or other memory, and keeps the one that it does not return.
//
// It distributes by 11 bits of the number at a time, from the last to the first: three
// passes for float32 and six for float64, in parallel; a pass whose bits are the same in
// all numbers is left out.
func (s *Sorter[T]) Descending(items []Item[T]) []Item[T] {
	if cap(s.other) < len(items) {
		s.other = make([]Item[T], len(items))
	}
	from, to := items, s.other[:len(items)]
	width := 8 * int(unsafe.Sizeof(T(0)))
	parts := max(1, min(len(items)>>13, 64))
	if cap(s.counts) < parts*buckets {
		s.counts = make([]int32, parts*buckets)
	}
	for shift := 0; shift < width; shift += digit {
		counts := s.counts[:parts*buckets]
		clear(counts)
		bounds := func(i int) (lo, hi int) { return i * len(items) / parts, (i + 1) * len(items) / parts }
		parallel.Do(parts, func() func(int) {
			return func(i int) {
				lo, hi := bounds(i)
				h := counts[i*buckets:][:buckets]
				for _, it := range from[lo:hi] {
					h[bucket(it.Value, shift)]++
				}
			}
		})
		next, single := int32(0), false
		for b := range buckets {
			begin := next
			for i := range parts {
				n := counts[i*buckets+b]
				counts[i*buckets+b] = next
				next += n
			}
			single = single || int(next-begin) == len(items)
		}
		if single {
			continue
		}
		parallel.Do(parts, func() func(int) {
			return func(i int) {
				lo, hi := bounds(i)
				h := counts[i*buckets:][:buckets]
				for _, it := range from[lo:hi] {
					b := bucket(it.Value, shift)
					to[h[b]] = it
					h[b]++
				}
			}
		})
		from, to = to, from
	}
	s.other = to[:cap(to)]
	return from
}

// bucket returns the digit at a shift, the largest first.
func bucket[T float32 | float64](v T, shift int) uint64 {
	// Not a type switch, which the compiler does not resolve for a type parameter.
	if unsafe.Sizeof(v) == 4 {
		return uint64(^*(*uint32)(unsafe.Pointer(&v))) >> shift & (buckets - 1)
	}
	return ^*(*uint64)(unsafe.Pointer(&v)) >> shift & (buckets - 1)
}
