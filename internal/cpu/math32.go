package cpu

import (
	"math"

	"github.com/x/afl/internal/cpu/kernel"
)

// The vector kernels' exponential and logarithm, for one lane. The assembly runs
// these operations in this order on every lane, so the results have the same bits.
// fma32, fmaNormal and fmaExact stand for a fused multiply-add of the assembly; every
// other product is converted to float32 before something is added, which keeps the
// compiler from fusing the two. None of the sums below is denormal, save where the
// product is 0, so fmaNormal is enough.

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

// expUpTo returns eˣ within 1 ulp for every x whose exponential is finite. With
// x = n·ln 2 + r,
//
//	eˣ = 2ⁿ·(1 + (r + r²·Q(r))).
func expUpTo(x float32) float32 {
	x = max32(kernel.ExpLow, x)
	n := fmaNormal(x, kernel.Log2E, -kernel.ExpBias) + roundMagic - roundMagic
	r := fmaExact(-n, kernel.Ln2Hi, x)
	r = fmaNormal(-n, kernel.Ln2Lo, r)
	r2 := r * r
	// Pairs of terms first, a shorter dependency chain than Horner's scheme.
	low := fmaNormal(r, kernel.ExpPoly1, kernel.ExpPoly0)
	high := fmaNormal(r, kernel.ExpPoly3, kernel.ExpPoly2)
	high = fmaNormal(r2, kernel.ExpPoly4, high)
	q := fmaNormal(high, r2, low)
	p := 1 + fmaNormal(q, r2, r)
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
	p01 := fmaNormal(f, kernel.LogPoly1, kernel.LogPoly0)
	p23 := fmaNormal(f, kernel.LogPoly3, kernel.LogPoly2)
	p45 := fmaNormal(f, kernel.LogPoly5, kernel.LogPoly4)
	p67 := fmaNormal(f, kernel.LogPoly7, kernel.LogPoly6)
	p := fmaNormal(p67, f2, p45)
	p = fmaNormal(p, f2, p23)
	p = fmaNormal(p, f2, p01)
	return f2, fmaNormal(p, f, -0.5)
}

// logOfSum returns log(1+f) + k·ln 2 for f in [−¼, ½].
func logOfSum(f, k float32) float32 {
	f2, c := logTail(f)
	// Largest terms last, with their rounding error added to the small ones. Either
	// whole is 0 or |whole| > |f|, so lost is exact.
	whole := float32(k * kernel.Ln2Hi)
	sum := whole + f
	lost := f - (sum - whole)
	return sum + fmaNormal(c, f2, fmaNormal(k, kernel.Ln2Lo, lost))
}

// log1p01 returns log(1+e) for e in [0,1], within 1 ulp.
func log1p01(e float32) float32 {
	if e >= kernel.Log1pSplit {
		f := fmaExact(e, 0.5, -0.5) // 1+e = 2·(1+f)
		f2, c := logTail(f)
		return fmaNormal(c, f2, f) + kernel.Ln2
	}
	f2, c := logTail(e)
	return fmaNormal(c, f2, e)
}

// minusLog1m returns −log(1−s) for s in [0,½], within 1 ulp.
func minusLog1m(s float32) float32 {
	g, k := s, float32(0)
	if s > kernel.Log1mSplit {
		g, k = fmaExact(s, 2, -1), kernel.Ln2 // 1−s = ½·(1−g)
	}
	// logTail with the coefficients of −g.
	g2 := g * g
	p01 := fmaNormal(g, -kernel.LogPoly1, kernel.LogPoly0)
	p23 := fmaNormal(g, -kernel.LogPoly3, kernel.LogPoly2)
	p45 := fmaNormal(g, -kernel.LogPoly5, kernel.LogPoly4)
	p67 := fmaNormal(g, -kernel.LogPoly7, kernel.LogPoly6)
	p := fmaNormal(p67, g2, p45)
	p = fmaNormal(p, g2, p23)
	p = fmaNormal(p, g2, p01)
	return fmaNormal(fmaNormal(p, g, 0.5), g2, g) + k
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
