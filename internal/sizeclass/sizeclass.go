// Package sizeclass rounds the sizes of buffers that a pool reuses.
package sizeclass

import "math/bits"

// Round rounds n up to its size class: a multiple of granule, a power of two, up
// to 8·granule, and beyond that one of eight evenly spaced sizes per power of two.
// Buffers of volumes that differ a little then have the same size and can be
// reused for one another. The result exceeds n by at most n/8 or granule−1,
// whichever is larger. An n below 1 counts as 1.
func Round[T int | int64](n, granule T) T {
	n = max(n, 1)
	step := max(granule, T(1)<<max(bits.Len64(uint64(n-1))-4, 0))
	return (n + step - 1) / step * step
}
