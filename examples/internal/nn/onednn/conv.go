//go:build onednn

package onednn

// #include "kernels.h"
// #include "shim.h"
import "C"

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// A convolution and a transposed convolution are the two directions of one linear
// map between a fine volume (input of the convolution, result of the transposed
// convolution) and a coarse one; see conv_shape. Each direction is the other's
// gradient, so both operations and their gradients need only three kinds of
// primitive.

// convKey identifies a primitive.
type convKey struct {
	kind  C.int
	bias  bool
	shape C.conv_shape
}

// String describes the convolution for the profile and for errors.
func (k convKey) String() string {
	s := k.shape
	return fmt.Sprintf("%d×%d-%d, fine %d×%d×%d, kernel %d×%d×%d, stride %d×%d×%d", s.batch, s.cols, s.rows,
		s.fine[0], s.fine[1], s.fine[2], s.kernel[0], s.kernel[1], s.kernel[2], s.stride[0], s.stride[1], s.stride[2])
}

// convolution is a compiled primitive.
type convolution struct {
	key     convKey
	c       *C.conv
	layout  *C.layout
	scratch int
}

func (c *convolution) release() { C.conv_free(c.c) }

// String describes the convolution and the implementation chosen for it.
func (c *convolution) String() string {
	return c.key.String() + ", " + C.GoString(C.conv_implementation(c.c))
}

// primitive returns a compiled convolution, from the cache if possible.
func (o *op) primitive(kind C.int, bias bool, shape C.conv_shape) *convolution {
	if o.err != nil {
		return nil
	}
	key := convKey{kind, bias, shape}
	if c := o.res.convs[key]; c != nil {
		return c
	}
	var c convolution
	var err error
	with := C.int(0)
	if bias {
		with = 1
	}
	// Compile on the worker, where oneDNN sees the number of threads that it will
	// run with.
	o.worker.wait(func() {
		err = failure(C.conv_open(&c.c, &key.shape, kind, with))
	})
	if err != nil {
		o.fail("%v: %w", key, err)
		return nil
	}
	c.key, c.layout, c.scratch = key, C.conv_weights(c.c), int(C.conv_scratch(c.c))
	o.res.convs[key] = &c
	return &c
}

// plainLayout returns the row-major layout of a kernel.
func (o *op) plainLayout(shape []int) *C.layout {
	if o.err != nil {
		return nil
	}
	key := [5]int(shape)
	if l := o.res.layouts[key]; l != nil {
		return l
	}
	var dims [5]C.int64_t
	for i, d := range shape {
		dims[i] = C.int64_t(d)
	}
	var l *C.layout
	if err := failure(C.layout_plain(&l, &dims[0])); err != nil {
		o.fail("kernel of shape %v: %w", shape, err)
		return nil
	}
	o.res.layouts[key] = l
	return l
}

// Conv3D implements nn.Backend.
func (b *backend) Conv3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	return b.begin("Conv3D").conv(x, weight, bias, spec, false)
}

// ConvTranspose3D implements nn.Backend.
func (b *backend) ConvTranspose3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	return b.begin("ConvTranspose3D").conv(x, weight, bias, spec, true)
}

func (o *op) conv(x, weight, bias nn.Array, spec nn.ConvSpec, transposed bool) (nn.Array, nn.Pullback, error) {
	a := o.lazyVolume("x", x)
	w := o.force(o.parameter("weight", weight))
	if o.err == nil && len(w.shape) != 5 {
		o.fail("weight has shape %v, want 5 axes", w.shape)
	}
	spec, err := spec.Normalized()
	if err != nil {
		o.fail("%w", err)
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	rows, cols := w.shape[0], w.shape[1]
	in, out, axis := cols, rows, 1
	if transposed {
		in, out, axis = rows, cols, 0
	}
	if a.shape[1] != in {
		o.fail("x has %d channels, want %d as given by axis %d of the weight's shape %v", a.shape[1], in, axis, w.shape)
	}
	var add *array
	if bias != nil {
		add = o.inVector("bias", bias, out)
	}
	size, taps := [3]int(a.shape[2:]), [3]int(w.shape[2:])
	var ySize [3]int
	if transposed {
		ySize, err = spec.TransposedSize(size, taps)
	} else {
		if spec.OutputPadding != [3]int{} {
			o.fail("output padding is %v, want 0 except in a transposed convolution", spec.OutputPadding)
		}
		ySize, err = spec.OutputSize(size, taps)
	}
	if err != nil {
		o.fail("%w", err)
	}
	fine, coarse := size, ySize
	if transposed {
		fine, coarse = ySize, size
	}
	shape := convShape(a.shape[0], rows, cols, fine, coarse, taps, spec)
	o.toChannels(o.force(a))
	var y *array
	if transposed {
		y = o.toFine(shape, w, a, ySize, true)
		if o.err == nil && add != nil {
			rows, width, shift, to := y.rows(), y.width(), add.floats(), y.floats()
			o.part("bias").do(y, func() { C.channel_add(rows, width, shift, to) })
		}
	} else {
		y = o.toCoarse(shape, w, add, a, ySize, true)
	}
	return o.finish(y, 3, []*array{a, w}, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(o.force(g))
		var gx, gw, gb *array
		switch {
		case transposed:
			if need[0] {
				gx = o.toCoarse(shape, w, nil, g, size, false)
			}
			if need[1] {
				gw, _ = o.weightGradient(shape, w.shape, false, g, a)
			}
		default:
			if need[0] {
				gx = o.toFine(shape, w, g, size, false)
			}
			if need[1] {
				gw, gb = o.weightGradient(shape, w.shape, need[2] && !g.centered, a, g)
			}
		}
		if need[2] && gb == nil {
			gb = o.biasGradient(g)
		}
		return wanted(need, func(i int) *array { return [...]*array{gx, gw, gb}[i] })
	})
}

