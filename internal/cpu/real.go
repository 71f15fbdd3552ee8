package cpu

import (
	"math"
	"unsafe"

	"github.com/x/afl/internal/cpu/kernel"
)

// real is an element type of the row kernels.
type real interface{ float32 | float64 }

// The operations of the row kernels. The compiler makes code of its own for each type
// and drops the branches for the other.

func isFloat32[T real]() bool { return unsafe.Sizeof(T(0)) == 4 }

// NumberAfter returns the least number of its type above another one.
func NumberAfter[T real](x T) T {
	if isFloat32[T]() {
		return T(math.Nextafter32(float32(x), float32(math.Inf(1))))
	}
	return T(math.Nextafter(float64(x), math.Inf(1)))
}

// fma returns a·b + c rounded once.
func fma[T real](a, b, c T) T {
	if isFloat32[T]() {
		if sum, exact := quickFMA32(float32(a), float32(b), float32(c)); exact {
			return T(sum)
		}
		return T(fma32(float32(a), float32(b), float32(c)))
	}
	return T(fma64(float64(a), float64(b), float64(c)))
}

// The elementary functions replace a row of numbers, in a loop of their own: their chains of
// dependent operations are long, and of a short loop the processor runs several turns at once.

// exps computes eˣ of numbers whose exponential is finite.
func exps[T real](row []T) {
	switch row := any(row).(type) {
	case []float32:
		expGo(row, row)
	case []float64:
		for i, x := range row {
			row[i] = exp64(x)
		}
	}
}

// log1p01s stores log(1+e) for numbers e in [0,1].
func log1p01s[T real](dst, src []T) {
	switch dst := any(dst).(type) {
	case []float32:
		log1pGo(dst, any(src).([]float32))
	case []float64:
		for i, e := range any(src).([]float64) {
			dst[i] = log1p01in64(e)
		}
	}
}

// logOnePluses stores log(1+x) for numbers x ≥ 0.
func logOnePluses[T real](dst, src []T) {
	switch dst := any(dst).(type) {
	case []float32:
		for i, x := range any(src).([]float32) {
			dst[i] = logOnePlus(x)
		}
	case []float64:
		for i, x := range any(src).([]float64) {
			dst[i] = logOnePlus64(x)
		}
	}
}

// logNormals computes log x of positive normal numbers.
func logNormals[T real](row []T) {
	switch row := any(row).(type) {
	case []float32:
		for i, x := range row {
			row[i] = logNormal(x)
		}
	case []float64:
		for i, x := range row {
			row[i] = logNormal64(x)
		}
	}
}

// expHigh is a number up to which the exponential is finite.
func expHigh[T real]() T {
	if isFloat32[T]() {
		return kernel.ExpHigh
	}
	return T(kernel.Float64.ExpHigh)
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
