package edt

import (
	"math"
	"math/bits"
	"slices"

	"github.com/x/afl/internal/parallel"
)

// Counts are numbers of voxels by squared distance: Voxels[i] voxels are at Squared[i],
// which ascends.
type Counts struct {
	Squared []float64
	Voxels  []int
}

func newCounts(n int) Counts { return Counts{make([]float64, n), make([]int, n)} }

// from returns the counts from the i-th on.
func (c Counts) from(i int) Counts { return Counts{c.Squared[i:], c.Voxels[i:]} }

// add adds voxels at a distance, which is not smaller than the last one.
func (c *Counts) add(squared float64, voxels int) {
	if last := len(c.Squared) - 1; last >= 0 && c.Squared[last] == squared {
		c.Voxels[last] += voxels
		return
	}
	c.Squared, c.Voxels = append(c.Squared, squared), append(c.Voxels, voxels)
}

// countValues returns how often each number occurs and adds some more counts. No number
// is negative. It reorders the values; scratch is as long.
func countValues(values, scratch []float64, more Counts) Counts {
	if len(values) <= cachedValues {
		sortValues(values, scratch)
		return countInParts(values, []int{0, len(values)}, more)
	}
	scratch = scratch[:len(values)]
	ends := split(scratch, values)
	bounds := append([]int{0}, ends[:]...)
	parallel.Do(buckets, func() func(int) {
		return func(b int) { sortValues(scratch[bounds[b]:bounds[b+1]], values[bounds[b]:bounds[b+1]]) }
	})
	return countInParts(scratch, bounds, more)
}

// countInParts counts sorted numbers, given the bounds of parts of them that have no number
// in common, and adds some more counts.
func countInParts(sorted []float64, bounds []int, more Counts) Counts {
	parts := len(bounds) - 1
	at := make([]int, parts+1) // by part: the number of counts before it
	each(parts, 1, func() func(int) {
		return func(b int) { at[b+1] = countDistinct(sorted[bounds[b]:bounds[b+1]]) }
	})
	for b := range parts {
		at[b+1] += at[b]
	}
	// The counts go to the end of the list, after as many places as the merge will fill.
	first := 0
	for _, squared := range more.Squared {
		if _, found := slices.BinarySearch(sorted, squared); !found {
			first++
		}
	}
	counts := newCounts(first + at[parts])
	each(parts, 1, func() func(int) {
		return func(b int) { countSorted(counts.from(first+at[b]), sorted[bounds[b]:bounds[b+1]]) }
	})
	mergeCounts(counts, counts.from(first), more)
	return counts
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

// countSorted stores in dst, which is 0, how often each of the sorted numbers occurs.
func countSorted(dst Counts, sorted []float64) {
	at := -1
	for i, v := range sorted {
		if i == 0 || v != sorted[i-1] {
			at++
			dst.Squared[at] = v
		}
		dst.Voxels[at]++
	}
}

// mergeCounts stores in dst the sums of two lists of counts. a may be the end of dst.
func mergeCounts(dst, a, b Counts) {
	for ; len(b.Squared) > 0; dst = dst.from(1) {
		switch {
		case len(a.Squared) == 0 || b.Squared[0] < a.Squared[0]:
			dst.Squared[0], dst.Voxels[0] = b.Squared[0], b.Voxels[0]
			b = b.from(1)
		case a.Squared[0] < b.Squared[0]:
			dst.Squared[0], dst.Voxels[0] = a.Squared[0], a.Voxels[0]
			a = a.from(1)
		default:
			dst.Squared[0], dst.Voxels[0] = a.Squared[0], a.Voxels[0]+b.Voxels[0]
			a, b = a.from(1), b.from(1)
		}
	}
}

// Numbers that are not negative have the order of their bits, so that a radix sort can
// order them, by the bits that are not the same in all: on a grid with simple spacing
// those are few. More numbers than cachedValues are split by their highest such bits, for
// the sort to stay in the second-level cache; few are sorted by comparison.
const (
	fewValues    = 1 << 9
	cachedValues = 1 << 16
	digitBits    = 11
	bucketBits   = 8
	buckets      = 1 << bucketBits
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

// split distributes the numbers to buckets in ascending order, and returns the end of each
// bucket in dst.
func split(dst, values []float64) (ends [buckets]int) {
	low, width := varyingBits(values)
	low += max(0, width-bucketBits)
	for _, v := range values {
		ends[math.Float64bits(v)>>low%buckets]++
	}
	sum := 0
	for b, n := range ends {
		ends[b] = sum
		sum += n
	}
	for _, v := range values {
		b := math.Float64bits(v) >> low % buckets
		dst[ends[b]] = v
		ends[b]++
	}
	return ends
}

// sortValues sorts numbers that are not negative; scratch is as long.
func sortValues(values, scratch []float64) {
	if slices.IsSorted(values) { // as along a single row
		return
	}
	if len(values) <= fewValues {
		slices.Sort(values)
		return
	}
	low, width := varyingBits(values)
	switch {
	case width == 0:
	case width <= digitBits:
		sortDigit(scratch, values, low)
		copy(values, scratch)
	case len(values) > cachedValues:
		ends := split(scratch, values)
		first := 0
		for _, end := range ends {
			sortValues(scratch[first:end], values[first:end])
			first = end
		}
		copy(values, scratch)
	default:
		low += max(0, width-2*digitBits)
		sortDigit(scratch, values, low)
		sortDigit(values, scratch, low+digitBits)
		if width > 2*digitBits {
			sortTies(values, low)
		}
	}
}

// sortDigit stores the numbers in dst in the order of the digit of their bits that begins
// at bit low, those with the same digit in the order they had.
func sortDigit(dst, values []float64, low int) {
	const digits = 1 << digitBits
	dst = dst[:len(values)]
	var next [digits]int // where the next number with a digit goes
	for _, v := range values {
		next[math.Float64bits(v)>>low%digits]++
	}
	sum := 0
	for d, n := range next {
		next[d] = sum
		sum += n
	}
	for _, v := range values {
		d := math.Float64bits(v) >> low % digits
		dst[next[d]] = v
		next[d]++
	}
}

// sortTies sorts the numbers that are in order but for their bits below bit low.
func sortTies(values []float64, low int) {
	for first := 0; first < len(values); {
		high, end := math.Float64bits(values[first])>>low, first+1
		for end < len(values) && math.Float64bits(values[end])>>low == high {
			end++
		}
		if end-first > 1 {
			slices.Sort(values[first:end])
		}
		first = end
	}
}
