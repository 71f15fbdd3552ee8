//go:build !(amd64 || arm || arm64 || loong64 || ppc64le || riscv64 || s390x)

package cpu

import "math"

// fma64 returns a·b + c rounded once. Without a fused multiply-add of the processor
// math.FMA works on integers; in the range where no intermediate overflows or loses
// bits at the bottom this takes a fraction of its time: Boldo and Melquiond, Emulation
// of FMA and correctly rounded sums, IEEE Transactions on Computers 57 (2008),
// algorithm Fma.
func fma64(a, b, c float64) float64 {
	const small, large = 0x1p-450, 0x1p450
	p := a * b
	switch {
	case math.Abs(a) > small && math.Abs(a) < large && math.Abs(b) > small && math.Abs(b) < large && math.Abs(c) < 0x1p900:
	case p == 0 && (a == 0 || b == 0):
		return p + c
	default:
		return math.FMA(a, b, c)
	}
	ah, al := halves(a)
	bh, bl := halves(b)
	// The product is p + low exactly, and with c it is v + left + lost.
	low := float64(al*bl) - (((p - float64(ah*bh)) - float64(al*bh)) - float64(ah*bl))
	t, lost := twoSum(c, low)
	v, left := twoSum(p, t)
	rest, rounded := twoSum(lost, left)
	if bits := math.Float64bits(rest); rounded != 0 && bits&1 == 0 { // to odd
		if (rounded > 0) == (rest > 0) {
			bits++
		} else {
			bits--
		}
		rest = math.Float64frombits(bits)
	}
	return v + rest
}

// halves returns two numbers of at most 26 bits each whose sum is x.
func halves(x float64) (high, low float64) {
	scaled := float64(x * (1<<27 + 1))
	high = scaled - (scaled - x)
	return high, x - high
}

// twoSum returns a + b rounded and what it lost.
func twoSum(a, b float64) (sum, lost float64) {
	sum = a + b
	other := sum - a
	return sum, (a - (sum - other)) + (b - other)
}
