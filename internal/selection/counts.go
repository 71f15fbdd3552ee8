package selection

import (
	"math"
	"math/bits"
	"unsafe"
)

// digit is the number of bits of a key by which numbers are counted at a time.
const (
	digit   = 11
	buckets = 1 << digit
)

// Counts counts numbers between two limits by the leading bits of the distances of their keys
// from that of the lower one.
type Counts[T float32 | float64] struct {
	base  uint64
	shift int
	n     [buckets]int32
}

// Reset begins to count numbers from low to high, or NaN where high is ∞.
func (c *Counts[T]) Reset(low, high T) {
	most := key(high)
	if math.IsInf(float64(high), 1) {
		most = key(T(math.NaN()))
	}
	c.base = key(low)
	c.shift = leadingShift(most - c.base)
	clear(c.n[:])
}

// Add counts numbers.
func (c *Counts[T]) Add(numbers []T) {
	base, shift := c.base, c.shift&63
	for _, v := range numbers {
		c.n[(key(v)-base)>>shift&(buckets-1)]++
	}
}

// Merge adds the counts of others between the same limits.
func (c *Counts[T]) Merge(others *Counts[T]) {
	for i, n := range &others.n {
		c.n[i] += n
	}
}

// Bracket is a range of keys.
type Bracket struct{ least, most uint64 }

// Bracket returns the bucket of the m-th largest number, of at least m, and how many of that
// bucket are among the m largest.
func (c *Counts[T]) Bracket(m int) (b Bracket, rest int) {
	bucket, rest := bucketOf(m, &c.n)
	least := c.base + uint64(bucket)<<c.shift
	most, overflow := bits.Add64(least, 1<<c.shift-1, 0)
	if overflow != 0 {
		most = math.MaxUint64
	}
	return Bracket{least, most}, rest
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

// key orders numbers as [Selector.Cut] does.
func key[T float32 | float64](v T) uint64 {
	// Not a type switch, which the compiler does not resolve for a type parameter. The bits
	// of a negative number are inverted, else the sign alone. −0 is 0.
	if unsafe.Sizeof(v) == 4 {
		b := math.Float32bits(float32(v))
		if b<<1 > 0xff<<24 { // NaN
			return math.MaxUint32
		}
		if b == 1<<31 {
			b = 0
		}
		return uint64(b ^ (uint32(int32(b)>>31) | 1<<31))
	}
	b := math.Float64bits(float64(v))
	if b<<1 > 0x7ff<<53 { // NaN
		return math.MaxUint64
	}
	if b == 1<<63 {
		b = 0
	}
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}
