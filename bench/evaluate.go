package main

import "github.com/x/afl/internal/cpu"

// evaluator is an implementation of exp and log whose rate is measured. A rate
// is that of evaluating a block of numbers which stays in the first-level cache.
type evaluator struct {
	name     string // what it is, for the report
	exp, log func() (evaluate func(), perCall int)
}

// measuredEvaluator is what the CPU backend evaluates exp and log of float32
// logits with.
var measuredEvaluator = evaluator{
	name: "the float32 kernels' exp and log(1+e), " + cpu.Backend{}.Tier(),
	exp:  inCache(cpu.Backend{}.Exp, func(share float64) float64 { return -8 * share }),
	log:  inCache(cpu.Backend{}.Log1p, func(share float64) float64 { return 1 - share }),
}

// inCache makes a kernel over slices of one length evaluate a block whose
// arguments are argument(share), share going from 0 to 1.
func inCache(kernel func(dst, src []float32), argument func(share float64) float64) func() (func(), int) {
	const block = 1024 // source and destination are 8 KiB
	return func() (func(), int) {
		src, dst := make([]float32, block), make([]float32, block)
		for i := range src {
			// A stride that visits the arguments out of order, as an image does.
			src[i] = float32(argument(float64(i*389%block) / block))
		}
		return func() { kernel(dst, src) }, block
	}
}
