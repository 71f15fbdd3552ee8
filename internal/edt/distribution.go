package edt

import (
	"math"
	"math/bits"
	"slices"

	"github.com/x/afl/internal/parallel"
)

// Distribution is the weight at each squared distance: Weight[i], a number of voxels or an
// area, is at Squared[i], which ascends.
type Distribution struct{ Squared, Weight []float64 }

func newDistribution(n int) Distribution { return Distribution{make([]float64, n), make([]float64, n)} }

// from returns the distribution from the i-th distance on.
func (d Distribution) from(i int) Distribution { return Distribution{d.Squared[i:], d.Weight[i:]} }

// add adds weight at a distance, which is not smaller than the last one.
func (d *Distribution) add(squared, weight float64) {
	if last := len(d.Squared) - 1; last >= 0 && d.Squared[last] == squared {
		d.Weight[last] += weight
		return
	}
	d.Squared, d.Weight = append(d.Squared, squared), append(d.Weight, weight)
}

// samples are squared distances in any order, with the code of the corner that each belongs
// to. There are no codes for voxels, of which each has the weight 1.
type samples struct {
	squared []float64
	codes   []uint8
}

func newSamples(n int, codes bool) samples {
	s := samples{squared: make([]float64, n)}
	if codes {
		s.codes = make([]uint8, n)
	}
	return s
}

// part returns the samples from the first to the end, exclusive.
func (s samples) part(first, end int) samples {
	p := samples{squared: s.squared[first:end]}
	if s.codes != nil {
		p.codes = s.codes[first:end]
	}
	return p
}

// copy copies samples as many as there are.
func (s samples) copy(from samples) {
	copy(s.squared, from.squared)
	copy(s.codes, from.codes)
}

// distribution returns the distribution of samples with some more weights. areas has the
// weight of a sample by its code. It reorders the samples; scratch is as long.
func (s samples) distribution(scratch samples, areas *Areas, more Distribution) Distribution {
	n := len(s.squared)
	if n <= cachedSamples {
		s.sort(scratch)
		return s.inParts([]int{0, n}, areas, more)
	}
	ends := s.split(scratch)
	bounds := append([]int{0}, ends[:]...)
	parallel.Do(buckets, func() func(int) {
		return func(b int) { scratch.part(bounds[b], bounds[b+1]).sort(s.part(bounds[b], bounds[b+1])) }
	})
	return scratch.inParts(bounds, areas, more)
}

// inParts returns the distribution of sorted samples, given the bounds of parts of them that
// have no distance in common, with some more weights.
func (s samples) inParts(bounds []int, areas *Areas, more Distribution) Distribution {
	parts := len(bounds) - 1
	at := make([]int, parts+1) // by part: the number of distances before it
	each(parts, 1, func() func(int) {
		return func(b int) { at[b+1] = countDistinct(s.squared[bounds[b]:bounds[b+1]]) }
	})
	for b := range parts {
		at[b+1] += at[b]
	}
	// The weights go to the end of the list, after as many places as the merge will fill.
	first := 0
	for _, squared := range more.Squared {
		if _, found := slices.BinarySearch(s.squared, squared); !found {
			first++
		}
	}
	d := newDistribution(first + at[parts])
	each(parts, 1, func() func(int) {
		return func(b int) { s.part(bounds[b], bounds[b+1]).sum(d.from(first+at[b]), areas) }
	})
	merge(d, d.from(first), more)
	return d
}

// countDistinct returns how many different numbers there are among sorted ones.
func countDistinct(sorted []float64) int {
	n := 0
	for i, v := range sorted {
		if i == 0 || v != sorted[i-1] {
			n++
		}
	}
	return n
}

// sum stores in dst the weight at each distance of sorted samples.
func (s samples) sum(dst Distribution, areas *Areas) {
	at := 0
	for first := 0; first < len(s.squared); at++ {
		squared, end := s.squared[first], first+1
		for end < len(s.squared) && s.squared[end] == squared {
			end++
		}
		weight := float64(end - first)
		if s.codes != nil {
			weight = areas.total(s.codes[first:end])
		}
		dst.Squared[at], dst.Weight[at] = squared, weight
		first = end
	}
}

// merge stores in dst the sums of two distributions. a may be the end of dst.
func merge(dst, a, b Distribution) {
	for ; len(b.Squared) > 0; dst = dst.from(1) {
		switch {
		case len(a.Squared) == 0 || b.Squared[0] < a.Squared[0]:
			dst.Squared[0], dst.Weight[0] = b.Squared[0], b.Weight[0]
			b = b.from(1)
		case a.Squared[0] < b.Squared[0]:
			dst.Squared[0], dst.Weight[0] = a.Squared[0], a.Weight[0]
			a = a.from(1)
		default:
			dst.Squared[0], dst.Weight[0] = a.Squared[0], a.Weight[0]+b.Weight[0]
			a, b = a.from(1), b.from(1)
		}
	}
}

