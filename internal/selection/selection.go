// Package selection finds the largest numbers of a slice without sorting it.
package selection

import (
	"math"
	"slices"

	"github.com/x/afl/internal/parallel"
)

// part is how many elements a goroutine takes at a time, whole words of a bit set.
const part = 1 << 14

// Largest returns the m largest elements, of which there are at least as many, as a bit set
// over the slice, and their sum. Of equal elements the earlier ones are taken. NaN is larger
// than any number, −0 equals 0, and elements below 0 are taken last, as if they were equal.
//
// The elements are distributed over the leading bits of their keys, and those alone that
// share the leading bits of the smallest one taken are then sorted: the time is linear but
// where most elements are within 1/16 of each other. The sum has the same bits for any
// number of goroutines.
func Largest[T float32 | float64](e []T, m int) (taken []uint64, sum float64) {
	parts := (len(e) + part - 1) / part
	const buckets = 1 << 12
	var histogram [buckets]int
	counts := make([][buckets]int32, min(parts, 64))
	parallel.Do(len(counts), func() func(int) {
		return func(i int) {
			h := &counts[i]
			for _, v := range e[i*parts/len(counts)*part : min((i+1)*parts/len(counts)*part, len(e))] {
				h[key(v)>>52]++
			}
		}
	})
	for i := range counts {
		for b, n := range counts[i] {
			histogram[b] += int(n)
		}
	}
	// The bucket of the smallest element that is taken, and how many are taken of it.
	bucket, within := buckets-1, m
	for within > histogram[bucket] {
		within -= histogram[bucket]
		bucket--
	}
	candidates := make([]uint64, 0, histogram[bucket])
	for _, v := range e {
		if k := key(v); int(k>>52) == bucket {
			candidates = append(candidates, k)
		}
	}
	slices.Sort(candidates)
	least := candidates[len(candidates)-within]
	// All above it are taken, and the first of those that equal it.
	above, _ := slices.BinarySearch(candidates, least+1)
	equal := within - (len(candidates) - above)
	first := make([]int, parts) // of those equal, how many are in earlier parts
	each(parts, func(i int) {
		for _, v := range e[i*part : min((i+1)*part, len(e))] {
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
		for at := i * part; at < min((i+1)*part, len(e)); at++ {
			k := key(e[at])
			if k < least {
				continue
			}
			if k == least {
				rank++
				if rank > equal {
					continue
				}
			}
			taken[at/64] |= 1 << (at % 64)
			sums[i] += float64(e[at])
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

// key orders numbers as Largest does.
func key[T float32 | float64](v T) uint64 {
	switch {
	case v > 0:
		return math.Float64bits(float64(v)) + 1
	case v == 0:
		return 1
	case v < 0:
		return 0
	}
	return math.MaxUint64
}
