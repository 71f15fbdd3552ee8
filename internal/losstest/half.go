package losstest

import (
	"fmt"
	"math"
	"testing"
)

// Half is a half precision type.
type Half uint8

// The half precision types. None is the type that the tensors have.
const (
	None Half = iota
	Float16
	BFloat16
)

func (h Half) String() string {
	switch h {
	case None:
		return "none"
	case Float16:
		return "float16"
	case BFloat16:
		return "bfloat16"
	}
	return fmt.Sprintf("Half(%d)", uint8(h))
}

// significand returns the number of bits of a significand, and the exponents of
// the smallest and the first too large power of two.
func (h Half) format() (significand, smallest, overflow int) {
	if h == Float16 {
		return 11, -24, 16
	}
	return 8, -133, 128
}

// Round returns the value of the type that is nearest to x, ties to even;
// infinite where x is too large, NaN for NaN.
func (h Half) Round(x float64) float64 {
	if h == None || x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	significand, smallest, overflow := h.format()
	_, e := math.Frexp(x) // |x| is in [2^(e−1), 2^e)
	ulp := math.Ldexp(1, max(e-significand, smallest))
	y := math.RoundToEven(x/ulp) * ulp
	if math.Abs(y) >= math.Ldexp(1, overflow) {
		return math.Inf(int(math.Copysign(1, x)))
	}
	return y
}

// Largest returns the largest finite value of the type.
func (h Half) Largest() float64 {
	significand, _, overflow := h.format()
	return math.Ldexp(1, overflow) - math.Ldexp(1, overflow-significand)
}

// tolerance is the error of rounding to the type.
func (h Half) tolerance() Tolerance {
	if h == None {
		return Tolerance{}
	}
	significand, smallest, _ := h.format()
	return Tolerance{Relative: math.Ldexp(1, -significand), Absolute: math.Ldexp(1, smallest-1)}
}

// near is [Near] for numbers of the type: those too large for it are infinite.
func (h Half) near(t testing.TB, what string, want, got []float64, tol Tolerance) bool {
	t.Helper()
	if h == None {
		return Near(t, what, want, got, tol)
	}
	bounded := make([]float64, len(want))
	for i, v := range want {
		bounded[i] = v
		if r := h.Round(v); math.IsInf(r, 0) {
			bounded[i] = r
		}
	}
	kept := make([]float64, len(got))
	for i, v := range got {
		kept[i] = v
		if math.IsInf(v, 0) && i < len(bounded) && bounded[i] == v {
			kept[i], bounded[i] = 0, 0
		}
	}
	return Near(t, what, bounded, kept, tol)
}
