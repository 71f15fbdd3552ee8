//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// channelsOf returns the arguments of an operation by channel of a volume of the shape of x,
// and its result y.
func channelsOf(x, y *array) C.AflChannels {
	p := C.AflChannels{rows: C.int64_t(x.rows()), voxels: C.int64_t(x.voxels()), channels: C.int64_t(x.channels())}
	point(&p.x, x)
	point(&p.y, y)
	return p
}

// PReLU implements nn.Backend.
func (b *backend) PReLU(x, slope nn.Array) (nn.Array, nn.Pullback, error) {
	o := b.begin("PReLU")
	a, w := o.lazyVolume("x", x), o.arg("slope", slope)
	if o.err == nil && (len(w.shape) != 1 || w.shape[0] != 1 && w.shape[0] != a.channels()) {
		o.fail("slope has shape %v, want [1] or [%d]", w.shape, a.channels())
	}
	if o.err == nil {
		if f, ok := a.formula.(*normed); ok && f.act.function == C.AFL_IDENTITY {
			return o.preluNorm(a, f, w)
		}
	}
	o.toChannels(o.force(a))
	y := o.similar(a)
	if o.err != nil {
		return nil, nil, o.end()
	}
	p := channelsOf(a, y)
	p.slopes = C.int64_t(w.shape[0])
	point(&p.factor, w)
	o.each("afl_nn_prelu", a.elements(), unsafe.Pointer(&p))
	return o.finish(y, 2, []*array{a, w}, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(a)
		o.toChannels(g)
		return wanted(need, func(input int) *array {
			if input == 1 {
				return o.slopeGradient(a, g, w)
			}
			gx := o.similar(a)
			if o.err != nil {
				return nil
			}
			p := channelsOf(a, gx)
			p.slopes = C.int64_t(w.shape[0])
			point(&p.factor, w)
			point(&p.g, g)
			o.each("afl_nn_prelu_gradient", a.elements(), unsafe.Pointer(&p))
			return gx
		})
	})
}

// slopeGradient returns the gradient of the slopes w, one for every channel of x or one for
// all.
func (o *op) slopeGradient(x, g, w *array) *array {
	shape := x.shape
	if w.shape[0] == 1 { // all values of a sample are of one channel
		shape = []int{x.shape[0], 1, x.channels() * x.voxels(), 1, 1}
	}
	r := o.rowsOf(shape, 1)
	gw := o.rowMajor(w.shape...)
	if o.err != nil {
		return nil
	}
	point(&r.args.x, x)
	point(&r.args.g, g)
	point(&r.args.y, gw)
	o.launch("afl_nn_prelu_slope_sums", r.blocks, unsafe.Pointer(&r.args))
	o.launch("afl_nn_sum_partials", w.shape[0], unsafe.Pointer(&r.args))
	return gw
}

// Dropout3D implements nn.Backend.
func (b *backend) Dropout3D(x nn.Array, probability float64, seed uint64) (nn.Array, nn.Pullback, error) {
	o := b.begin("Dropout3D")
	a := o.volume("x", x)
	if o.err == nil && !(probability >= 0 && probability < 1) {
		o.fail("probability is %v, want a number in [0, 1)", probability)
	}
	drop := func(o *op, x *array) *array {
		y := o.similar(x)
		if o.err != nil {
			return nil
		}
		p := channelsOf(x, y)
		pointAt(&p.seed, o.store(bytesOf([]uint64{seed})))
		// nn.DropoutMask keeps a channel if its hash/2⁵³ is at least the probability.
		p.threshold = C.uint64_t(math.Ceil(probability * (1 << 53)))
		p.kept = C.float(1 / (1 - probability))
		o.each("afl_nn_dropout", x.elements(), unsafe.Pointer(&p))
		return y
	}
	y := drop(o, a)
	return o.finish(y, 1, nil, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(g)
		return wanted(need, func(int) *array { return drop(o, g) })
	})
}

