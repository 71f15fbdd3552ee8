// Package selection finds the largest numbers of a slice without sorting it.
package selection

import (
	"math"
	"unsafe"

	"github.com/x/afl/internal/parallel"
)

// part is how many elements a goroutine takes at a time, whole words of a bit set.
const part = 1 << 13

// digit is the number of bits of a key by which elements are distributed at a time.
const (
	digit   = 12
	buckets = 1 << digit
)

// Largest returns the m largest elements, of which there are at least as many, as a bit set
// over the slice, and their sum. Of equal elements the earlier ones are taken. NaN is larger
// than any number; elements below 0, and −0, are taken last, as if they were equal.
//
// The elements are counted by the leading bits of their keys, then those that share these
// with the smallest one taken by the next bits, and so on: three times for float32 and six
// for float64. The sum has the same bits for any number of goroutines.
func Largest[T float32 | float64](e []T, m int) (taken []uint64, sum float64) {
	parts := (len(e) + part - 1) / part
	piece := func(i int) []T { return e[i*part : min((i+1)*part, len(e))] }
	counts := make([][buckets]int32, min(parts, 8))
	// least is the key of the smallest element taken, as far as its bits above shift, and
	// equal how many of those that share them are taken.
	least, shift, equal := uint64(0), 8*int(unsafe.Sizeof(T(0))), m
	for shift > 0 {
		next := max(shift-digit, 0)
		clear(counts)
		parallel.Each(len(counts), func(i int) {
			h := &counts[i]
			for k := i * parts / len(counts); k < (i+1)*parts/len(counts); k++ {
				for _, v := range piece(k) {
					if k := key(v); k>>shift == least>>shift {
						h[k>>next&(buckets-1)]++
					}
				}
			}
		})
		b := buckets - 1
		for ; ; b-- {
			candidates := 0
			for i := range counts {
				candidates += int(counts[i][b])
			}
			if equal <= candidates {
				break
			}
			equal -= candidates
		}
		least, shift = least|uint64(b)<<next, next
	}

	first := make([]int, parts) // of the elements that equal the least, how many are before
	parallel.Each(parts, func(i int) {
		for _, v := range piece(i) {
			if key(v) == least {
				first[i]++
			}
		}
	})
	before := 0
	for i, n := range first {
		first[i] = before
		before += n
	}
	taken = make([]uint64, (len(e)+63)/64)
	sums := make([]float64, parts)
	parallel.Each(parts, func(i int) {
		rank := first[i]
		for at, v := range piece(i) {
			k := key(v)
			if k < least {
				continue
			}
			if k == least {
				if rank++; rank > equal {
					continue
				}
			}
			at += i * part
			taken[at/64] |= 1 << (at % 64)
			sums[i] += float64(v)
		}
	})
	for _, s := range sums {
		sum += s
	}
	return taken, sum
}

// key orders numbers as Largest does.
func key[T float32 | float64](v T) uint64 {
	if v != v {
		return math.MaxUint64 >> (64 - 8*unsafe.Sizeof(v))
	}
	// Not a type switch, which the compiler does not resolve for a type parameter. The sign
	// clears the key.
	if unsafe.Sizeof(v) == 4 {
		bits := *(*int32)(unsafe.Pointer(&v))
		return uint64(uint32((bits + 1) &^ (bits >> 31)))
	}
	bits := *(*int64)(unsafe.Pointer(&v))
	return uint64((bits + 1) &^ (bits >> 63))
}
