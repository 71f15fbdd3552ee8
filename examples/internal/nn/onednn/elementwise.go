//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// sum is the formula p + q. If one of the two is a norm with an activation, it is
// p.
type sum struct {
	view C.view
	p, q C.term
}

func (s *sum) compute(o *op, y *array) { s.store(o, y, C.ACT_NONE) }

// store computes post(p + q).
func (s *sum) store(o *op, y *array, post C.int) {
	if o.err != nil {
		return
	}
	v, p, q, to := s.view, s.p, s.q, y.floats()
	o.do(y, func() { C.map_terms(v, p, &q, post, to) })
}

// Add implements nn.Backend.
func (b *backend) Add(x0, x1 nn.Array) (nn.Array, nn.Pullback, error) {
	o := b.begin("Add")
	a0 := o.lazy("a", x0)
	if o.err != nil {
		return nil, nil, o.end()
	}
	a1 := o.like("b", x1, a0.shape)
	if o.err != nil {
		return nil, nil, o.end()
	}
	var y *array
	if len(a0.shape) == 5 && a0.order != kernel && a1.order != kernel {
		y = o.sum(a0, a1)
	} else {
		o.force(a0)
		o.force(a1)
		o.match(a0, a1)
		if y = o.same(a0); o.err == nil {
			n, p, q, to := y.length(), a0.floats(), a1.floats(), y.floats()
			o.do(y, func() { C.add(n, p, q, to) })
		}
	}
	if o.err == nil {
		y.centered = a0.centered && a1.centered
	}
	// Gradients are never modified, so both inputs can share one.
	return o.finish(y, 2, nil, func(o *op, g *array, need []bool) []nn.Array {
		return wanted(need, func(int) *array { return g })
	})
}

// sum returns the sum of two volumes as a formula, so that an activation can be
// fused with it.
func (o *op) sum(a0, a1 *array) *array {
	p, q := o.summand(a0), o.summand(a1)
	if q != nil && q.act != C.ACT_NONE {
		a0, a1, p, q = a1, a0, q, p
	}
	if q != nil && (q.act != C.ACT_NONE || p != nil && p.n.view != q.n.view) {
		o.force(a1)
		q = nil
	}
	if o.err != nil {
		return nil
	}
	s := &sum{view: a0.view()}
	var reads []*buffer
	for _, side := range []struct {
		a *array
		f *normed
		t *C.term
	}{{a0, p, &s.p}, {a1, q, &s.q}} {
		if side.f != nil {
			s.view, *side.t = side.f.n.view, side.f.term()
			reads = append(reads, side.f.n.data)
		} else if o.toChannels(side.a); o.err == nil {
			*side.t = C.term{x: side.a.floats(), act: C.ACT_NONE}
			reads = append(reads, side.a.data)
		}
	}
	if o.err != nil {
		return nil
	}
	return o.formula(a0.shape, s, reads...)
}

// summand returns a's formula if it can be part of a sum. Otherwise it computes a
// and returns nil.
func (o *op) summand(a *array) *normed {
	if f, ok := a.formula.(*normed); ok {
		return f
	}
	o.force(a)
	return nil
}