func convShape(batch, rows, cols int, fine, coarse, kernel [3]int, spec nn.ConvSpec) C.conv_shape {
	s := C.conv_shape{batch: C.int64_t(batch), rows: C.int64_t(rows), cols: C.int64_t(cols)}
	for i := range 3 {
		s.fine[i], s.coarse[i], s.kernel[i] = C.int64_t(fine[i]), C.int64_t(coarse[i]), C.int64_t(kernel[i])
		s.stride[i], s.dilation[i], s.pad[i] = C.int64_t(spec.Stride[i]), C.int64_t(spec.Dilation[i]), C.int64_t(spec.Padding[i])
		span := (coarse[i]-1)*spec.Stride[i] + (kernel[i]-1)*spec.Dilation[i] + 1
		s.pad_high[i] = C.int64_t(span - fine[i] - spec.Padding[i])
	}
	return s
}

// part returns the operation with name appended to its name in the profile.
func (o *op) part(name string) *op {
	return &op{backend: o.backend, name: o.name + " " + name, err: o.err}
}

// reached reduces the fine volume in s to the part that taps reach, which is all
// that oneDNN supports, and returns its spatial size: an output padding of the
// stride or more adds voxels that no tap reaches. all reports whether that part is
// the whole volume.
func reached(s *C.conv_shape) (size [3]int, all bool) {
	all = true
	for i := range size {
		size[i] = int(s.fine[i])
		if over := int(1 - s.stride[i] - s.pad_high[i]); over > 0 {
			size[i] -= over
			s.fine[i] -= C.int64_t(over)
			s.pad_high[i] += C.int64_t(over)
			all = false
		}
	}
	return size, all
}

// trimmed returns the part of a fine volume that the taps of a convolution reach,
// and reduces shape to it.
func (o *op) trimmed(shape *C.conv_shape, fine *array) *array {
	size, all := reached(shape)
	if all || o.err != nil {
		return fine
	}
	return o.resample(fine, fine.shape, size, trim, false)
}

// toCoarse returns the convolution of fine; size is the spatial size of the result.
// See apply for forward.
func (o *op) toCoarse(shape C.conv_shape, w, bias, fine *array, size [3]int, forward bool) *array {
	fine = o.trimmed(&shape, fine)
	if o.err != nil {
		return nil
	}
	y := o.volume(fine.shape[0], int(shape.rows), size[0], size[1], size[2])
	o.apply(C.CONV_TO_COARSE, shape, w, bias, fine, y, forward)
	return y
}

// toFine returns the adjoint of toCoarse, applied to coarse.
func (o *op) toFine(shape C.conv_shape, w, coarse *array, size [3]int, forward bool) *array {
	part, all := reached(&shape)
	if o.err != nil {
		return nil
	}
	y := o.volume(coarse.shape[0], int(shape.cols), part[0], part[1], part[2])
	o.apply(C.CONV_TO_FINE, shape, w, nil, y, coarse, forward)
	if all || o.err != nil {
		return y
	}
	return o.resample(y, y.shape, size, trim, false)
}

// apply computes one direction. In the forward pass it converts the kernel itself
// to the layout that the primitive requires, so the forward pass determines the
// layout in which a kernel is stored; a backward pass that requires another layout
// uses a copy.
func (o *op) apply(kind C.int, shape C.conv_shape, w, bias, fine, coarse *array, forward bool) {
	p := o.primitive(kind, bias != nil, shape)
	if o.err != nil {
		return
	}
	var weights, add *C.float
	if forward {
		if o.toKernel(w, p.layout); o.err == nil {
			weights = w.floats()
		}
	} else {
		weights = o.part("kernel").sharedKernelIn(w, p.layout)
	}
	scratch := o.temporary(p.scratch)
	if o.err != nil {
		return
	}
	if bias != nil {
		add = bias.floats()
	}
	f, c := fine.floats(), coarse.floats()
	o.run(p, func() error { return failure(C.conv_run(p.c, f, weights, add, c, scratch.p)) })
	o.res.pool.drop(scratch)
}

// weightGradient returns the gradient of the kernel and, with bias, that of a
// bias added to the coarse volume.
func (o *op) weightGradient(shape C.conv_shape, kernelShape []int, bias bool, fine, coarse *array) (gw, gb *array) {
	fine = o.trimmed(&shape, fine)
	p := o.primitive(C.CONV_WEIGHT, bias, shape)
	if o.err != nil {
		return nil, nil
	}
	gw = o.fill(o.array(kernelShape), kernel, int(C.layout_bytes(p.layout)))
	gw.layout = p.layout
	var add *C.float
	if bias {
		gb = o.vector(kernelShape[0])
	}
	scratch := o.temporary(p.scratch)
	if o.err != nil {
		return nil, nil
	}
	if bias {
		add = gb.floats()
	}
	f, k, c := fine.floats(), gw.floats(), coarse.floats()
	o.part("weights").run(p, func() error { return failure(C.conv_run(p.c, f, k, add, c, scratch.p)) })
	o.res.pool.drop(scratch)
	return gw, gb
}

// biasGradient sums a gradient over batch and space. If the sum is 0 by
// construction it returns zeros, since summation would yield only rounding errors.
func (o *op) biasGradient(g *array) *array {
	out := o.vector(g.shape[1])
	switch {
	case o.err != nil:
	case g.centered:
		n, to := g.width(), out.floats()
		o.part("bias").do(out, func() { C.zero(n, to) })
	default:
		rows, width, from, to := g.rows(), g.width(), g.floats(), out.floats()
		o.part("bias").do(g, func() { C.channel_sum(rows, width, from, to) })
	}
	return out
}
