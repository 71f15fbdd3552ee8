// Package selection finds the largest of many numbers without sorting them.
package selection

import (
	"math"
	"math/bits"
	"runtime"
	"slices"

	"github.com/x/afl/internal/parallel"
)

// Selector selects the largest numbers. It keeps its memory for the next call. The zero
// value is ready for use.
type Selector[T float32 | float64] struct {
	groups []group[T]
	keys   []uint64 // of the last bucket
}

// List are numbers and their positions.
type List[T float32 | float64] struct {
	Values []T
	At     []uint32
}

// group is a range of parts, the work of one goroutine.
type group[T float32 | float64] struct {
	from, to int // its parts
	counts   Counts[T]
	keys     []uint64 // that share a bucket with the least one taken
}

// groupItems is about the number of items that are worth a goroutine.
const groupItems = 4096

// Cut says which items are among the largest.
type Cut struct {
	least uint64 // key of the least one taken
	// equal is how many of each part are taken that are equal to the least one, the first; nil
	// stands for all.
	equal []int
}

// Cut returns what says which the m largest of the items in all parts are; of equal ones the
// first. NaN is larger than any number, and −0 is 0. ok is false if there are fewer. The items are
// from low to high, or NaN where high is ∞.
//
// Items are counted by the leading bits of the distances of their keys from that of low.
// The keys in the bucket of the least item taken are counted by the next bits, and so on.
func (s *Selector[T]) Cut(m int, parts []List[T], low, high T) (cut Cut, ok bool) {
	total := 0
	for i := range parts {
		total += len(parts[i].Values)
	}
	if total <= m {
		return Cut{}, total == m // all: no key is less than 0
	}
	if m == 0 {
		return Cut{least: math.MaxUint64, equal: make([]int, len(parts))}, true
	}
	s.divide(total, len(parts))
	s.each(func(g *group[T]) {
		g.counts.Reset(low, high)
		for _, part := range parts[g.from:g.to] {
			g.counts.Add(part.Values)
		}
	})
	counts := &s.groups[0].counts
	for i := range s.groups[1:] {
		counts.Merge(&s.groups[1+i].counts)
	}
	bracket, rest := counts.Bracket(m)
	s.each(func(g *group[T]) {
		g.keys = g.keys[:0]
		for _, part := range parts[g.from:g.to] {
			for _, v := range part.Values {
				if k := key(v); k >= bracket.least && k <= bracket.most {
					g.keys = append(g.keys, k)
				}
			}
		}
	})
	s.keys = s.keys[:0]
	for i := range s.groups {
		s.keys = append(s.keys, s.groups[i].keys...)
	}
	least, taken, equal := ranked(rest, s.keys, &counts.n)
	cut.least = least
	if taken < equal {
		cut.equal = shared(parts, least, taken)
	}
	return cut, true
}

// shared returns how many of each part are the first n that are equal to the least one taken.
func shared[T float32 | float64](parts []List[T], least uint64, n int) []int {
	equal := make([]int, len(parts))
	parallel.Each(len(parts), func(i int) {
		for _, v := range parts[i].Values {
			if key(v) == least {
				equal[i]++
			}
		}
	})
	for i := range equal {
		equal[i] = min(equal[i], n)
		n -= equal[i]
	}
	return equal
}

// Take leaves those items of a part that are taken, in order.
func (l *List[T]) Take(cut Cut, part int) {
	l.keep(cut, part, 0, math.MaxUint64, true)
}

// Differing leaves those items of a part that are taken and not above a number, or else those
// above it that are not taken, in order, and reports whether they are taken: never are there
// both.
func (l *List[T]) Differing(cut Cut, part int, number T) (taken bool) {
	k := key(number)
	if taken = cut.least <= k; taken {
		l.keep(cut, part, 0, k, true)
	} else {
		l.keep(cut, part, k+1, math.MaxUint64, false)
	}
	return taken
}

// Split is [List.Differing] where the least one taken is in a bracket: it decides about the items
// outside of it, and moves those inside to another list, in order.
func (l *List[T]) Split(b Bracket, number T, inside *List[T]) (taken bool) {
	k := key(number)
	low, high := b.most+1, k
	if taken = b.most < k; !taken {
		low, high = k+1, b.least-1 // none where the number is in the bracket
	}
	inside.Values, inside.At = inside.Values[:0], inside.At[:0]
	n, at := 0, l.At[:len(l.Values)]
	for i, v := range l.Values {
		position := at[i]
		l.Values[n], at[n] = v, position // in any case: a branch at random takes longer
		k := key(v)
		n += within(k, low, high)
		if k >= b.least && k <= b.most {
			inside.Values, inside.At = append(inside.Values, v), append(inside.At, position)
		}
	}
	l.Values, l.At = l.Values[:n], at[:n]
	return taken
}

// keep leaves those items of a part with keys from low to high that are taken, or are not.
func (l *List[T]) keep(cut Cut, part int, low, high uint64, taken bool) {
	equal := len(l.Values) // left of those that are equal to the least one taken
	if cut.equal != nil {
		equal = cut.equal[part]
	} else if taken {
		low = max(low, cut.least)
	} else {
		high = min(high, cut.least-1)
	}
	n, at := 0, l.At[:len(l.Values)]
	for i, v := range l.Values {
		l.Values[n], at[n] = v, at[i] // in any case: a branch at random takes longer
		k := key(v)
		in := within(k, low, high)
		n += in
		if cut.equal == nil {
			continue
		}
		is := k > cut.least
		if k == cut.least && equal > 0 {
			is = true
			equal--
		}
		if is != taken {
			n -= in
		}
	}
	l.Values, l.At = l.Values[:n], at[:n]
}

// within is 1 if a key is from low to high, else 0, without a branch.
func within(k, low, high uint64) int {
	_, under := bits.Sub64(k, low, 0)
	_, over := bits.Sub64(high, k, 0)
	return int(1 - (under | over))
}

// divide makes groups of parts.
func (s *Selector[T]) divide(items, parts int) {
	n := max(1, min(items/groupItems, 2*runtime.GOMAXPROCS(0), parts))
	s.groups = slices.Grow(s.groups[:0], n)[:n]
	for i := range s.groups {
		s.groups[i].from, s.groups[i].to = i*parts/n, (i+1)*parts/n
	}
}

func (s *Selector[T]) each(f func(g *group[T])) {
	parallel.Each(len(s.groups), func(i int) { f(&s.groups[i]) })
}

// ranked returns the m-th largest key, how many that are equal to it are among the m largest,
// and how many are equal to it. It overwrites keys and counts.
func ranked(m int, keys []uint64, counts *[buckets]int32) (least uint64, taken, equal int) {
	for {
		base, most := slices.Min(keys), slices.Max(keys)
		if base == most {
			return base, m, len(keys)
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