// Mean implements nn.Backend.
func (b *backend) Mean(xs ...nn.Array) (nn.Array, nn.Pullback, error) {
	o := b.begin("Mean")
	if len(xs) == 0 {
		o.fail("no arrays given")
		return nil, nil, o.end()
	}
	first := o.arg("array 0", xs[0])
	from := make([]*C.float, len(xs))
	for i, x := range xs {
		if o.err != nil {
			break
		}
		a := o.force(o.like(fmt.Sprintf("array %d", i), x, first.shape))
		if o.match(first, a); o.err == nil {
			from[i] = a.floats()
		}
	}
	y := o.same(first)
	if o.err == nil {
		// match may have given the first array new memory.
		from[0] = first.floats()
		n, to := y.length(), y.floats()
		o.do(y, func() { C.mean_of(n, C.int64_t(len(from)), &from[0], to) })
	}
	return o.finish(y, len(xs), nil, func(o *op, g *array, need []bool) []nn.Array {
		o.force(g)
		shared := o.same(g)
		if o.err == nil {
			n, by, from, to := g.length(), C.float(1/float64(len(xs))), g.floats(), shared.floats()
			o.do(g, func() { C.scale(n, by, from, to) })
		}
		return wanted(need, func(int) *array { return shared })
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
	at := make([]int, len(xs)+1) // first channel of each part
	for i, x := range xs {
		a := o.inVolume(fmt.Sprintf("array %d", i), x)
		if o.err != nil {
			return nil, nil, o.end()
		}
		if first := parts[0]; i > 0 && (a.shape[0] != first.shape[0] || !slices.Equal(a.shape[2:], first.shape[2:])) {
			o.fail("array %d has shape %v, want the batch and spatial size of array 0, %v", i, a.shape, first.shape)
			return nil, nil, o.end()
		}
		parts[i] = a
		at[i+1] = at[i] + a.shape[1]
	}
	shape := append([]int(nil), parts[0].shape...)
	shape[1] = at[len(xs)]
	y := o.volume(shape...)
	for i, a := range parts {
		if o.err == nil {
			rows, width, wide, to := y.rows(), a.width(), y.width(), C.int64_t(at[i])
			from, dst := a.floats(), y.floats()
			o.do(y, func() { C.copy_channels(rows, width, from, width, 0, dst, wide, to) })
		}
	}
	return o.finish(y, len(xs), nil, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(o.force(g))
		return wanted(need, func(i int) *array {
			gx := o.volume(parts[i].shape...)
			if o.err == nil {
				rows, width, wide, from := g.rows(), gx.width(), g.width(), C.int64_t(at[i])
				src, dst := g.floats(), gx.floats()
				o.do(g, func() { C.copy_channels(rows, width, src, wide, from, dst, width, 0) })
			}
			return gx
		})
	})
}

// RepeatChannels implements nn.Backend.
func (b *backend) RepeatChannels(x nn.Array, width int) (nn.Array, nn.Pullback, error) {
	o := b.begin("RepeatChannels")
	a := o.inVolume("x", x)
	if o.err == nil && width < a.shape[1] {
		o.fail("channels is %d, want at least the %d of x", width, a.shape[1])
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	y := o.volume(a.shape[0], width, a.shape[2], a.shape[3], a.shape[4])
	rows, in, out := a.rows(), a.width(), C.int64_t(width)
	if o.err == nil {
		from, to := a.floats(), y.floats()
		o.do(y, func() { C.repeat_channels(rows, in, out, from, to) })
	}
	return o.finish(y, 1, nil, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(o.force(g))
		return wanted(need, func(int) *array {
			gx := o.volume(a.shape...)
			if o.err == nil {
				from, to := g.floats(), gx.floats()
				o.do(g, func() { C.repeat_backward(rows, in, out, from, to) })
			}
			return gx
		})
	})
}

// Gate implements nn.Backend.
func (b *backend) Gate(x, gate nn.Array) (nn.Array, nn.Pullback, error) {
	o := b.begin("Gate")
	a := o.inVolume("x", x)
	if o.err != nil {
		return nil, nil, o.end()
	}
	by := o.inVolume("gate", gate)
	if want := append([]int{a.shape[0], 1}, a.shape[2:]...); o.err == nil && !slices.Equal(by.shape, want) {
		o.fail("gate has shape %v, want %v", by.shape, want)
	}
	y := o.volume(a.shape...)
	if o.err != nil {
		return nil, nil, o.end()
	}
	rows, width, px, pby, to := a.rows(), a.width(), a.floats(), by.floats(), y.floats()
	o.do(y, func() { C.gate(rows, width, px, pby, to) })
	return o.finish(y, 2, []*array{a, by}, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(o.force(g))
		grads := [2]*array{}
		var to [2]*C.float
		for i, in := range []*array{a, by} {
			if !need[i] {
				continue
			}
			if grads[i] = o.volume(in.shape...); o.err == nil {
				to[i] = grads[i].floats()
			}
		}
		if o.err == nil {
			from := g.floats()
			o.do(g, func() { C.gate_backward(rows, width, px, pby, from, to[0], to[1]) })
		}
		return wanted(need, func(i int) *array { return grads[i] })
	})
}

// Dropout3D implements nn.Backend.
func (b *backend) Dropout3D(x nn.Array, probability float64, seed uint64) (nn.Array, nn.Pullback, error) {
	o := b.begin("Dropout3D")
	a := o.inVolume("x", x)
	if !(probability >= 0 && probability < 1) {
		o.fail("probability is %v, want a number in [0, 1)", probability)
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	planes := a.shape[0] * a.shape[1]
	mask := make([]float32, planes)
	for i, m := range nn.DropoutMask(planes, probability, seed) {
		mask[i] = float32(m)
	}
	apply := func(o *op, src *array) *array {
		dst := o.volume(a.shape...)
		if o.err == nil {
			v, from, to := a.samples(), src.floats(), dst.floats()
			o.do(src, func() { C.drop(v, from, (*C.float)(unsafe.Pointer(&mask[0])), to) })
		}
		return dst
	}
	return o.finish(apply(o, a), 1, nil, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(o.force(g))
		return wanted(need, func(int) *array { return apply(o, g) })
	})
}
