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
	keys   []uint64
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
	keys     int    // items whose key shares its leading bits with that of the least one taken
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
// Items are counted by the leading ones of the bits of their keys that differ. The keys that
// share these with that of the least item taken are counted by the next bits, and so on.
func (s *Selector[T]) Largest(m, parts, size int, fill func(part int, dst []Item[T]) int) []uint32 {
	s.items, s.keys = grown(s.items, parts*size), grown(s.keys, parts*size)
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
	field := leading(bits.Len64(some &^ all))
	parallel.Each(parts, func(i int) { countItems(items(i), &s.counts[i], field) })
	b, equal := bucketOf(m, s.counts)
	parallel.Each(parts, func(i int) {
		p := &s.parts[i]
		for _, n := range s.counts[i][b+1:] {
			p.above += int(n)
		}
		p.keys = collect(items(i), s.keys[i*size:(i+1)*size], field, b)
	})
	keys := func(i int) []uint64 { return s.keys[i*size:][:s.parts[i].keys] }
	least := some>>field.end()<<field.end() | uint64(b)<<field.shift
	least, equal = leastKey(equal, s.counts, least, field.shift, keys)
	s.taken = grown(s.taken, m)
	at, left := 0, equal
	for i := range s.parts {
		p := &s.parts[i]
		for _, k := range keys(i) {
			if k > least {
				p.above++
			}
			if k == least && p.equal < left {
				p.equal++
			}
		}
		left -= p.equal
		p.from, at = at, at+p.above+p.equal
	}
	parallel.Each(parts, func(i int) {
		p := s.parts[i]
		take(items(i), s.taken[p.from:][:p.above+p.equal], least, p.equal)
	})
	return s.taken
}

// bitField is a range of the bits of a key, at most digit of them.
type bitField struct{ shift, width int }

// leading returns the leading ones of so many bits.
func leading(n int) bitField {
	shift := max(n-digit, 0)
	return bitField{shift, n - shift}
}

func (f bitField) end() int { return f.shift + f.width }

func (f bitField) of(key uint64) uint64 {
	return key >> (f.shift & 63) & (1<<f.width - 1) & (buckets - 1)
}

// bucketOf returns the bucket of the m-th largest, and how many of that bucket are among the
// m largest.
func bucketOf(m int, counts [][buckets]int32) (bucket, rest int) {
	for bucket = buckets - 1; ; bucket-- {
		n := 0
		for i := range counts {
			n += int(counts[i][bucket])
		}
		if m <= n {
			return bucket, m
		}
		m -= n
	}
}

// leastKey returns the least of the m largest keys, and how many that equal it are among
// them. The keys are given in as many parts as there are counts. They share the bits from
// shift on with least.
func leastKey(m int, counts [][buckets]int32, least uint64, shift int, keys func(part int) []uint64) (uint64, int) {
	for shift > 0 {
		f := leading(shift)
		for i := range counts {
			clear(counts[i][:])
			for _, k := range keys(i) {
				if shift == 64 || k>>(shift&63) == least>>(shift&63) {
					counts[i][f.of(k)]++
				}
			}
		}
		var b int
		b, m = bucketOf(m, counts)
		least, shift = least|uint64(b)<<f.shift, f.shift
	}
	return least, m
}

// countItems stores how many items there are for each value of a bit field of the key.
func countItems[T float32 | float64](items []Item[T], counts *[buckets]int32, f bitField) {
	clear(counts[:])
	for i := range items {
		counts[f.of(key(items[i].Value))]++
	}
}

// collect stores the keys with a value of a bit field and returns how many there are.
func collect[T float32 | float64](items []Item[T], keys []uint64, f bitField, value int) (n int) {
	for i := range items {
		if k := key(items[i].Value); f.of(k) == uint64(value) {
			keys[n] = k
			n++
		}
	}
	return n
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
	keys := make([]uint64, len(sample))
	all, some := ^uint64(0), uint64(0)
	for i, v := range sample {
		keys[i] = key(v)
		all &= keys[i]
		some |= keys[i]
	}
	shift := bits.Len64(some &^ all)
	least, _ := leastKey(rank, make([][buckets]int32, 1), some>>shift<<shift, shift, func(int) []uint64 { return keys })
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
