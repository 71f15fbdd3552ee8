//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"github.com/x/afl/examples/internal/nn"
)

// AdamWStep implements nn.Backend.
func (b *backend) AdamWStep(value, gradient, first, second nn.Array, spec nn.AdamWSpec) error {
	u := b.beginUpdate("AdamWStep", value)
	pg, pm, pv := u.gradient(gradient), u.state("first", first), u.state("second", second)
	f := C.adamw_factors{
		decay: C.float(spec.Decay),
		beta1: C.float(spec.Beta1), new1: C.float(1 - spec.Beta1),
		beta2: C.float(spec.Beta2), new2: C.float(1 - spec.Beta2),
		size: C.float(spec.StepSize), correction: C.float(spec.Correction), epsilon: C.float(spec.Epsilon),
	}
	n, pw := u.value()
	return u.end(func() { C.adamw(n, pw, pg, pm, pv, f) })
}
