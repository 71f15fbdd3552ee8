//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// MaxPool3D implements nn.Backend. The pullback searches for the largest values again.
func (b *backend) MaxPool3D(x nn.Array, spec nn.PoolSpec) (nn.Array, nn.Pullback, error) {
	o := b.begin("MaxPool3D")
	a := o.volume("x", x)
	if o.err != nil {
		return nil, nil, o.end()
	}
	spec, err := spec.Normalized()
	var size [3]int
	if err == nil {
		size, err = spec.OutputSize(a.size())
	}
	if err != nil {
		o.fail("%w", err)
	}
	y := o.array(a.shape[0], a.channels(), size[0], size[1], size[2])
	if o.err != nil {
		return nil, nil, o.end()
	}
	p := C.AflPool{samples: C.int64_t(a.shape[0]), channels: C.int64_t(a.channels())}
	for axis := range 3 {
		p.in[axis], p.out[axis] = C.int32_t(a.shape[2+axis]), C.int32_t(size[axis])
		p.kernel[axis], p.stride[axis], p.padding[axis] = C.int32_t(spec.Kernel[axis]), C.int32_t(spec.Stride[axis]), C.int32_t(spec.Padding[axis])
	}
	point(&p.x, a)
	point(&p.y, y)
	o.each("afl_nn_max_pool", y.elements(), unsafe.Pointer(&p))
	return o.finish(y, 1, []*array{a}, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(a)
		o.toChannels(g)
		return wanted(need, func(int) *array {
			gx := o.similar(a)
			if o.err != nil {
				return nil
			}
			p := p
			point(&p.x, a)
			point(&p.g, g)
			point(&p.y, gx)
			o.each("afl_nn_max_pool_gradient", gx.elements(), unsafe.Pointer(&p))
			return gx
		})
	})
}

// tapsKey identifies a table of taps.
type tapsKey struct {
	mode    nn.ResizeMode
	in, out [3]int
}

// tapTable is a table of taps in device memory: AflResize.taps and AflResize.readers. Tables
// are kept until the engine is closed.
type tapTable struct{ taps, readers uintptr }

// tapTable returns the table of a resize.
func (o *op) tapTable(key tapsKey) tapTable {
	if t, found := o.taps[key]; found || o.err != nil {
		return t
	}
	var taps []C.AflTap
	var readers []C.AflReaders
	for axis := range 3 {
		list, err := key.mode.Taps(key.in[axis], key.out[axis])
		if err != nil {
			o.fail("%w", err)
			return tapTable{}
		}
		// The positions of the taps do not decrease, so that those that read a voxel are
		// consecutive.
		by := make([]C.AflReaders, key.in[axis])
		for i := range by {
			by[i] = C.AflReaders{C.int32_t(len(list)), -1}
		}
		for d, t := range list {
			taps = append(taps, C.AflTap{at: C.int32_t(t.At), next: C.int32_t(t.Next), weight: C.float(t.Weight)})
			for _, i := range []int{t.At, t.Next} {
				by[i].first, by[i].last = min(by[i].first, C.int32_t(d)), max(by[i].last, C.int32_t(d))
			}
		}
		readers = append(readers, by...)
	}
	t := tapTable{taps: o.constant(bytesOf(taps)), readers: o.constant(bytesOf(readers))}
	if o.err == nil {
		o.taps[key] = t
	}
	return t
}

// constant returns device memory with a copy of bytes of the host.
func (o *op) constant(bytes []byte) uintptr {
	address := o.keep(int64(len(bytes)))
	if o.err == nil {
		if err := o.runner.Write(address, bytes); err != nil {
			o.fail("%w", err)
		}
	}
	return address
}

// Resize implements nn.Backend.
func (b *backend) Resize(x nn.Array, size [3]int, mode nn.ResizeMode) (nn.Array, nn.Pullback, error) {
	o := b.begin("Resize")
	a := o.volume("x", x)
	if o.err != nil {
		return nil, nil, o.end()
	}
	in := a.shape
	table := o.tapTable(tapsKey{mode, a.size(), size})
	if o.err != nil {
		return nil, nil, o.end()
	}
	y := o.array(a.shape[0], a.channels(), size[0], size[1], size[2])
	resample := func(o *op, kernel string, from, to *array) {
		if o.err != nil {
			return
		}
		p := C.AflResize{samples: C.int64_t(in[0]), channels: C.int64_t(in[1])}
		for axis := range 3 {
			p.in[axis], p.out[axis] = C.int32_t(in[2+axis]), C.int32_t(size[axis])
		}
		pointAt(&p.taps, table.taps)
		pointAt(&p.readers, table.readers)
		point(&p.x, from)
		point(&p.y, to)
		o.each(kernel, to.elements(), unsafe.Pointer(&p))
	}
	resample(o, "afl_nn_resize", a, y)
	return o.finish(y, 1, nil, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(g)
		return wanted(need, func(int) *array {
			gx := o.array(in...)
			resample(o, "afl_nn_resize_gradient", g, gx)
			return gx
		})
	})
}
