// Package selection finds the largest of many numbers without sorting them.
package selection

import (
	"math"
	"math/bits"
	"runtime"
	"slices"
	"unsafe"

	"github.com/x/afl/internal/parallel"
)

// Selector selects the largest numbers. It keeps its memory for the next call. The zero
// value is ready for use.
type Selector[T float32 | float64] struct {
	groups []group
	keys   []uint64 // of the last bucket
}

// Item is a number and its position.
type Item[T float32 | float64] struct {
	Value T
	At    uint32
}

// group is a range of parts, the work of one goroutine.
type group struct {
	from, to int // its parts
	counts   [buckets]int32
	keys     []uint64 // that share a bucket with the least one taken
	equal    int      // how many of those that are equal to the least one taken are taken
}

// digit is the number of bits of a key by which items are counted at a time.
const (
	digit   = 11
	buckets = 1 << digit
)

// groupItems is about the number of items that are worth a goroutine.
const groupItems = 8192

// Largest leaves the m largest of the items in all parts, in order; of equal ones the first. NaN
// is larger than any number, and −0 is 0. It returns false, and leaves all, if there are fewer.
// The items are from low to high, or NaN where high is ∞.
//
// Items are counted by the leading bits of the distances of their keys from that of low.
// The keys in the bucket of the least item taken are counted by the next bits, and so on.
func (s *Selector[T]) Largest(m int, parts [][]Item[T], low, high T) bool {
	total := 0
	for _, part := range parts {
		total += len(part)
	}
	if total <= m {
		return total == m
	}
	if m == 0 {
		for i, part := range parts {
			parts[i] = part[:0]
		}
		return true
	}
	s.divide(total, len(parts))
	base, most := key(low), key(high)
	if math.IsInf(float64(high), 1) {
		most = key(T(math.NaN()))
	}
	shift := leadingShift(most - base)
	s.each(func(g *group) {
		clear(g.counts[:])
		for _, part := range parts[g.from:g.to] {
			for i := range part {
				g.counts[(key(part[i].Value)-base)>>shift&(buckets-1)]++
			}
		}
	})
	counts := &s.groups[0].counts
	for i := range s.groups[1:] {
		for b, n := range s.groups[1+i].counts[:] {
			counts[b] += n
		}
	}
	bucket, rest := bucketOf(m, counts)
	s.each(func(g *group) {
		g.keys = g.keys[:0]
		for _, part := range parts[g.from:g.to] {
			for i := range part {
				if k := key(part[i].Value); (k-base)>>shift == uint64(bucket) {
					g.keys = append(g.keys, k)
				}
			}
		}
	})
	s.keys = s.keys[:0]
	for i := range s.groups {
		s.keys = append(s.keys, s.groups[i].keys...)
	}
	least, equal := ranked(rest, s.keys, counts)
	for i := range s.groups {
		g := &s.groups[i]
		g.equal = 0
		for _, k := range g.keys {
			if k == least && g.equal < equal {
				g.equal++
			}
		}
		equal -= g.equal
	}
	s.each(func(g *group) {
		for i := g.from; i < g.to; i++ {
			parts[i] = take(parts[i], least, &g.equal)
		}
	})
	return true
}

// divide makes groups of parts.
func (s *Selector[T]) divide(items, parts int) {
	n := max(1, min(items/groupItems, 2*runtime.GOMAXPROCS(0), parts))
	s.groups = slices.Grow(s.groups[:0], n)[:n]
	for i := range s.groups {
		s.groups[i].from, s.groups[i].to = i*parts/n, (i+1)*parts/n
	}
}

func (s *Selector[T]) each(f func(g *group)) {
	parallel.Each(len(s.groups), func(i int) { f(&s.groups[i]) })
}

// leadingShift returns the shift that leaves the leading bits of numbers up to most, at most
// digit of them.
func leadingShift(most uint64) int { return max(bits.Len64(most)-digit, 0) & 63 }

// bucketOf returns the bucket of the m-th largest, and how many of that bucket are among the
// m largest.
func bucketOf(m int, counts *[buckets]int32) (bucket, rest int) {
	for bucket = buckets - 1; int(counts[bucket]) < m; bucket-- {
		m -= int(counts[bucket])
	}
	return bucket, m
}

