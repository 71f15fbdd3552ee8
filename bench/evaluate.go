package main

import "math"

// evaluator is an implementation of exp and log whose rate is measured. A rate
// is that of evaluating a block of numbers which stays in the first-level cache.
type evaluator struct {
	name     string // what it is, for the report
	exp, log func() (evaluate func(), perCall int)
}

// measuredEvaluator is what the CPU backend evaluates exp and log with.
var measuredEvaluator = goMath

// goMath is Go's standard library, a number at a time.
var goMath = evaluator{
	name: "math.Exp and math.Log1p in float64, a number at a time",
	exp:  inCache(expFloat64, func(share float64) float64 { return -8 * share }),
	log:  inCache(log1pFloat64, func(share float64) float64 { return 1 - share }),
}

// inCache makes a kernel over slices of one length evaluate a block whose
// arguments are argument(share), share going from 0 to 1.
func inCache[T float32 | float64](kernel func(dst, src []T), argument func(share float64) float64) func() (func(), int) {
	const block = 1024 // source and destination are 16 KiB of float64
	return func() (func(), int) {
		src, dst := make([]T, block), make([]T, block)
		for i := range src {
			// A stride that visits the arguments out of order, as an image does.
			src[i] = T(argument(float64(i*389%block) / block))
		}
		return func() { kernel(dst, src) }, block
	}
}

func expFloat64(dst, src []float64) {
	for i, x := range src {
		dst[i] = math.Exp(x)
	}
}

func log1pFloat64(dst, src []float64) {
	for i, x := range src {
		dst[i] = math.Log1p(x)
	}
}
