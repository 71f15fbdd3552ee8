//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"github.com/x/afl/examples/internal/nn"
)

// SGDStep implements nn.Backend.
func (b *backend) SGDStep(value, gradient, velocity nn.Array, first bool, spec nn.SGDSpec) error {
	o := b.begin("SGDStep")
	w := o.arg("value", value)
	if o.err != nil {
		return o.end()
	}
	g := o.like("gradient", gradient, w.shape)
	var v *array
	if spec.Momentum != 0 {
		v = o.like("velocity", velocity, w.shape)
	}
	o.align(w, g, v)
	if o.err != nil {
		return o.end()
	}
	n, pw, pg := w.length(), w.floats(), g.floats()
	var pv *C.float
	if v != nil {
		pv = v.floats()
	}
	flag := func(b bool) C.int {
		if b {
			return 1
		}
		return 0
	}
	start, nesterov := flag(first), flag(spec.Nesterov)
	rate, momentum, decay := C.float(spec.LearningRate), C.float(spec.Momentum), C.float(spec.WeightDecay)
	o.do(w, func() { C.sgd(n, pw, pg, pv, start, rate, momentum, decay, nesterov) })
	return o.end()
}

// align converts the arrays of an update step to the memory layout of the value w, so that
// their memory corresponds float by float. An array may be nil.
func (o *op) align(w *array, others ...*array) {
	for _, a := range others {
		if o.err != nil || a == nil {
			continue
		}
		o.force(a)
		if w.order == kernel {
			o.toKernel(a, w.layout)
		} else {
			o.toPlain(w)
			o.toPlain(a)
		}
	}
}
