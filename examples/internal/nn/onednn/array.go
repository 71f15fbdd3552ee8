//go:build onednn

package onednn

// #include "kernels.h"
// #include "shim.h"
import "C"

import (
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/nn"
)

// order is the memory layout of an array.
type order uint8

const (
	plain    order = iota // row-major
	channels              // N×C×X×Y×Z with the channel index varying fastest
	kernel                // a convolution kernel in a layout of oneDNN's choice
)

// array holds the values of an array, or a formula for them.
type array struct {
	owner *backend
	shape []int
	kept  bool // created with nn.Kept
	ended bool // released, or past the end of its step
	zero  bool // all values are 0 and no memory has been allocated yet

	// operand is set once the array has been an argument of an operation that may save
	// pointers to its memory, which is then not returned to the pool before the end of
	// the step.
	operand bool

	data    *buffer // nil while formula is set
	order   order
	layout  *C.layout // set if order is kernel
	formula formula   // nil once data is set
	holds   []*buffer // buffers that the formula reads

	// centered says that every channel sums to 0. The gradient of a norm's input
	// does, since shifting that input changes nothing.
	centered bool
}

// formula computes the values of an array when they are first needed.
type formula interface {
	// compute stores the values in y, a new array in channels-last order.
	compute(o *op, y *array)
}

// Shape implements nn.Array.
func (a *array) Shape() []int { return a.shape }

// DType implements nn.Array.
func (a *array) DType() nn.DType { return nn.Float32 }

// String returns the shape, for the profile and errors.
func (a *array) String() string { return fmt.Sprint(a.shape) }

func (a *array) floats() *C.float { return a.data.floats() }

// length returns the number of floats in memory, including a layout's padding.
func (a *array) length() C.int64_t { return C.int64_t(a.data.bytes / 4) }

// rows returns the number of voxels in all samples of a volume.
func (a *array) rows() C.int64_t {
	return C.int64_t(a.shape[0] * a.shape[2] * a.shape[3] * a.shape[4])
}

// width returns the number of channels of a volume.
func (a *array) width() C.int64_t { return C.int64_t(a.shape[1]) }

// view returns a volume as a single block.
func (a *array) view() C.view { return C.view{1, a.rows() * a.width(), a.width()} }

// samples returns a volume as one block per sample.
func (a *array) samples() C.view {
	n := C.int64_t(a.shape[0])
	return C.view{n, a.rows() / n * a.width(), a.width()}
}

// array returns a new array that lasts until the end of the step, without memory.
func (o *op) array(shape []int) *array {
	a := &array{owner: o.backend, shape: shape}
	o.step = append(o.step, a)
	return a
}

// volume returns a new channels-last array that lasts until the end of the step.
func (o *op) volume(shape ...int) *array {
	return o.fill(o.array(shape), channels, 4*nn.Elements(shape))
}

// vector returns a new row-major array that lasts until the end of the step.
func (o *op) vector(shape ...int) *array { return o.fill(o.array(shape), plain, 4*nn.Elements(shape)) }

// fill allocates an array's memory.
func (o *op) fill(a *array, as order, bytes int) *array {
	if o.err != nil {
		return a
	}
	get := o.res.pool.get
	if a.kept {
		get = o.res.pool.keep
	}
	m, err := get(bytes)
	if err != nil {
		o.fail("shape %v: %w", a.shape, err)
		return a
	}
	a.data, a.order = m, as
	return a
}

// formula returns an array whose values f computes on demand from the given
// buffers. It lasts until the end of the step.
func (o *op) formula(shape []int, f formula, reads ...*buffer) *array {
	a := o.array(shape)
	a.order, a.formula, a.holds = channels, f, reads
	for _, m := range reads {
		m.users++
	}
	return a
}

// lazy checks that an argument is a live array of this backend. It does not
// compute the array's formula.
func (o *op) lazy(name string, x nn.Array) *array {
	a := o.parameter(name, x)
	if a != nil {
		a.operand = true
	}
	return a
}

