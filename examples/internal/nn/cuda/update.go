//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// SGDStep implements nn.Backend.
func (b *backend) SGDStep(value, gradient, velocity nn.Array, first bool, spec nn.SGDSpec) error {
	o := b.begin("SGDStep")
	w := o.arg("value", value)
	if o.err != nil {
		return o.end()
	}
	p := C.AflUpdate{momentum: C.float(spec.Momentum), nesterov: flag(spec.Nesterov)}
	f := C.AflUpdateFactors{rate: C.float(spec.LearningRate), decay: C.float(spec.WeightDecay), start: flag(first)}
	state := []*array{w, o.like("gradient", gradient, w.shape), nil}
	if spec.Momentum != 0 {
		state[2] = o.like("velocity", velocity, w.shape)
	}
	o.update("afl_nn_sgd", &p, &f, state[0], state[1], state[2], nil)
	return o.end()
}

// AdamWStep implements nn.Backend.
func (b *backend) AdamWStep(value, gradient, first, second nn.Array, spec nn.AdamWSpec) error {
	o := b.begin("AdamWStep")
	w := o.arg("value", value)
	if o.err != nil {
		return o.end()
	}
	p := C.AflUpdate{beta1: C.float(spec.Beta1), beta2: C.float(spec.Beta2), new1: C.float(1 - spec.Beta1), new2: C.float(1 - spec.Beta2), epsilon: C.float(spec.Epsilon)}
	f := C.AflUpdateFactors{rate: C.float(spec.StepSize), decay: C.float(spec.Decay), correction: C.float(spec.Correction)}
	o.update("afl_nn_adamw", &p, &f, w, o.like("gradient", gradient, w.shape), o.like("first", first, w.shape), o.like("second", second, w.shape))
	return o.end()
}

// update enqueues an optimizer's step, with all arrays in the order of the value.
func (o *op) update(kernel string, p *C.AflUpdate, f *C.AflUpdateFactors, value, gradient, first, second *array) {
	if o.err != nil {
		return
	}
	for _, a := range []*array{gradient, first, second} {
		if a != nil && a.order != value.order {
			if value.order == channelsLast {
				o.toChannels(a)
			} else {
				o.toRowMajor(a)
			}
		}
	}
	p.count = C.int64_t(value.elements())
	pointAt(&p.factors, o.store(bytesOf(unsafe.Slice(f, 1))))
	pointAt(&p.stop, o.stopFlag())
	point(&p.value, value)
	point(&p.gradient, gradient)
	point(&p.first, first)
	point(&p.second, second)
	o.each(kernel, value.elements(), unsafe.Pointer(p))
}

// squares are the parts of a sum of squares.
type squares struct {
	arrays   []*array
	blocks   []int // parts of each array
	parts    int
	partials uintptr
}

// squares enqueues the parts of the sum of the squares of all values of xs.
func (o *op) squares(xs []nn.Array) *squares {
	const (
		fewElements = 16 // of a thread
		maxBlocks   = 1024
	)
	s := &squares{arrays: make([]*array, len(xs)), blocks: make([]int, len(xs))}
	for i, x := range xs {
		if s.arrays[i] = o.arg(fmt.Sprintf("array %d", i), x); o.err != nil {
			return s
		}
		const each = fewElements * threads
		s.blocks[i] = min((s.arrays[i].elements()+each-1)/each, maxBlocks)
		s.parts += s.blocks[i]
	}
	s.partials = o.scratch(8 * int64(max(s.parts, 1)))
	at := s.partials
	for i, a := range s.arrays {
		p := C.AflSquares{count: C.int64_t(a.elements())}
		point(&p.x, a)
		pointAt(&p.partials, at)
		o.launch("afl_nn_squares", s.blocks[i], unsafe.Pointer(&p))
		at += uintptr(8 * s.blocks[i])
	}
	return s
}

// SumOfSquares implements nn.Backend.
func (b *backend) SumOfSquares(xs ...nn.Array) (float64, error) {
	o := b.begin("SumOfSquares")
	s := o.squares(xs)
	at := o.scratch(8)
	p := C.AflSquares{parts: C.int64_t(s.parts)}
	pointAt(&p.partials, s.partials)
	pointAt(&p.sum, at)
	o.launch("afl_nn_sum_squares", 1, unsafe.Pointer(&p))
	sum := make([]float64, 1)
	o.read(bytesOf(sum), at)
	return sum[0], o.end()
}
