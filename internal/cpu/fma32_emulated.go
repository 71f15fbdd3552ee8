//go:build !gc || !(arm64 || ppc64le || s390x)

package cpu

import "math"

// Go has no fused multiply-add of float32 here. The product is exact in float64. The
// sum is rounded to float64 and then to float32, which differs from a single rounding
// only if the first result lies halfway between two float32 and is not exact; then it
// is moved towards the exact sum first.

// quickFMA32 returns a·b + c rounded twice, and whether that is the same as rounded once. It
// is simple enough for the compiler to inline.
func quickFMA32(a, b, c float32) (sum float32, exact bool) {
	s := float64(a)*float64(b) + float64(c)
	return float32(s), !doubtful(math.Float64bits(s))
}

// doubtful reports whether a float64 may be rounded otherwise than the exact sum: one that
// is halfway, or denormal as a float32, which have another spacing. 0 is exact.
func doubtful(bits uint64) bool {
	const normal = (1023 - 126) << 52
	return halfway(bits) || bits<<1-1 < normal<<1-1
}

// fma32 returns a·b + c rounded once.
func fma32(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	s := p + float64(c)
	if bits := math.Float64bits(s); doubtful(bits) {
		high := s - p
		lost := (p - (s - high)) + (float64(c) - high)
		// Rounded to odd, that is, of the floats next to the exact sum the one with an odd
		// last bit, it rounds to fewer bits as the exact sum does.
		if outwards := s * lost; outwards > 0 {
			bits |= 1
		} else if outwards < 0 {
			bits = (bits - 1) | 1
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}

// fmaNormal is fma32 for a sum that is exact in float64 if it is not a normal float32.
// It is simple enough for the compiler to inline.
func fmaNormal(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	s := p + float64(c)
	if halfway(math.Float64bits(s)) {
		high := s - p
		outwards := s * ((p - (s - high)) + (float64(c) - high))
		if outwards > 0 {
			s *= 1 + 0x1p-30
		}
		if outwards < 0 {
			s *= 1 - 0x1p-30
		}
	}
	return float32(s)
}

// fmaExact is fma32 for a product that is exact in float32.
func fmaExact(a, b, c float32) float32 { return float32(a*b) + c }

// halfway reports whether a float64 lies halfway between two normal float32, given its
// bits: of the 29 bits that float32 lacks only the first is set.
func halfway(bits uint64) bool { return uint32(bits)<<3 == 1<<31 }