// Numbers that are not negative have the order of their bits, so that a radix sort can
// order them, by the bits that are not the same in all: on a grid with simple spacing
// those are few. More samples than cachedSamples are split by their highest such bits, for
// the sort to stay in the second-level cache; few are sorted by comparison: many fewer
// where codes have to move with the distances.
const (
	fewVoxels     = 1 << 9
	fewCorners    = 1 << 5
	cachedSamples = 1 << 16
	digitBits     = 11
	bucketBits    = 8
	buckets       = 1 << bucketBits
)

// varyingBits returns the lowest bit that is not the same in all of the numbers, and the
// number of bits from it to the highest, or 0 if there are none.
func varyingBits(values []float64) (low, width int) {
	all, any := ^uint64(0), uint64(0)
	for _, v := range values {
		b := math.Float64bits(v)
		all &= b
		any |= b
	}
	if all == any {
		return 0, 0
	}
	low = bits.TrailingZeros64(any &^ all)
	return low, bits.Len64(any&^all) - low
}

// split distributes the samples to buckets in ascending order of their distances, and
// returns the end of each bucket in dst.
func (s samples) split(dst samples) (ends [buckets]int) {
	low, width := varyingBits(s.squared)
	low += max(0, width-bucketBits)
	for _, v := range s.squared {
		ends[math.Float64bits(v)>>low%buckets]++
	}
	sum := 0
	for b, n := range ends {
		ends[b] = sum
		sum += n
	}
	for i, v := range s.squared {
		b := math.Float64bits(v) >> low % buckets
		dst.squared[ends[b]] = v
		if s.codes != nil {
			dst.codes[ends[b]] = s.codes[i]
		}
		ends[b]++
	}
	return ends
}

// sort sorts the samples by their distances, which are not negative, those at the same
// distance in the order that they had; scratch is as long.
func (s samples) sort(scratch samples) {
	n := len(s.squared)
	switch {
	case slices.IsSorted(s.squared): // as along a single row
		return
	case s.codes == nil && n <= fewVoxels:
		slices.Sort(s.squared)
		return
	case s.codes != nil && n <= fewCorners:
		s.insert()
		return
	}
	low, width := varyingBits(s.squared)
	switch {
	case width <= digitBits:
		s.sortDigit(scratch, low)
		s.copy(scratch)
	case n > cachedSamples:
		ends := s.split(scratch)
		first := 0
		for _, end := range ends {
			scratch.part(first, end).sort(s.part(first, end))
			first = end
		}
		s.copy(scratch)
	default:
		low += max(0, width-2*digitBits)
		s.sortDigit(scratch, low)
		scratch.sortDigit(s, low+digitBits)
		if width > 2*digitBits {
			s.sortTies(scratch, low)
		}
	}
}

// insert sorts few samples.
func (s samples) insert() {
	for i := 1; i < len(s.squared); i++ {
		squared, code, j := s.squared[i], s.codes[i], i
		for ; j > 0 && s.squared[j-1] > squared; j-- {
			s.squared[j], s.codes[j] = s.squared[j-1], s.codes[j-1]
		}
		s.squared[j], s.codes[j] = squared, code
	}
}

// sortDigit stores the samples in dst in the order of the digit of their distances' bits
// that begins at bit low, those with the same digit in the order they had.
func (s samples) sortDigit(dst samples, low int) {
	const digits = 1 << digitBits
	to := dst.squared[:len(s.squared)]
	var next [digits]int // where the next sample with a digit goes
	for _, v := range s.squared {
		next[math.Float64bits(v)>>low%digits]++
	}
	sum := 0
	for d, n := range next {
		next[d] = sum
		sum += n
	}
	if s.codes == nil {
		for _, v := range s.squared {
			d := math.Float64bits(v) >> low % digits
			to[next[d]] = v
			next[d]++
		}
		return
	}
	codes, toCodes := s.codes[:len(s.squared)], dst.codes[:len(s.squared)]
	for i, v := range s.squared {
		d := math.Float64bits(v) >> low % digits
		at := next[d]
		to[at], toCodes[at] = v, codes[i]
		next[d] = at + 1
	}
}

// sortTies sorts samples that are in order but for the bits of their distances below bit
// low.
func (s samples) sortTies(scratch samples, low int) {
	for first := 0; first < len(s.squared); {
		high, end := math.Float64bits(s.squared[first])>>low, first+1
		for end < len(s.squared) && math.Float64bits(s.squared[end])>>low == high {
			end++
		}
		if end-first > 1 {
			s.part(first, end).sort(scratch.part(first, end))
		}
		first = end
	}
}
