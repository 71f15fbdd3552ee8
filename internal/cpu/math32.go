package cpu

import (
	"math"

	"github.com/x/afl/internal/cpu/kernel"
)

// The vector kernels' exponential and logarithm, for one lane. The assembly runs
// these operations in this order on every lane, so the results have the same bits.
// fma32 stands for a fused multiply-add of the assembly; every other product is
// converted to float32 before something is added, which keeps the compiler from
// fusing the two.

// roundMagic added and subtracted rounds to a whole number, ties to even.
const roundMagic = 3 << 22

// max32 is the maximum as the processor computes it: b if a and b are equal or
// either is NaN.
func max32(a, b float32) float32 {
	if a > b {
		return a
	}
	return b
}

// min32 is the minimum as the processor computes it: b if a and b are equal or
// either is NaN.
func min32(a, b float32) float32 {
	if a < b {
		return a
	}
	return b
}

// fma32 returns a·b + c rounded once. It emulates the fused multiply-add, which Go
// does not have for float32. The product is exact in float64. The sum is rounded to
// float64 and then to float32, which differs from a single rounding only if the
// first result lies halfway between two float32. Denormals, whose spacing is another,
// are all handled like that case.
func fma32(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	s := p + float64(c)
	bits := math.Float64bits(s)
	const below, middle = 1<<29 - 1, 1 << 28 // the mantissa bits that float32 lacks
	const normal = (1023 - 126) << 52
	if bits&below == middle || bits&^(1<<63) < normal {
		s = roundToOdd(s, p, float64(c))
	}
	return float32(s)
}

// roundToOdd returns the sum of a and b rounded to odd, given s, the sum rounded to
// nearest: the exact sum, or else of the two adjacent floats the one with an odd
// last bit. It rounds to fewer bits as the exact sum does.
func roundToOdd(s, a, b float64) float64 {
	high := s - a
	lost := (a - (s - high)) + (b - high)
	bits := math.Float64bits(s)
	if lost != 0 && lost-lost == 0 && bits&1 == 0 {
		if (lost > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
	}
	return math.Float64frombits(bits)
}

// expUpTo returns eˣ within 1 ulp for every x whose exponential is finite. With
// x = n·ln 2 + r,
//
//	eˣ = 2ⁿ·(1 + (r + r²·Q(r))).
func expUpTo(x float32) float32 {
	x = max32(kernel.ExpLow, x)
	n := fma32(x, kernel.Log2E, -kernel.ExpBias) + roundMagic - roundMagic
	r := fma32(-n, kernel.Ln2Hi, x)
	r = fma32(-n, kernel.Ln2Lo, r)
	r2 := r * r
	// Pairs of terms first, a shorter dependency chain than Horner's scheme.
	low := fma32(r, kernel.ExpPoly[1], kernel.ExpPoly[0])
	high := fma32(r, kernel.ExpPoly[3], kernel.ExpPoly[2])
	high = fma32(r2, kernel.ExpPoly[4], high)
	q := fma32(high, r2, low)
	p := 1 + fma32(q, r2, r)
	// In two steps, as 2ⁿ may lie outside the range of normal numbers. The first is
	// exact, so a denormal result is rounded once.
	k := int32(n)
	half := k >> 1
	return float32(p*powerOfTwo(half)) * powerOfTwo(k-half)
}

// powerOfTwo returns 2ⁿ for n in [−126,127].
func powerOfTwo(n int32) float32 {
	return math.Float32frombits(uint32(n+127) << 23)
}

// logTail returns f² and c with log(1+f) = f + f²·c, for f in [−¼, ½].
func logTail(f float32) (f2, c float32) {
	f2 = f * f
	p01 := fma32(f, kernel.LogPoly[1], kernel.LogPoly[0])
	p23 := fma32(f, kernel.LogPoly[3], kernel.LogPoly[2])
	p45 := fma32(f, kernel.LogPoly[5], kernel.LogPoly[4])
	p67 := fma32(f, kernel.LogPoly[7], kernel.LogPoly[6])
	p := fma32(p67, f2, p45)
	p = fma32(p, f2, p23)
	p = fma32(p, f2, p01)
	return f2, fma32(p, f, -0.5)
}

// logOfSum returns log(1+f) + k·ln 2 for f in [−¼, ½].
func logOfSum(f, k float32) float32 {
	f2, c := logTail(f)
	// Largest terms last, with their rounding error added to the small ones. Either
	// whole is 0 or |whole| > |f|, so lost is exact.
	whole := float32(k * kernel.Ln2Hi)
	sum := whole + f
	lost := f - (sum - whole)
	return sum + fma32(c, f2, fma32(k, kernel.Ln2Lo, lost))
}

// log1p01 returns log(1+e) for e in [0,1], within 1 ulp.
func log1p01(e float32) float32 {
	if e >= kernel.Log1pSplit {
		f := fma32(e, 0.5, -0.5) // 1+e = 2·(1+f)
		f2, c := logTail(f)
		return fma32(c, f2, f) + kernel.Ln2
	}
	f2, c := logTail(e)
	return fma32(c, f2, e)
}

// logOnePlus returns log(1+x) for x ≥ 0, within a few ulp.
func logOnePlus(x float32) float32 {
	if x >= kernel.Log1pSplit {
		return logNormal(1 + x)
	}
	return logOfSum(x, 0) // NaN too
}

// logNormal returns log x for a positive normal x, within 1 ulp.
func logNormal(x float32) float32 { return logOfSum(split(x)) }

// split returns f in [−¼, ½] and k with x = (1+f)·2ᵏ, for a positive normal x.
func split(x float32) (f, k float32) {
	const threeQuarters = 0x3f400000 // as float32 bits
	bits := math.Float32bits(x)
	// Subtracting the bits of ¾ leaves the exponent of x/¾ on top.
	exponent := int32(bits-threeQuarters) >> 23
	return math.Float32frombits(bits-uint32(exponent<<23)) - 1, float32(exponent)
}
