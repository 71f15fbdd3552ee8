package cpu

import (
	"math"

	"github.com/x/afl/internal/cpu/kernel"
)

// The exponential and the logarithm of the float64 kernels, for one lane: the steps of
// math32.go with the constants of float64. Every product that a sum follows is
// converted or fused by fma64, so that the compiler fuses nothing else.

// exp64 returns eˣ within 1 ulp for every x whose exponential is finite.
func exp64(x float64) float64 {
	k := &kernel.Float64
	if k.ExpLow > x { // and NaN stays
		x = k.ExpLow
	}
	const magic = 3 << 51 // added and subtracted rounds to a whole number
	n := fma64(x, k.Log2E, -k.ExpBias) + magic - magic
	r := fma64(-n, k.Ln2Hi, x)
	r = fma64(-n, k.Ln2Lo, r)
	r2 := r * r
	c := (*[10]float64)(k.Exp)
	q := fma64(r, c[9], c[8])
	q = fma64(q, r2, fma64(r, c[7], c[6]))
	q = fma64(q, r2, fma64(r, c[5], c[4]))
	q = fma64(q, r2, fma64(r, c[3], c[2]))
	q = fma64(q, r2, fma64(r, c[1], c[0]))
	p := 1 + fma64(q, r2, r)
	whole := int64(n)
	half := whole >> 1
	return float64(p*powerOfTwo64(half)) * powerOfTwo64(whole-half)
}

// powerOfTwo64 returns 2ⁿ for n in [−1022,1023].
func powerOfTwo64(n int64) float64 { return math.Float64frombits(uint64(n+1023) << 52) }

// logOfSum64 returns log(1+f) + k·ln 2 for f in [−¼, ½].
func logOfSum64(f, k float64) float64 {
	of := &kernel.Float64
	c := (*[20]float64)(of.Log)
	f2 := f * f
	p := fma64(f, c[19], c[18])
	for i := 16; i >= 0; i -= 2 {
		p = fma64(p, f2, fma64(f, c[i+1], c[i]))
	}
	tail := fma64(p, f, -0.5)
	whole := float64(k * of.Ln2Hi)
	sum := whole + f
	lost := f - (sum - whole)
	return sum + fma64(tail, f2, fma64(k, of.Ln2Lo, lost))
}

// log1p01in64 returns log(1+e) for e in [0,1], within 1 ulp.
func log1p01in64(e float64) float64 {
	if e >= kernel.Log1pSplit {
		return logOfSum64(fma64(e, 0.5, -0.5), 1)
	}
	return logOfSum64(e, 0)
}

// logOnePlus64 returns log(1+x) for x ≥ 0, within a few ulp.
func logOnePlus64(x float64) float64 {
	if x >= kernel.Log1pSplit {
		return logNormal64(1 + x)
	}
	return logOfSum64(x, 0) // NaN too
}

// logNormal64 returns log x for a positive normal x, within 1 ulp.
func logNormal64(x float64) float64 {
	const aQuarter = 1 << 51 // the bits of 1 less those of ¾
	bits := math.Float64bits(x)
	biased := (bits + aQuarter) >> 52
	f := math.Float64frombits(bits-biased<<52+1023<<52) - 1
	const twoTo52 = (1023 + 52) << 52
	k := math.Float64frombits(biased|twoTo52) - (1<<52 + 1023)
	return logOfSum64(f, k)
}
