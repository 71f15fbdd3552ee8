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

// order is how an array's numbers lie in memory.
type order uint8

const (
	plain    order = iota // row-major
	channels              // N×C×X×Y×Z with the channel fastest
	kernel                // a convolution kernel in oneDNN's own layout
)

// array is a block of numbers, or a formula for one.
type array struct {
	owner *backend
	shape []int
	kept  bool
	ended bool // it was released or its step is over

	data    *buffer // nil while formula holds the value
	order   order
	layout  *C.layout // of a kernel
	formula formula   // nil where data is there
	holds   []*buffer // what the formula reads

	// centered says that every channel sums to 0, as the gradient that a norm
	// passes on does: a shift of its input changes nothing.
	centered bool
}

// formula computes an array's numbers when they are asked for.
type formula interface {
	// compute stores the numbers in y, a new array in channels-last order.
	compute(o *op, y *array)
}

// Shape implements nn.Array.
func (a *array) Shape() []int { return a.shape }

// DType implements nn.Array.
func (a *array) DType() nn.DType { return nn.Float32 }

// String returns the shape, for the profile and errors.
func (a *array) String() string { return fmt.Sprint(a.shape) }

func (a *array) floats() *C.float { return a.data.floats() }

// length is the number of floats in memory, with what a layout pads.
func (a *array) length() C.int64_t { return C.int64_t(a.data.bytes / 4) }

// rows is the number of voxels of all samples of a volume; channels the width.
func (a *array) rows() C.int64_t {
	return C.int64_t(a.shape[0] * a.shape[2] * a.shape[3] * a.shape[4])
}

func (a *array) width() C.int64_t { return C.int64_t(a.shape[1]) }

// view returns a volume as one block.
func (a *array) view() C.view { return C.view{1, a.rows() * a.width(), a.width()} }

// samples returns a volume as a block per sample.
func (a *array) samples() C.view {
	n := C.int64_t(a.shape[0])
	return C.view{n, a.rows() / n * a.width(), a.width()}
}

// array returns an array of the step without memory.
func (o *op) array(shape []int) *array {
	a := &array{owner: o.backend, shape: shape}
	o.step = append(o.step, a)
	return a
}

// volume returns a new channels-last array of the step.
func (o *op) volume(shape ...int) *array {
	return o.fill(o.array(shape), channels, 4*nn.Elements(shape))
}

// vector returns a new plain array of the step.
func (o *op) vector(shape ...int) *array { return o.fill(o.array(shape), plain, 4*nn.Elements(shape)) }

// fill gives an array memory of its own.
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

// formula returns an array of the step whose numbers are computed on demand from
// the given buffers.
func (o *op) formula(shape []int, f formula, reads ...*buffer) *array {
	a := o.array(shape)
	a.order, a.formula, a.holds = channels, f, reads
	for _, m := range reads {
		m.users++
	}
	return a
}

// lazy checks that an argument is a live array of this backend.
func (o *op) lazy(name string, x nn.Array) *array {
	if x == nil {
		o.fail("%s is nil", name)
		return nil
	}
	a, ok := x.(*array)
	switch {
	case !ok || a.owner != o.backend:
		o.fail("%s belongs to another backend", name)
		return nil
	case a.ended:
		o.fail("%s is used after its release or the end of its step", name)
		return nil
	}
	return a
}

// force computes an array's formula.
func (o *op) force(a *array) *array {
	if o.err != nil || a == nil || a.formula == nil {
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

// arg checks an argument and computes it, in whatever order it is.
func (o *op) arg(name string, x nn.Array) *array { return o.force(o.lazy(name, x)) }

// lazyVolume checks that an argument has the shape N×C×X×Y×Z.
func (o *op) lazyVolume(name string, x nn.Array) *array {
	a := o.lazy(name, x)
	if o.err == nil && len(a.shape) != 5 {
		o.fail("%s has shape %v, want N×C×X×Y×Z", name, a.shape)
	}
	return a
}

// inVolume checks that an argument has the shape N×C×X×Y×Z, and brings it to
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

// like checks that an argument has the given shape.
func (o *op) like(name string, x nn.Array, shape []int) *array {
	a := o.lazy(name, x)
	if o.err == nil && !slices.Equal(a.shape, shape) {
		o.fail("%s has shape %v, want %v", name, a.shape, shape)
	}
	return a
}

// Orders change in place: an array's numbers stay what they are, and the next
// operation that wants them in the same order finds them there. What is queued
// takes pointers, never arrays, since those change while the work waits.

// toPlain brings an array to row-major order.
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

// toChannels brings a volume to channels-last order.
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

// toKernel brings a convolution kernel to one of oneDNN's layouts.
func (o *op) toKernel(a *array, to *C.layout) *array {
	if o.err != nil || a.order == kernel && C.layout_equal(a.layout, to) != 0 {
		return a
	}
	from, copied := o.kernelIn(a, to)
	if o.err != nil {
		return a
	}
	bytes := int(C.layout_bytes(to))
	o.refill(a, kernel, bytes)
	a.layout = to
	if o.err == nil {
		dst, n := a.floats(), C.int64_t(bytes/4)
		o.do(a, func() { C.scale(n, 1, from, dst) })
	}
	o.res.pool.drop(copied)
	return a
}

// kernelIn returns a convolution kernel in one of oneDNN's layouts: the array's
// own numbers or, where it has another layout, a copy, to be dropped.
func (o *op) kernelIn(a *array, to *C.layout) (*C.float, *buffer) {
	if o.err != nil {
		return nil, nil
	}
	if a.order == channels {
		o.toPlain(a)
	}
	layout := a.layout
	if a.order == plain {
		layout = o.plainLayout(a.shape)
	}
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

// match brings b to the order of a, for operations on single elements. Volumes
// come to channels-last order first.
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

// refill gives an array new memory. What it had stays until the end of the step,
// for formulas and pullbacks that point to it.
func (o *op) refill(a *array, as order, bytes int) {
	old := a.data
	o.fill(a, as, bytes)
	a.layout = nil
	if o.err == nil {
		o.work = append(o.work, old)
	}
}
