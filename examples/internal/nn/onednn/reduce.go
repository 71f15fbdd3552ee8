//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// SumOfSquares implements nn.Backend. A kernel is summed in row-major order, because its own
// layout depends on the machine and may be padded.
func (b *backend) SumOfSquares(xs ...nn.Array) (float64, error) {
	o := b.begin("SumOfSquares")
	sums := make([]C.double, len(xs))
	for i, x := range xs {
		a := o.force(o.parameter(fmt.Sprintf("array %d", i), x))
		if o.err != nil {
			return 0, o.end()
		}
		from, n := a.floats(), C.int64_t(nn.Elements(a.shape))
		var copied *buffer
		if a.order == kernel {
			if copied = o.temporary(4 * int(n)); o.err != nil {
				return 0, o.end()
			}
			from = copied.floats()
			o.copyPlain(a, from)
		}
		o.do(a, func() { sums[i] = C.sum_of_squares(n, from) })
		o.res.pool.drop(copied)
	}
	if o.err == nil {
		o.worker.wait(func() {})
		o.err = o.failed.get()
	}
	total := 0.0
	for _, s := range sums {
		total += float64(s)
	}
	return total, o.end()
}

// Scale implements nn.Backend.
func (b *backend) Scale(x nn.Array, factor float64) (nn.Array, error) {
	o := b.begin("Scale")
	a := o.arg("array", x)
	y := o.same(a)
	if o.err != nil {
		return nil, o.end()
	}
	n, by, from, to := a.length(), C.float(factor), a.floats(), y.floats()
	o.do(a, func() { C.scale(n, by, from, to) })
	return y, o.end()
}
