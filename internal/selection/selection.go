// Package selection finds the largest of many numbers without sorting them.
package selection

import (
	"math"
	"math/bits"
	"unsafe"

	"github.com/x/afl/internal/parallel"
)

// Selector selects the largest numbers. It keeps its memory for the next call. The zero
// value is ready for use.
type Selector[T float32 | float64] struct {
	items  []Item[T]
	taken  []uint32
	parts  []part
	counts [][buckets]int32
}

// Item is a number and its position.
type Item[T float32 | float64] struct {
	Value T
	At    uint32
}

// part is what is known of a part.
type part struct {
	items    int
	all, any uint64 // the bits that are set in all and in any of the keys
	above    int    // items that are above the least one taken
	equal    int    // and that are equal to it
	from     int    // where its positions begin in the result
}

// digit is the number of bits of a key by which items are counted at a time.
const (
	digit   = 11
	buckets = 1 << digit
)

// Largest returns the positions of the m largest items, in the order of the items; of equal
// ones the first are taken. NaN is larger than any number, and −0 is 0. It returns nil if
// there are fewer than m. The result is in the selector's memory, until the next call.
//
// fill is called concurrently, once for each part. It stores at most size items in dst and
// returns how many.
//
// Items are counted by the leading ones of the bits of their keys that differ, then those
// that share these with the least one taken by the next bits, and so on.
func (s *Selector[T]) Largest(m, parts, size int, fill func(part int, dst []Item[T]) int) []uint32 {
	s.items = grown(s.items, parts*size)
	s.parts, s.counts = grown(s.parts, parts), grown(s.counts, parts)
	items := func(i int) []Item[T] { return s.items[i*size:][:s.parts[i].items] }
	parallel.Each(parts, func(i int) {
		p := part{items: fill(i, s.items[i*size:(i+1)*size]), all: ^uint64(0)}
		for _, it := range s.items[i*size:][:p.items] {
			k := key(it.Value)
			p.all &= k
			p.any |= k
		}
		s.parts[i] = p
	})
	total, all, some := 0, ^uint64(0), uint64(0)
	for i := range s.parts {
		total += s.parts[i].items
		all &= s.parts[i].all
		some |= s.parts[i].any
	}
	if total < m {
		return nil
	}
	least, equal := leastKey(m, s.counts, some, all, items)
	parallel.Each(parts, func(i int) {
		p := &s.parts[i]
		p.above, p.equal = compare(items(i), least)
	})
	s.taken = grown(s.taken, m)
	at := 0
	for i := range s.parts {
		p := &s.parts[i]
		p.equal = min(p.equal, equal)
		equal -= p.equal
		p.from, at = at, at+p.above+p.equal
	}
	parallel.Each(parts, func(i int) {
		p := s.parts[i]
		take(items(i), s.taken[p.from:][:p.above+p.equal], least, p.equal)
	})
	return s.taken
}

// leastKey returns the key of the least of the m largest items, which are given in as many
// parts as there are counts, and how many that equal it are among them. The bits of the keys
// are set in some or in all of them.
func leastKey[T float32 | float64](m int, counts [][buckets]int32, some, all uint64, items func(part int) []Item[T]) (least uint64, equal int) {
	// Known are the bits from shift on.
	shift := bits.Len64(some &^ all)
	least, equal = some>>shift<<shift, m
	for shift > 0 {
		next := max(shift-digit, 0)
		parallel.Each(len(counts), func(i int) { count(items(i), &counts[i], least, shift, next) })
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
	return least, equal
}

// count stores how many items there are for each value of the bits [next,shift) of the key,
// of those that share the bits above with least.
func count[T float32 | float64](items []Item[T], counts *[buckets]int32, least uint64, shift, next int) {
	clear(counts[:])
	for i := range items {
		if k := key(items[i].Value); k>>(shift&63) == least>>(shift&63) || shift == 64 {
			counts[k>>(next&63)&(1<<(shift-next)-1)&(buckets-1)]++
		}
	}
}

// compare returns how many items have a key above least, and how many have it.
func compare[T float32 | float64](items []Item[T], least uint64) (above, equal int) {
	for i := range items {
		k := key(items[i].Value)
		if k > least {
			above++
		}
		if k == least {
			equal++
		}
	}
	return above, equal
}

// take stores the positions of the items that are above least, and of the first that are
// equal to it.
func take[T float32 | float64](items []Item[T], taken []uint32, least uint64, equal int) {
	n := 0
	for i := range items {
		if n == len(taken) {
			return
		}
		taken[n] = items[i].At // stored in any case, which takes no branch at random
		k := key(items[i].Value)
		if k > least {
			n++
		}
		if k == least && equal > 0 {
			n++
			equal--
		}
	}
}

// Bound returns a number that almost certainly at least the given share of all numbers
// reach, and not many more, from a random sample of them. It is −∞ for a small sample.
func Bound[T float32 | float64](sample []T, share float64) T {
	n := float64(len(sample))
	// The standard deviation of the rank of the share is that of a binomial distribution.
	rank := int(n*share + 4*math.Sqrt(n*share*max(0, 1-share)) + 8)
	if rank >= len(sample) {
		return T(math.Inf(-1))
	}
	items := make([]Item[T], len(sample))
	all, some := ^uint64(0), uint64(0)
	for i, v := range sample {
		items[i] = Item[T]{v, uint32(i)}
		all &= key(v)
		some |= key(v)
	}
	least, _ := leastKey(rank, make([][buckets]int32, 1), some, all, func(int) []Item[T] { return items })
	for _, v := range sample {
		if key(v) == least && v == v {
			return v
		}
	}
	return T(math.Inf(1)) // as many are NaN
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

// grown returns s with n elements, whatever they are.
func grown[E any](s []E, n int) []E {
	if cap(s) < n {
		return make([]E, n)
	}
	return s[:n]
}
