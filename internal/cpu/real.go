package cpu

import (
	"math"
	"unsafe"
)

// real is an element type of the row kernels.
type real interface{ float32 | float64 }

// The operations of the row kernels. The compiler makes code of its own for each type
// and drops the branches for the other.

func isFloat32[T real]() bool { return unsafe.Sizeof(T(0)) == 4 }

// fma returns a·b + c rounded once.
func fma[T real](a, b, c T) T {
	if isFloat32[T]() {
		return T(fma32(float32(a), float32(b), float32(c)))
	}
	return T(fma64(float64(a), float64(b), float64(c)))
}

// exp returns eˣ for every x whose exponential is finite.
func exp[T real](x T) T {
	if isFloat32[T]() {
		return T(expUpTo(float32(x)))
	}
	return T(exp64(float64(x)))
}

// log1p01Of returns log(1+e) for e in [0,1].
func log1p01Of[T real](e T) T {
	if isFloat32[T]() {
		return T(log1p01(float32(e)))
	}
	return T(log1p01in64(float64(e)))
}

// logOnePlusOf returns log(1+x) for x ≥ 0.
func logOnePlusOf[T real](x T) T {
	if isFloat32[T]() {
		return T(logOnePlus(float32(x)))
	}
	return T(logOnePlus64(float64(x)))
}

// logNormalOf returns log x for a positive normal x.
func logNormalOf[T real](x T) T {
	if isFloat32[T]() {
		return T(logNormal(float32(x)))
	}
	return T(logNormal64(float64(x)))
}

// smallest is the smallest normal number.
func smallest[T real]() T {
	if isFloat32[T]() {
		return 0x1p-126
	}
	tiny := math.Float64frombits(1 << 52)
	return T(tiny)
}

// largerOf is the maximum as the processor computes it: b if a and b are equal or
// either is NaN.
func largerOf[T real](a, b T) T {
	if a > b {
		return a
	}
	return b
}

// signed reports whether the sign bit of x is set, as it is for −0.
func signed[T real](x T) bool { return math.Signbit(float64(x)) }
