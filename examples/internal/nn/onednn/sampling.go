//go:build onednn

package onednn

// #include <stdlib.h>
// #include "kernels.h"
import "C"

import (
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// MaxPool3D implements nn.Backend.
func (b *backend) MaxPool3D(x nn.Array, spec nn.PoolSpec) (nn.Array, nn.Pullback, error) {
	o := b.begin("MaxPool3D")
	a := o.inVolume("x", x)
	spec, err := spec.Normalized()
	if err != nil {
		o.fail("%w", err)
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	size := [3]int(a.shape[2:])
	out, err := spec.OutputSize(size)
	if err != nil {
		o.fail("%w", err)
		return nil, nil, o.end()
	}
	s := C.pool_shape{batch: C.int64_t(a.shape[0]), channels: a.width()}
	for i := range 3 {
		s.in[i], s.out[i] = C.int64_t(size[i]), C.int64_t(out[i])
		s.kernel[i], s.stride[i], s.pad[i] = C.int64_t(spec.Kernel[i]), C.int64_t(spec.Stride[i]), C.int64_t(spec.Padding[i])
	}
	y := o.volume(a.shape[0], a.shape[1], out[0], out[1], out[2])
	taps := o.scratch(4 * nn.Elements(y.shape))
	if o.err == nil {
		from, to := a.floats(), y.floats()
		o.do(a, func() { C.max_pool(&s, from, to, (*C.int32_t)(taps.p)) })
	}
	return o.finish(y, 1, []*array{y}, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(o.force(g))
		return wanted(need, func(int) *array {
			gx := o.volume(a.shape...)
			if o.err == nil {
				from, to := g.floats(), gx.floats()
				o.do(a, func() { C.max_pool_backward(&s, from, (*C.int32_t)(taps.p), to) })
			}
			return gx
		})
	})
}

// tapsKey identifies the taps of one axis.
type tapsKey struct {
	mode     nn.ResizeMode
	from, to int
	adjoint  bool // of the gradient, which maps in the opposite direction
}

// trim is the mode that removes voxels, or adds zeros, at the high end.
const trim = nn.ResizeMode(255)

// list returns the taps that the key describes, disregarding adjoint.
func (k tapsKey) list() ([]nn.ResizeTap, error) {
	if k.mode != trim {
		return k.mode.Taps(k.from, k.to)
	}
	taps := make([]nn.ResizeTap, min(k.from, k.to))
	for i := range taps {
		taps[i] = nn.ResizeTap{At: i, Next: i}
	}
	return taps, nil
}

// tapTable holds the taps of one axis in C memory.
type tapTable struct {
	t C.taps
	p unsafe.Pointer
}

func (t *tapTable) release() { C.free(t.p) }

// taps returns the taps of one axis, from the cache if possible.
func (o *op) taps(key tapsKey) C.taps {
	if t := o.res.taps[key]; t != nil || o.err != nil {
		if t == nil {
			return C.taps{}
		}
		return t.t
	}
	list, err := key.list()
	if err != nil {
		o.fail("%w", err)
		return C.taps{}
	}
	from, to := key.from, key.to
	if key.adjoint {
		from, to = to, from
	}
	// entry[i] lists the terms of the weighted sum at index i of the result.
	type source struct {
		at     int
		weight float64
	}
	entry := make([][]source, to)
	n := 0
	put := func(out, in int, weight float64) {
		if weight == 0 {
			return
		}
		if key.adjoint {
			out, in = in, out
		}
		entry[out] = append(entry[out], source{in, weight})
		n++
	}
	for d, t := range list {
		put(d, t.At, 1-t.Weight)
		put(d, t.Next, t.Weight)
	}
	p := C.malloc(C.size_t(4 * (to + 1 + 2*n)))
	if p == nil {
		o.fail("%w", errMemory)
		return C.taps{}
	}
	ints := unsafe.Slice((*int32)(p), to+1+n)
	first, index := ints[:to+1], ints[to+1:]
	weights := unsafe.Slice((*float32)(unsafe.Add(p, 4*(to+1+n))), n)
	k := 0
	for i, sources := range entry {
		first[i] = int32(k)
		for _, s := range sources {
			index[k], weights[k] = int32(s.at), float32(s.weight)
			k++
		}
	}
	first[to] = int32(k)
	t := &tapTable{p: p, t: C.taps{
		from: C.int64_t(from), to: C.int64_t(to),
		first:  (*C.int32_t)(p),
		index:  (*C.int32_t)(unsafe.Add(p, 4*(to+1))),
		weight: (*C.float)(unsafe.Add(p, 4*(to+1+n))),
	}}
	o.res.taps[key] = t
	return t.t
}

// Resize implements nn.Backend.
func (b *backend) Resize(x nn.Array, size [3]int, mode nn.ResizeMode) (nn.Array, nn.Pullback, error) {
	o := b.begin("Resize")
	a := o.inVolume("x", x)
	if o.err != nil {
		return nil, nil, o.end()
	}
	if mode == trim {
		o.fail("mode is %v, want Nearest, Linear or LinearAligned", mode)
	}
	y := o.resample(a, a.shape, size, mode, false)
	return o.finish(y, 1, nil, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(o.force(g))
		return wanted(need, func(int) *array { return o.resample(g, a.shape, size, mode, true) })
	})
}

// resample returns x, an array of the given shape, resampled to the given size. If
// adjoint is set, x is instead the gradient of such a result, and resample returns
// the gradient of its input, which has the given shape.
func (o *op) resample(x *array, shape []int, size [3]int, mode nn.ResizeMode, adjoint bool) *array {
	var t [3]C.taps
	for i := range t {
		t[i] = o.taps(tapsKey{mode, shape[2+i], size[i], adjoint})
	}
	to := []int{shape[0], shape[1], size[0], size[1], size[2]}
	if adjoint {
		to = shape
	}
	if o.err != nil {
		return nil
	}
	y := o.volume(to...)
	if o.err == nil {
		batch, width, from, dst := C.int64_t(shape[0]), x.width(), x.floats(), y.floats()
		o.do(y, func() { C.resample(batch, width, &t[0], from, dst) })
	}
	return y
}