// Gate implements nn.Backend.
func (b *backend) Gate(x, gate nn.Array) (nn.Array, nn.Pullback, error) {
	o := b.begin("Gate")
	a := o.volume("x", x)
	if o.err != nil {
		return nil, nil, o.end()
	}
	one := slices.Clone(a.shape)
	one[1] = 1
	w := o.toChannels(o.like("gate", gate, one))
	product := func(o *op, x *array) *array {
		y := o.similar(x)
		if o.err != nil {
			return nil
		}
		p := channelsOf(x, y)
		point(&p.factor, w)
		o.each("afl_nn_gate", x.elements(), unsafe.Pointer(&p))
		return y
	}
	y := product(o, a)
	return o.finish(y, 2, []*array{a, w}, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(a)
		o.toChannels(g)
		return wanted(need, func(input int) *array {
			if input == 0 {
				return product(o, g)
			}
			gw := o.array(one...)
			if o.err != nil {
				return nil
			}
			p := channelsOf(a, gw)
			point(&p.g, g)
			o.each("afl_nn_gate_gradient", a.rows(), unsafe.Pointer(&p))
			return gw
		})
	})
}

// slice enqueues a kernel on a volume and a volume of some of its channels, from offset on.
func (o *op) slice(kernel string, whole, part *array, offset, elements int) {
	if o.err != nil {
		return
	}
	p := C.AflSlice{rows: C.int64_t(whole.rows()), channels: C.int64_t(whole.channels()), part_channels: C.int64_t(part.channels()), offset: C.int64_t(offset)}
	point(&p.whole, whole)
	point(&p.part, part)
	o.each(kernel, elements, unsafe.Pointer(&p))
}

// RepeatChannels implements nn.Backend.
func (b *backend) RepeatChannels(x nn.Array, channels int) (nn.Array, nn.Pullback, error) {
	o := b.begin("RepeatChannels")
	a := o.volume("x", x)
	if o.err == nil && channels < a.channels() {
		o.fail("channels is %d, want at least the %d of x", channels, a.channels())
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	shape := slices.Clone(a.shape)
	shape[1] = channels
	y := o.array(shape...)
	if o.err == nil {
		o.slice("afl_nn_repeat", y, a, 0, y.elements())
	}
	in := a.shape
	return o.finish(y, 1, nil, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(g)
		return wanted(need, func(int) *array {
			gx := o.array(in...)
			if o.err == nil {
				o.slice("afl_nn_repeat_gradient", g, gx, 0, gx.elements())
			}
			return gx
		})
	})
}

// Concat implements nn.Backend.
func (b *backend) Concat(xs ...nn.Array) (nn.Array, nn.Pullback, error) {
	o := b.begin("Concat")
	if len(xs) == 0 {
		o.fail("no arrays given")
		return nil, nil, o.end()
	}
	parts := make([]*array, len(xs))
	shapes, from := make([][]int, len(xs)), make([]int, len(xs)) // first channel of each part
	channels := 0
	for i, x := range xs {
		if parts[i] = o.volume(fmt.Sprintf("array %d", i), x); o.err != nil {
			return nil, nil, o.end()
		}
		shapes[i], from[i] = parts[i].shape, channels
		if first := shapes[0]; shapes[i][0] != first[0] || !slices.Equal(shapes[i][2:], first[2:]) {
			o.fail("array %d has shape %v, want the batch and spatial size of array 0, %v", i, shapes[i], first)
			return nil, nil, o.end()
		}
		channels += parts[i].channels()
	}
	shape := slices.Clone(shapes[0])
	shape[1] = channels
	y := o.array(shape...)
	for i, part := range parts {
		o.slice("afl_nn_insert", y, part, from[i], part.elements())
	}
	return o.finish(y, len(xs), nil, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(g)
		return wanted(need, func(i int) *array {
			part := o.array(shapes[i]...)
			if o.err == nil {
				o.slice("afl_nn_extract", g, part, from[i], part.elements())
			}
			return part
		})
	})
}
