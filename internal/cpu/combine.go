package cpu

import (
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// combineBatch is the number of elements that a goroutine combines at a time.
const combineBatch = 1 << 16

// Combine implements [plan.Backend].
func (Backend) Combine(dst *tensor.Dense, a float64, src *tensor.Dense, b float64) error {
	var other any
	if src != nil {
		other = src.Data()
	}
	switch d := dst.Data().(type) {
	case []float32:
		s, _ := other.([]float32)
		combine(d, a, s, b)
	case []float64:
		s, _ := other.([]float64)
		combine(d, a, s, b)
	default:
		return plan.Refuse("type of gradient", dst.Dtype(), "float32 or float64")
	}
	return nil
}

// combine computes in float64 and rounds once.
func combine[T float32 | float64](dst []T, a float64, src []T, b float64) {
	if src == nil && a == 1 {
		return
	}
	parallel.Do((len(dst)+combineBatch-1)/combineBatch, func() func(int) {
		return func(i int) {
			lo, hi := i*combineBatch, min((i+1)*combineBatch, len(dst))
			d := dst[lo:hi]
			if src == nil {
				for k, v := range d {
					d[k] = T(a * float64(v))
				}
				return
			}
			for k, v := range src[lo:hi] {
				// The conversions keep the products from being fused, which differs by machine.
				d[k] = T(float64(a*float64(d[k])) + float64(b*float64(v)))
			}
		}
	})
}