// parameter is lazy for an operation that saves no pointer to the memory of the array.
func (o *op) parameter(name string, x nn.Array) *array {
	if x == nil {
		o.fail("%s is nil", name)
		return nil
	}
	a, ok := x.(*array)
	switch {
	case !ok || a.owner != o.backend:
		o.fail("%s %w", name, nn.Foreign(x))
		return nil
	case a.ended:
		o.fail("%s is used after its release or the end of its step", name)
		return nil
	}
	return a
}

// force computes an array's formula, if it has one.
func (o *op) force(a *array) *array {
	if o.err != nil || a == nil {
		return a
	}
	if a.zero {
		o.zeros(a, plain, 4*nn.Elements(a.shape))
	}
	if a.formula == nil {
		return a
	}
	f := a.formula
	o.fill(a, channels, 4*nn.Elements(a.shape))
	if o.err == nil {
		f.compute(o, a)
		o.unhold(a)
	}
	return a
}

// zeros allocates the memory of an array of zeros.
func (o *op) zeros(a *array, as order, bytes int) {
	o.fill(a, as, bytes)
	if o.err == nil {
		a.zero = false
		n, to := a.length(), a.floats()
		o.do(a, func() { C.zero(n, to) })
	}
}

// arg checks an argument and computes its formula. The array may have any order.
func (o *op) arg(name string, x nn.Array) *array { return o.force(o.lazy(name, x)) }

// lazyVolume checks that an argument has the shape N×C×X×Y×Z. It does not compute
// the array's formula.
func (o *op) lazyVolume(name string, x nn.Array) *array {
	a := o.lazy(name, x)
	if o.err == nil && len(a.shape) != 5 {
		o.fail("%s has shape %v, want N×C×X×Y×Z", name, a.shape)
	}
	return a
}

// inVolume checks that an argument has the shape N×C×X×Y×Z, and converts it to
// channels-last order.
func (o *op) inVolume(name string, x nn.Array) *array {
	return o.toChannels(o.force(o.lazyVolume(name, x)))
}

// inVector checks that an argument has the shape n.
func (o *op) inVector(name string, x nn.Array, n int) *array {
	a := o.arg(name, x)
	if o.err == nil && (len(a.shape) != 1 || a.shape[0] != n) {
		o.fail("%s has shape %v, want [%d]", name, a.shape, n)
	}
	return a
}

// like checks that an argument has the given shape. It does not compute the
// array's formula.
func (o *op) like(name string, x nn.Array, shape []int) *array {
	a := o.lazy(name, x)
	if o.err == nil {
		o.checkShape(name, a, shape)
	}
	return a
}

func (o *op) checkShape(name string, a *array, shape []int) {
	if !slices.Equal(a.shape, shape) {
		o.fail("%s has shape %v, want %v", name, a.shape, shape)
	}
}

// The functions below convert an array's order in place: its values stay the same,
// and a later operation that needs the same order finds it already converted.
// Queued work must capture pointers to memory, never arrays, because an array may
// be converted before the work runs.

// toPlain converts an array to row-major order.
func (o *op) toPlain(a *array) *array {
	if o.err != nil || a.order == plain {
		return a
	}
	from := *a
	o.refill(a, plain, 4*nn.Elements(a.shape))
	if o.err == nil {
		o.copyPlain(&from, a.floats())
	}
	return a
}

// copyPlain queues a copy of an array in row-major order.
func (o *op) copyPlain(a *array, to *C.float) {
	from := a.floats()
	switch a.order {
	case channels:
		n, c, voxels := C.int64_t(a.shape[0]), a.width(), C.int64_t(nn.Elements(a.shape[2:]))
		o.do(a, func() { C.volume_to_float(n, c, voxels, from, to) })
	case kernel:
		layout, rowMajor := a.layout, o.plainLayout(a.shape)
		o.run(a, func() error { return failure(C.layout_convert(layout, from, rowMajor, to)) })
	default:
		n := C.int64_t(nn.Elements(a.shape))
		o.do(a, func() { C.scale(n, 1, from, to) })
	}
}

