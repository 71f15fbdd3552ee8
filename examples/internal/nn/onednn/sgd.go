//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"github.com/x/afl/examples/internal/nn"
)

// SGDStep implements nn.Backend.
func (b *backend) SGDStep(value, gradient, velocity nn.Array, first bool, spec nn.SGDSpec) error {
	u := b.beginUpdate("SGDStep", value)
	pg := u.gradient(gradient)
	var pv *C.float
	if spec.Momentum != 0 {
		pv = u.state("velocity", velocity)
	}
	flag := func(b bool) C.int {
		if b {
			return 1
		}
		return 0
	}
	start, nesterov := flag(first), flag(spec.Nesterov)
	rate, momentum, decay := C.float(spec.LearningRate), C.float(spec.Momentum), C.float(spec.WeightDecay)
	n, pw := u.value()
	return u.end(func() { C.sgd(n, pw, pg, pv, start, rate, momentum, decay, nesterov) })
}
