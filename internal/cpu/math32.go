package cpu

import "math"

// The vector kernels' exponential and logarithm, one lane of them. The assembly
// runs these operations in this order on every lane, so the two agree bit for
// bit. Every product is converted before it is added to, which keeps a compiler
// from fusing the two: a fused sum has other bits than a rounded product.
//
// Polynomials were fitted to the smallest largest relative error of the result
// and checked over every float32 (see TestExhaustive).
const (
	log2e = 1.442695 // 1/ln 2
	// ln 2 in two parts; a whole number of up to 14 bits times the first is exact.
	ln2Hi = 0.693359375
	ln2Lo = -2.12194440e-4
	// roundMagic added and subtracted rounds to a whole number, ties to even.
	roundMagic = 3 << 22
	// expBias = log₂1½ − ½ moves the remainder's range from ±ln(2)/2 to
	// [log ¾, log 1½]: below 0, where eʳ < 1 has a finer spacing, the sums then
	// round finer too.
	expBias = 0.0849625
	// expLow and expHigh are just beyond where exp is 0 and infinite.
	expLow, expHigh = -104, 89
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

// exp32 returns eˣ, within 1 ulp over all float32.
func exp32(x float32) float32 {
	return expUpTo(min32(expHigh, x))
}

// expUpTo is exp32 for x below the point where it becomes infinite: with x = n·ln 2 + r,
// eˣ = 2ⁿ·(1 + (r + r²·Q(r))).
func expUpTo(x float32) float32 {
	x = max32(expLow, x)
	n := float32(x*log2e) - expBias + roundMagic - roundMagic
	r := x - float32(n*ln2Hi)
	r -= float32(n * ln2Lo)
	r2 := r * r
	// Pairs of terms first: a shorter chain than Horner's.
	low := expPoly[0] + float32(expPoly[1]*r)
	high := expPoly[2] + float32(expPoly[3]*r)
	high += float32(expPoly[4] * r2)
	q := low + float32(high*r2)
	p := 1 + (r + float32(q*r2))
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

// logOfSum returns log(1+f) + k·ln 2 for f in [−¼, ½].
func logOfSum(f, k float32) float32 {
	f2 := f * f
	f4 := f2 * f2
	p01 := logPoly[0] + float32(logPoly[1]*f)
	p23 := logPoly[2] + float32(logPoly[3]*f)
	p45 := logPoly[4] + float32(logPoly[5]*f)
	p67 := logPoly[6] + float32(logPoly[7]*f)
	low := p01 + float32(p23*f2)
	high := p45 + float32(p67*f2)
	p := low + float32(high*f4)
	// k·ln 2 + f − f²/2 + f³·p, largest terms last and what their sum rounds off
	// taken along (the first is 0 or the larger).
	tail := float32(float32(f2*f)*p) + float32(k*ln2Lo)
	tail -= float32(f2 * 0.5)
	whole := float32(k * ln2Hi)
	sum := whole + f
	return sum + (tail + (f - (sum - whole)))
}

// log1p01 returns log(1+e) for e in [0,1], within 1 ulp.
func log1p01(e float32) float32 {
	if e >= log1pSplit {
		return logOfSum(float32((e-1)*0.5), 1) // 1+e = 2·(1 + (e−1)/2)
	}
	return logOfSum(e, 0)
}

// logOnePlus returns log(1+x) for x ≥ 0, within a few ulp.
func logOnePlus(x float32) float32 {
	if x >= log1pSplit {
		return logNormal(1+x, 0)
	}
	return logOfSum(x, 0) // NaN too
}

// logNormal returns log x + shift·ln 2 for a positive normal x, within 1 ulp.
func logNormal(x, shift float32) float32 {
	const threeQuarters = 0x3f400000 // as float32 bits
	bits := math.Float32bits(x)
	// Subtracting the bits of ¾ leaves the exponent of x/¾ on top.
	k := int32(bits-threeQuarters) >> 23
	f := math.Float32frombits(bits-uint32(k<<23)) - 1
	return logOfSum(f, float32(k)+shift)
}

// log32 returns log x, within 1 ulp over all float32.
func log32(x float32) float32 {
	switch {
	case x == 0:
		return float32(math.Inf(-1))
	case !(x > 0):
		return float32(math.NaN())
	case x > math.MaxFloat32:
		return x
	case x < 0x1p-126:
		return logNormal(float32(x*0x1p25), -25)
	}
	return logNormal(x, 0)
}
