//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"github.com/x/afl/examples/internal/nn"
)

// AdamWStep implements nn.Backend.
func (b *backend) AdamWStep(value, gradient, first, second nn.Array, spec nn.AdamWSpec) error {
	o := b.begin("AdamWStep")
	w := o.arg("value", value)
	if o.err != nil {
		return o.end()
	}
	g, m, v := o.like("gradient", gradient, w.shape), o.like("first", first, w.shape), o.like("second", second, w.shape)
	o.align(w, g, m, v)
	if o.err != nil {
		return o.end()
	}
	n, pw, pg, pm, pv := w.length(), w.floats(), g.floats(), m.floats(), v.floats()
	f := C.adamw_factors{
		decay: C.float(spec.Decay),
		beta1: C.float(spec.Beta1), new1: C.float(1 - spec.Beta1),
		beta2: C.float(spec.Beta2), new2: C.float(1 - spec.Beta2),
		size: C.float(spec.StepSize), correction: C.float(spec.Correction), epsilon: C.float(spec.Epsilon),
	}
	o.do(w, func() { C.adamw(n, pw, pg, pm, pv, f) })
	return o.end()
}