// toChannels converts a volume to channels-last order.
func (o *op) toChannels(a *array) *array {
	if o.err != nil || a.order == channels {
		return a
	}
	o.toPlain(a)
	if o.err != nil {
		return a
	}
	from := a.floats()
	o.refill(a, channels, 4*nn.Elements(a.shape))
	if o.err == nil {
		to, n, c, voxels := a.floats(), C.int64_t(a.shape[0]), a.width(), C.int64_t(nn.Elements(a.shape[2:]))
		o.do(a, func() { C.volume_from_float(n, c, voxels, from, to) })
	}
	return a
}

// toKernel converts a convolution kernel to one of oneDNN's layouts.
func (o *op) toKernel(a *array, to *C.layout) *array {
	if o.err != nil || a.order == kernel && C.layout_equal(a.layout, to) != 0 {
		return a
	}
	if a.order == channels {
		o.toPlain(a)
	}
	layout := o.layoutOf(a)
	if o.err != nil {
		return a
	}
	if C.layout_equal(layout, to) != 0 {
		a.order, a.layout = kernel, to
		return a
	}
	from := a.floats()
	o.refill(a, kernel, int(C.layout_bytes(to)))
	a.layout = to
	if o.err == nil {
		dst := a.floats()
		o.run(a, func() error { return failure(C.layout_convert(layout, from, to, dst)) })
	}
	return a
}

// layoutOf returns the layout of an array in row-major or kernel order.
func (o *op) layoutOf(a *array) *C.layout {
	if a.order == kernel {
		return a.layout
	}
	return o.plainLayout(a.shape)
}

// kernelIn returns a convolution kernel in one of oneDNN's layouts: the array's
// own memory or, if the array has another layout, a copy, which the caller must
// drop.
func (o *op) kernelIn(a *array, to *C.layout) (*C.float, *buffer) {
	if o.err != nil {
		return nil, nil
	}
	if a.order == channels {
		o.toPlain(a)
	}
	layout := o.layoutOf(a)
	if o.err != nil || C.layout_equal(layout, to) != 0 {
		return a.floats(), nil
	}
	copied := o.temporary(int(C.layout_bytes(to)))
	if o.err != nil {
		return nil, nil
	}
	from, dst := a.floats(), copied.floats()
	o.run(a, func() error { return failure(C.layout_convert(layout, from, to, dst)) })
	return dst, copied
}

// convertedKernel is the copy of a kernel in another layout that was made last. The backward
// passes of the uses of one kernel, as in recurrent blocks, follow each other and share it.
type convertedKernel struct {
	of     *array
	layout *C.layout
	copied *buffer
}

// sharedKernelIn is kernelIn with a copy that the backend keeps until it makes another one.
func (o *op) sharedKernelIn(a *array, to *C.layout) *C.float {
	last := &o.converted
	if o.err == nil && last.of == a && C.layout_equal(last.layout, to) != 0 {
		return last.copied.floats()
	}
	o.forgetConverted()
	p, copied := o.kernelIn(a, to)
	if copied != nil {
		*last = convertedKernel{a, to, copied}
	}
	return p
}

// forgetConverted drops the copy, before the kernel may change.
func (b *backend) forgetConverted() {
	b.res.pool.drop(b.converted.copied)
	b.converted = convertedKernel{}
}

// match converts a and b to the same order, for elementwise operations: to the
// layout of whichever is in kernel order, or else, if they are volumes, to
// channels-last order.
func (o *op) match(a, b *array) {
	if o.err != nil {
		return
	}
	switch {
	case a.order == kernel:
		o.toKernel(b, a.layout)
	case b.order == kernel:
		o.toKernel(a, b.layout)
	case len(a.shape) == 5:
		o.toChannels(a)
		o.toChannels(b)
	}
}

// refill gives an array new memory. Its old memory remains valid for work that is queued
// next, and until the end of the step if formulas and pullbacks may refer to it.
func (o *op) refill(a *array, as order, bytes int) {
	old := a.data
	o.fill(a, as, bytes)
	a.layout = nil
	switch {
	case o.err != nil:
	case a.kept && !a.operand:
		o.res.pool.drop(old)
	default:
		o.work = append(o.work, old)
	}
}
