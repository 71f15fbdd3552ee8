//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// elementwise returns an array like a, computed from the elements of a and b, which is nil or
// of the shape of a.
func (o *op) elementwise(kernel string, a, b *array, factor float64) *array {
	if b != nil {
		o.match(a, b)
	}
	y := o.similar(a)
	if o.err != nil {
		return nil
	}
	p := C.AflElementwise{count: C.int64_t(y.elements()), factor: C.float(factor)}
	point(&p.a, a)
	point(&p.b, b)
	point(&p.y, y)
	o.each(kernel, y.elements(), unsafe.Pointer(&p))
	return y
}

// Add implements nn.Backend.
func (b *backend) Add(x0, x1 nn.Array) (nn.Array, nn.Pullback, error) {
	o := b.begin("Add")
	a0 := o.lazy("a", x0)
	if o.err != nil {
		return nil, nil, o.end()
	}
	a1 := o.lazyLike("b", x1, a0.shape)
	if o.err != nil {
		return nil, nil, o.end()
	}
	var y *array
	if len(a0.shape) == 5 && (a0.order == channelsLast || a1.order == channelsLast) {
		f := &sum{p: o.summand(a0), q: o.summand(a1)}
		if y = o.lazyArray(a0.shape, f); a0.kept || a1.kept {
			o.force(y) // the values of a kept array may be updated
		}
	} else {
		y = o.elementwise("afl_nn_add", a0, a1, 0)
	}
	// Gradients are never modified in place, so both inputs can share one.
	return o.finishLazy(y, 2, nil, func(_ *op, g *array, need []bool) []nn.Array {
		return wanted(need, func(int) *array { return g })
	})
}

// Scale implements nn.Backend.
func (b *backend) Scale(x nn.Array, factor float64) (nn.Array, error) {
	o := b.begin("Scale")
	y := o.elementwise("afl_nn_scale", o.arg("array", x), nil, factor)
	return finished(y, o.end())
}

// activations are the activations without parameters, as a kernel and as part of others. The
// derivatives are functions of the result, so only the result is needed in the backward pass.
var activations = map[nn.Activation]struct {
	kernel   string
	function C.int32_t
}{nn.ReLU: {"afl_nn_relu", C.AFL_RELU}, nn.ELU: {"afl_nn_elu", C.AFL_ELU}, nn.Sigmoid: {"afl_nn_sigmoid", C.AFL_SIGMOID}}

// Activate implements nn.Backend.
func (b *backend) Activate(x nn.Array, f nn.Activation) (nn.Array, nn.Pullback, error) {
	by, known := activations[f]
	if !known {
		return nil, nil, fmt.Errorf("Activate: f is %v, want ReLU, ELU or Sigmoid", f)
	}
	o := b.begin(f.String())
	a := o.lazy("x", x)
	if o.err != nil {
		return nil, nil, o.end()
	}
	switch from := a.formula.(type) {
	case *normed:
		if from.act.function == C.AFL_IDENTITY {
			return o.activateNorm(a, &normed{from.norm, from.from, activation{function: by.function}})
		}
	case *sum:
		return o.activateSum(a, from, f)
	}
	y := o.elementwise(by.kernel, o.force(a), nil, 0)
	return o.finish(y, 1, []*array{y}, o.activationGradient(y, f))
}

// activationGradient returns the pullback of an activation whose result is y.
func (o *op) activationGradient(y *array, f nn.Activation) func(o *op, g *array, need []bool) []nn.Array {
	return func(o *op, g *array, need []bool) []nn.Array {
		return wanted(need, func(int) *array { return o.elementwise(activations[f].kernel+"_gradient", y, g, 0) })
	}
}

// Mean implements nn.Backend.
func (b *backend) Mean(xs ...nn.Array) (nn.Array, nn.Pullback, error) {
	o := b.begin("Mean")
	if len(xs) == 0 {
		o.fail("no arrays given")
		return nil, nil, o.end()
	}
	parts := make([]*array, len(xs))
	for i, x := range xs {
		name := fmt.Sprintf("array %d", i)
		if i == 0 {
			parts[i] = o.arg(name, x)
		} else if o.err == nil {
			parts[i] = o.like(name, x, parts[0].shape)
			o.match(parts[0], parts[i])
		}
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	for _, p := range parts { // an earlier one may have been converted
		o.match(p, parts[0])
	}
	y := o.mean(parts, len(parts))
	return o.finish(y, len(xs), nil, func(o *op, g *array, need []bool) []nn.Array {
		share := o.mean([]*array{g}, len(xs))
		return wanted(need, func(int) *array { return share })
	})
}

// mean returns the sum of arrays of the same shape and order, divided by n.
func (o *op) mean(xs []*array, n int) *array {
	y := o.similar(xs[0])
	for first := 0; first < len(xs) && o.err == nil; first += C.AFL_MEAN_INPUTS {
		p := C.AflMean{count: C.int64_t(y.elements())}
		point(&p.y, y)
		end := min(first+C.AFL_MEAN_INPUTS, len(xs))
		for i, x := range xs[first:end] {
			point(&p.x[i], x)
		}
		p.inputs, p.more = C.int32_t(end-first), flag(first > 0)
		if end == len(xs) {
			p.divisor = C.float(n)
		}
		o.each("afl_nn_mean", y.elements(), unsafe.Pointer(&p))
	}
	return y
}

func flag(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}
