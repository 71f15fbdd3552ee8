//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"github.com/x/afl/examples/internal/nn"
)

// SGDStep implements nn.Backend. It uses the memory layout of the value, to which
// the gradient and the velocity are converted.
func (b *backend) SGDStep(value, gradient, velocity nn.Array, first bool, spec nn.SGDSpec) error {
	o := b.begin("SGDStep")
	w := o.arg("value", value)
	if o.err != nil {
		return o.end()
	}
	g := o.force(o.like("gradient", gradient, w.shape))
	var v *array
	if spec.Momentum != 0 {
		v = o.force(o.like("velocity", velocity, w.shape))
	}
	for _, a := range []*array{g, v} {
		if o.err != nil || a == nil {
			continue
		}
		if w.order == kernel {
			o.toKernel(a, w.layout)
		} else {
			o.toPlain(w)
			o.toPlain(a)
		}
	}
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
