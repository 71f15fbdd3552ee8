package main

import "github.com/x/afl/internal/cpu"

// evaluator is an implementation of exp and log whose rate is measured, on numbers
// that stay in the first-level cache.
type evaluator struct {
	name     string // for the report
	exp, log func() (evaluate func(), perCall int)
}

// measuredEvaluator evaluates exp and log as the CPU backend does for float32 logits.
var measuredEvaluator = evaluator{
	name: "the float32 kernels' exp and log(1+e), " + cpu.Backend{}.Tier(),
	exp:  inCache(cpu.Backend{}.Exp, func(x float64) float64 { return -8 * x }),
	log:  inCache(cpu.Backend{}.Log1p, func(x float64) float64 { return 1 - x }),
}

// inCache makes a kernel evaluate a slice of the numbers argument(x) for x from 0 to 1.
func inCache(kernel func(dst, src []float32), argument func(x float64) float64) func() (func(), int) {
	const n = 1024 // source and destination together take 8 KiB
	return func() (func(), int) {
		src, dst := make([]float32, n), make([]float32, n)
		for i := range src {
			// A stride that mixes the arguments, as an image does.
			src[i] = float32(argument(float64(i*389%n) / n))
		}
		return func() { kernel(dst, src) }, n
	}
}
