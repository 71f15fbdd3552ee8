package cpu

import "math"

// The vector kernels' exponential and logarithm, one lane of them. The assembly
// runs these operations in this order on every lane, so the two agree bit for
// bit. Where the assembly fuses a product and a sum, fma32 does; every other
// product is converted before it is added to, which keeps a compiler from fusing
// the two.
//
// Polynomials were fitted to the smallest largest relative error of the result
// and checked over every float32 (see TestExhaustive).
const (
	log2e = 1.442695 // 1/ln 2
	// ln 2 in two parts; a whole number of up to 14 bits times the first is exact.
	ln2Hi = 0.693359375
	ln2Lo = -2.12194440e-4
	ln2   = 0.6931472 // its float32 is within 2e-9 of it
	// roundMagic added and subtracted rounds to a whole number, ties to even.
	roundMagic = 3 << 22
	// expBias = log₂1½ − ½ moves the remainder's range from ±ln(2)/2 to
	// [log ¾, log 1½]: below 0, where eʳ < 1 has a finer spacing, the sums then
	// round finer too.
	expBias = 0.0849625
	expLow  = -104 // just beyond where exp is 0
	// log1pSplit is where a logarithm's argument is halved; from ½ on e−1 is exact.
	log1pSplit = 0.5
)

// expPoly are the coefficients of (eʳ−1−r)/r² on [log ¾, log 1½], constant first.
var expPoly = [...]float32{0.5000002, 0.16666572, 0.041658193, 0.0083601065, 0.0014652617}

// logPoly are those of (log(1+f)−f+f²/2)/f³ on [−¼, ½].
var logPoly = [...]float32{0.3333345, -0.25000098, 0.19990826, -0.16647206, 0.14478762, -0.13162799, 0.10464271, -0.04507033}

// max32 is the processor's maximum: b where the two are equal or one is NaN.
func max32(a, b float32) float32 {
	if a > b {
		return a
	}
	return b
}

// min32 is the processor's minimum: b where the two are equal or one is NaN.
func min32(a, b float32) float32 {
	if a < b {
		return a
	}
	return b
}

// fma32 returns a·b + c rounded once, the processor's fused multiply-add, for
// which Go has no float32 form. The product of two float32 is exact in float64.
// Their sum is rounded to float64 and again to float32: the second rounding goes
// wrong only where the first fell on the middle between two float32.
func fma32(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	s := p + float64(c)
	bits := math.Float64bits(s)
	const below, middle = 1<<29 - 1, 1 << 28 // bits that float32 does not have
	const normal = (1023 - 126) << 52
	if bits&below == middle || bits&^(1<<63) < normal {
		s = roundToOdd(s, p, float64(c))
	}
	return float32(s)
}

// roundToOdd returns s, the rounded sum of a and b, with its last bit set where
// it is not the exact sum, and moved towards zero first where it lies beyond:
// such a number rounds to fewer bits as the exact sum does.
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

// expUpTo returns eˣ for x below the point where it becomes infinite, within
// 1 ulp: with x = n·ln 2 + r,
// eˣ = 2ⁿ·(1 + (r + r²·Q(r))).
func expUpTo(x float32) float32 {
	x = max32(expLow, x)
	n := fma32(x, log2e, -expBias) + roundMagic - roundMagic
	r := fma32(-n, ln2Hi, x)
	r = fma32(-n, ln2Lo, r)
	r2 := r * r
	// Pairs of terms first: a shorter chain than Horner's.
	low := fma32(r, expPoly[1], expPoly[0])
	high := fma32(r, expPoly[3], expPoly[2])
	high = fma32(r2, expPoly[4], high)
	q := fma32(high, r2, low)
	p := 1 + fma32(q, r2, r)
	// Two steps: 2ⁿ alone may lie outside the range of normal numbers. The first
	// is exact, so a denormal result is rounded once.
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
	p01 := fma32(f, logPoly[1], logPoly[0])
	p23 := fma32(f, logPoly[3], logPoly[2])
	p45 := fma32(f, logPoly[5], logPoly[4])
	p67 := fma32(f, logPoly[7], logPoly[6])
	p := fma32(p67, f2, p45)
	p = fma32(p, f2, p23)
	p = fma32(p, f2, p01)
	return f2, fma32(p, f, -0.5)
}

// logOfSum returns log(1+f) + k·ln 2 for f in [−¼, ½].
func logOfSum(f, k float32) float32 {
	f2, c := logTail(f)
	// Largest terms last, and what their sum rounds off taken along (the first is
	// 0 or the larger).
	whole := float32(k * ln2Hi)
	sum := whole + f
	lost := f - (sum - whole)
	return sum + fma32(c, f2, fma32(k, ln2Lo, lost))
}

// log1p01 returns log(1+e) for e in [0,1], within 1 ulp.
func log1p01(e float32) float32 {
	if e >= log1pSplit {
		f := fma32(e, 0.5, -0.5) // 1+e = 2·(1+f)
		f2, c := logTail(f)
		return fma32(c, f2, f) + ln2
	}
	f2, c := logTail(e)
	return fma32(c, f2, e)
}

// logOnePlus returns log(1+x) for x ≥ 0, within a few ulp.
func logOnePlus(x float32) float32 {
	if x >= log1pSplit {
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
