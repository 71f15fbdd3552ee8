//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"github.com/x/afl/examples/internal/nn"
)

// update is an update step of an optimizer. It uses the memory layout of the parameter's
// value for all arrays, so that their memory corresponds float by float.
type update struct {
	*op
	w      *array
	copied *buffer // gradient in that layout
}

func (b *backend) beginUpdate(name string, value nn.Array) *update {
	b.forgetConverted()
	o := b.begin(name)
	return &update{op: o, w: o.force(o.parameter("value", value))}
}

// like checks that an argument has the shape of the value.
func (u *update) like(name string, x nn.Array) *array {
	if u.err != nil {
		return nil
	}
	a := u.parameter(name, x)
	if u.err == nil {
		u.checkShape(name, a, u.w.shape)
	}
	return a
}

// state returns the memory of an array that the step changes, and converts the array itself.
func (u *update) state(name string, x nn.Array) *C.float {
	a := u.like(name, x)
	switch {
	case u.err != nil:
	case a.zero:
		u.zeros(a, u.w.order, u.w.data.bytes)
		a.layout = u.w.layout
	case u.w.order == kernel:
		u.toKernel(a, u.w.layout)
	default:
		u.toPlain(a)
	}
	if u.err != nil {
		return nil
	}
	return a.floats()
}

// gradient returns the memory of an array that the step only reads, or a copy.
func (u *update) gradient(x nn.Array) *C.float {
	g := u.force(u.like("gradient", x))
	if u.err != nil {
		return nil
	}
	if u.w.order != kernel {
		u.toPlain(u.w)
		u.toPlain(g)
		if u.err != nil {
			return nil
		}
		return g.floats()
	}
	var p *C.float
	p, u.copied = u.kernelIn(g, u.w.layout)
	return p
}

// value returns the length and the memory of the value.
func (u *update) value() (n C.int64_t, p *C.float) {
	if u.err != nil {
		return 0, nil
	}
	return u.w.length(), u.w.floats()
}

// end queues the step, unless an argument was wrong.
func (u *update) end(f func()) error {
	if u.err == nil {
		u.do(u.w, f)
	}
	u.res.pool.drop(u.copied)
	return u.op.end()
}
