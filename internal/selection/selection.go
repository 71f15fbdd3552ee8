// Package selection finds the largest numbers of a slice without sorting it.
package selection

import (
	"math"
	"slices"
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

// few candidates are sorted at once.
const few = 1 << 11

// Largest returns the m largest elements, of which there are at least as many, as a bit set
// over the slice, and their sum. Of equal elements the earlier ones are taken. NaN is larger
// than any number, −0 equals 0, and elements below 0 are taken last, as if they were equal.
//
// The elements are counted by the leading bits of their keys, then those that share these
// with the smallest one taken by the next bits, until few are left to sort. The sum has the
// same bits for any number of goroutines.
func Largest[T float32 | float64](e []T, m int) (taken []uint64, sum float64) {
	parts := (len(e) + part - 1) / part
	piece := func(i int) []T { return e[i*part : min((i+1)*part, len(e))] }
	counts := make([][buckets]int32, min(parts, 8))
	// prefix is what the keys of the candidates begin with, above shift; within is how many
	// of them are taken.
	prefix, shift, within, candidates := uint64(0), 64, m, len(e)
	for candidates > few && shift > 0 {
		next := max(shift-digit, 0)
		clear(counts)
		each(len(counts), func(i int) {
			h := &counts[i]
			for k := i * parts / len(counts); k < (i+1)*parts/len(counts); k++ {
				if shift == 64 {
					for _, v := range piece(k) {
						h[key(v)>>(64-digit)]++
					}
					continue
				}
				for _, v := range piece(k) {
					if k := key(v); k>>shift == prefix>>shift {
						h[k>>next&(buckets-1)]++
					}
				}
			}
		})
		b := buckets - 1
		for ; ; b-- {
			candidates = 0
			for i := range counts {
				candidates += int(counts[i][b])
			}
			if within <= candidates {
				break
			}
			within -= candidates
		}
		prefix, shift = prefix|uint64(b)<<next, next
	}
	least, equal := prefix, within
	if shift > 0 {
		keys := make([]uint64, 0, candidates)
		for _, v := range e {
			if k := key(v); shift == 64 || k>>shift == prefix>>shift {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		least = keys[len(keys)-within]
		above, _ := slices.BinarySearch(keys, least+1)
		equal = within - (len(keys) - above)
	}

	first := make([]int, parts) // of the elements that equal the least, how many are before
	each(parts, func(i int) {
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
	each(parts, func(i int) {
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

func each(n int, f func(i int)) {
	parallel.Do(n, func() func(int) { return f })
}

// key orders numbers as Largest does. Keys of float32 use the upper half of the word.
func key[T float32 | float64](v T) uint64 {
	if !(v > 0) {
		switch {
		case v == 0:
			return 1 << 32
		case v < 0:
			return 0
		}
		return math.MaxUint64 - 1
	}
	// Not a type switch, which the compiler does not resolve for a type parameter. Those of
	// the smallest denormals are no less than that of 0.
	if unsafe.Sizeof(v) == 4 {
		return uint64(*(*uint32)(unsafe.Pointer(&v)))<<32 + 1<<32
	}
	return *(*uint64)(unsafe.Pointer(&v)) + 1<<32
}
