//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
// #include "kernels/conv_tile_arguments.h"
import "C"

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/x/afl/examples/internal/nn/cuda/cudnn"
)

// vendor is cuDNN's part in a backend.
type vendor struct {
	convolutions Convolutions
	handle       *cudnn.Handle // nil without cuDNN
	missing      error         // why Auto found no cuDNN
	plans        map[planKey]*checkedPlan
}

// planKey is what a plan depends on.
type planKey struct {
	operation cudnn.Operation
	shape     cudnn.Convolution
	strict    bool
}

// checkedPlan is a plan that is compared with the kernels of this package when it is first
// executed.
type checkedPlan struct {
	plan    *cudnn.Plan // nil if there is none
	why     error       // that there is none
	checked bool
	error   float64 // the largest, relative to the largest value
}

func (b *backend) setConvolutions(c Convolutions) error {
	if c != Own && b.vendor.handle == nil {
		handle, err := cudnn.New(b.runner)
		if err != nil && c == CuDNN {
			return fmt.Errorf("nn/cuda: %w", err)
		}
		b.vendor.handle, b.vendor.missing, b.vendor.plans = handle, err, map[planKey]*checkedPlan{}
	}
	b.vendor.convolutions = c
	return nil
}

func (b *backend) describeConvolutions() []string {
	v := &b.vendor
	if v.convolutions == Own || v.handle == nil {
		lines := []string{"convolutions: own kernels"}
		if v.convolutions == Auto {
			lines = append(lines, "cuDNN is not used: "+v.missing.Error())
		}
		return lines
	}
	var lines []string
	for key, p := range v.plans {
		what := fmt.Sprintf("%v of %v: ", key.operation, key.shape)
		if p.plan == nil {
			lines = append(lines, what+"own kernel, as "+p.why.Error())
			continue
		}
		line := fmt.Sprintf("%s%v, workspace %d bytes", what, p.plan, p.plan.Workspace())
		if p.checked {
			line += fmt.Sprintf(", %.2g from the own kernel", p.error)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return append([]string{fmt.Sprintf("convolutions: cuDNN %v, %s", v.handle.Version(), v.handle.Path())}, lines...)
}

// byCuDNN computes an operation of a convolution by cuDNN and reports whether it has, or has
// failed to. result is the coarse or the fine volume or the gradient of the weight.
func (o *op) byCuDNN(operation cudnn.Operation, c *convolution, coarse, fine, result, bias *array) bool {
	v := &o.vendor
	if v.convolutions == Own || v.handle == nil || c.precision == BFloat16 {
		return false
	}
	key := planKey{operation: operation, strict: c.precision == Float32, shape: cudnn.Convolution{
		Samples: coarse.shape[0], Rows: c.rows, Columns: c.cols, X: fine.size(), Y: coarse.size(),
		Kernel: c.kernel, Stride: c.spec.Stride, Padding: c.spec.Padding, Dilation: c.spec.Dilation,
	}}
	p := v.plans[key]
	if p == nil {
		p = new(checkedPlan)
		var none *cudnn.NoEngineError
		p.plan, p.why = v.handle.Plan(operation, key.shape, key.strict)
		if p.why != nil && !errors.As(p.why, &none) {
			o.fail("%w", p.why)
			return true
		}
		v.plans[key] = p
	}
	if p.plan == nil {
		if v.convolutions == CuDNN {
			o.fail("%w", p.why)
		}
		return v.convolutions == CuDNN
	}
	o.execute(p, operation, c, coarse, fine, result, bias)
	if o.err == nil && !p.checked {
		o.compare(p, operation, c, coarse, fine, result, bias)
	}
	return true
}

// execute enqueues a plan.
func (o *op) execute(p *checkedPlan, operation cudnn.Operation, c *convolution, coarse, fine, result, bias *array) {
	// The weight in channels-last order: rows × taps × columns.
	same := c.cols == 1 || c.taps() == 1
	order := C.AflLayout{samples: C.int64_t(c.rows), channels: C.int64_t(c.cols), voxels: C.int64_t(c.taps())}
	weight := c.weight
	if operation == cudnn.BackwardFilter {
		weight = result
	}
	at := weight.memory.address
	if !same {
		at = o.scratch(weight.bytes())
	}
	if !same && operation != cudnn.BackwardFilter {
		point(&order.from, weight)
		pointAt(&order.to, at)
		o.each("afl_nn_to_channels_last", c.rows*c.taps(), unsafe.Pointer(&order))
	}
	var workspace uintptr
	if bytes := p.plan.Workspace(); bytes > 0 {
		workspace = o.scratch(bytes)
	}
	if o.err != nil {
		return
	}
	if err := p.plan.Execute(fine.memory.address, at, coarse.memory.address, workspace); err != nil {
		o.fail("%w", err)
		return
	}
	if !same && operation == cudnn.BackwardFilter {
		pointAt(&order.from, at)
		point(&order.to, weight)
		o.each("afl_nn_to_row_major", c.rows*c.taps(), unsafe.Pointer(&order))
	}
	if bias != nil {
		s := C.AflSplits{count: C.int64_t(result.elements()), splits: 1, channels: C.int32_t(result.channels())}
		point(&s.partials, result)
		point(&s.to, result)
		point(&s.bias, bias)
		o.each("afl_nn_conv_sum", result.elements(), unsafe.Pointer(&s))
	}
}

// agreement is how far a result may lie from that of the own kernel, relative to the largest
// value.
var agreement = map[bool]float64{true: 1e-4, false: 5e-3} // by strictness

// compare computes the result of a plan by the own kernel too and compares them.
func (o *op) compare(p *checkedPlan, operation cudnn.Operation, c *convolution, coarse, fine, result, bias *array) {
	own := &array{owner: o.backend, shape: result.shape, order: result.order, memory: newMemory(o.scratch(result.bytes()))}
	convolutions := o.vendor.convolutions
	o.vendor.convolutions = Own
	switch operation {
	case cudnn.Forward:
		o.toCoarse(c, own, fine, bias)
	case cudnn.BackwardData:
		o.toFine(c, own, coarse, bias)
	default:
		o.weightGradient(c, own, coarse, fine)
	}
	o.vendor.convolutions = convolutions
	want, got := o.values(own), o.values(result)
	if o.err != nil {
		return
	}
	largest, most := 0.0, 0.0
	for i, w := range want {
		largest = max(largest, math.Abs(float64(w)))
		most = max(most, math.Abs(float64(got[i])-float64(w)))
	}
	if math.IsNaN(largest) || math.IsInf(largest, 0) {
		return // by other data, the next time
	}
	if largest > 0 {
		most /= largest
	}
	if limit := agreement[c.precision == Float32]; !(most <= limit) {
		o.fail("cuDNN %v computes %v of %d×%d→%d channels by %v with an error of %.2g of the largest value, want at most %g of it; choose own convolutions",
			o.vendor.handle.Version(), operation, coarse.shape[0], c.cols, c.rows, p.plan, most, limit)
		return
	}
	p.checked, p.error = true, most
}

// values copies an array to the host.
func (o *op) values(a *array) []float32 {
	if o.err != nil {
		return nil
	}
	values := make([]float32, a.elements())
	o.read(bytesOf(values), a.memory.address)
	if o.err != nil {
		o.err = fmt.Errorf("comparing a convolution on new sizes with the own kernel: %w", o.err)
	}
	return values
}