// ranked returns the m-th largest key, and how many that are equal to it are among the m
// largest. It overwrites keys and counts.
func ranked(m int, keys []uint64, counts *[buckets]int32) (least uint64, equal int) {
	for {
		base, most := slices.Min(keys), slices.Max(keys)
		if base == most {
			return base, m
		}
		shift := leadingShift(most - base)
		clear(counts[:])
		for _, k := range keys {
			counts[(k-base)>>shift&(buckets-1)]++
		}
		var bucket int
		bucket, m = bucketOf(m, counts)
		keys = slices.DeleteFunc(keys, func(k uint64) bool { return (k-base)>>shift != uint64(bucket) })
	}
}

// take keeps the items that are above least, and the first that are equal to it, and takes
// those off their number.
func take[T float32 | float64](items []Item[T], least uint64, equal *int) []Item[T] {
	n, left := 0, *equal
	for _, it := range items {
		items[n] = it // in any case, which takes no branch at random
		k := key(it.Value)
		taken := 0
		if k > least {
			taken = 1
		}
		if k == least && left > 0 {
			taken = 1
			left--
		}
		n += taken
	}
	*equal = left
	return items[:n]
}

// Window returns two numbers between which the least of the given share of the largest numbers
// lies, with a probability of 99.7 %, from a random sample of all numbers. low is −∞ and high ∞
// where the sample is too small.
func (s *Selector[T]) Window(sample []T, share float64) (low, high T) {
	low, high = T(math.Inf(-1)), T(math.Inf(1))
	n := len(sample)
	// The standard deviation of the rank of the share is that of a binomial distribution.
	rank := float64(float64(n) * share)
	deviation := 3*math.Sqrt(rank*max(0, 1-share)) + 3
	first, last := int(rank-deviation), int(rank+deviation)+1 // in descending order, from 1 on
	if first < 1 && last > n {
		return low, high
	}
	base, most := uint64(math.MaxUint64), uint64(0)
	s.keys = s.keys[:0]
	for _, v := range sample {
		k := key(v)
		base, most = min(base, k), max(most, k)
		s.keys = append(s.keys, k)
	}
	shift := leadingShift(most - base)
	var counts [buckets]int32
	for _, k := range s.keys {
		counts[(k-base)>>shift&(buckets-1)]++
	}
	top, rest := bucketOf(max(first, 1), &counts)
	bottom, _ := bucketOf(min(last, n), &counts)
	above := max(first, 1) - rest // keys in higher buckets
	keys := slices.DeleteFunc(s.keys, func(k uint64) bool {
		b := (k - base) >> shift
		return b < uint64(bottom) || b > uint64(top)
	})
	slices.Sort(keys)
	ranked := func(rank int) T {
		v := number[T](keys[len(keys)-(rank-above)])
		if v != v {
			return T(math.Inf(1)) // NaN is no limit
		}
		return v
	}
	if first >= 1 {
		high = ranked(first)
	}
	if last <= n {
		low = ranked(last)
	}
	return low, high
}

// key orders numbers as Largest does.
func key[T float32 | float64](v T) uint64 {
	if v != v {
		return math.MaxUint64 >> (64 - 8*unsafe.Sizeof(v))
	}
	v += 0 // makes 0 of −0
	// Not a type switch, which the compiler does not resolve for a type parameter. The bits
	// of a negative number are inverted, else the sign alone.
	if unsafe.Sizeof(v) == 4 {
		b := *(*uint32)(unsafe.Pointer(&v))
		return uint64(b ^ (uint32(int32(b)>>31) | 1<<31))
	}
	b := *(*uint64)(unsafe.Pointer(&v))
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

// number returns the number of a key.
func number[T float32 | float64](k uint64) T {
	if unsafe.Sizeof(T(0)) == 4 {
		b := uint32(k)
		return T(math.Float32frombits(b ^ (^uint32(int32(b)>>31) | 1<<31)))
	}
	return T(math.Float64frombits(k ^ (^uint64(int64(k)>>63) | 1<<63)))
}
