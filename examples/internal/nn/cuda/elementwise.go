//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// Add implements nn.Backend.
func (b *backend) Add(x0, x1 nn.Array) (nn.Array, nn.Pullback, error) {
	o := b.begin("Add")
	a0 := o.arg("a", x0)
	if o.err != nil {
		return nil, nil, o.end()
	}
	a1 := o.like("b", x1, a0.shape)
	o.match(a0, a1)
	y := o.similar(a0)
	if o.err != nil {
		return nil, nil, o.end()
	}
	p := C.AflElementwise{count: C.int64_t(y.elements())}
	point(&p.a, a0)
	point(&p.b, a1)
	point(&p.y, y)
	o.each("afl_nn_add", y.elements(), unsafe.Pointer(&p))
	// Gradients are never modified in place, so both inputs can share one.
	return o.finish(y, 2, nil, func(_ *op, g *array, need []bool) []nn.Array {
		return wanted(need, func(int) *array { return g })
	})
}
