//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"github.com/x/afl/examples/internal/nn"
)

// Activate implements nn.Backend.
func (b *backend) Activate(x nn.Array, f nn.Activation) (nn.Array, nn.Pullback, error) {
	o := b.begin(f.String())
	a := o.lazy("x", x)
	var act C.int
	switch f {
	case nn.ReLU:
		act = C.ACT_RELU
	case nn.ELU:
		act = C.ACT_ELU
	case nn.Sigmoid:
		act = C.ACT_SIGMOID
	default:
		o.fail("f is %v, want ReLU, ELU or Sigmoid", f)
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	switch from := a.formula.(type) {
	case *normed:
		if from.act == C.ACT_NONE {
			return o.activateNorm(a, &normed{n: from.n, act: act})
		}
	case *sum:
		return o.activateSum(a, from, act)
	}
	o.force(a)
	y := o.same(a)
	if o.err != nil {
		return nil, nil, o.end()
	}
	v := flat(a)
	from, to := a.floats(), y.floats()
	o.do(a, func() { C.map_terms(v, C.term{x: from, act: act}, nil, C.ACT_NONE, to) })
	return o.finish(y, 1, []*array{a}, func(o *op, g *array, need []bool) []nn.Array {
		return wanted(need, func(int) *array {
			o.force(g)
			o.match(a, g)
			gx := o.same(a)
			if o.err == nil {
				v, x, g, to := flat(a), a.floats(), g.floats(), gx.floats()
				o.do(a, func() { C.backward_map(v, C.term{x: x, act: act}, g, nil, nil, nil, to) })
			}
			return gx
		})
	})
}

// flat returns all memory of an array as one block of one channel.
func flat(a *array) C.view { return C.view{1, a.length(), 1} }

// same returns a new array with the shape and order of a that lasts until the end
// of the step.
func (o *op) same(a *array) *array {
	if o.err != nil {
		return nil
	}
	y := o.fill(o.array(a.shape), a.order, a.data.bytes)
	y.layout = a.layout
	return y
}

// activateNorm returns the activation of a norm as a formula, so that the norm
// itself need not be stored. Its gradient is a formula too.
func (o *op) activateNorm(a *array, f *normed) (nn.Array, nn.Pullback, error) {
	y := o.formula(a.shape, f, f.n.data)
	return o.finish(y, 1, []*array{f.n.x}, func(o *op, g *array, need []bool) []nn.Array {
		return wanted(need, func(int) *array {
			o.toChannels(o.force(g))
			return o.formula(a.shape, &activated{f: f, g: g.data}, g.data, f.n.data)
		})
	})
}

// activateSum computes the activation of a sum in one pass. It does not store the
// sum, since the gradient can be computed from the result.
func (o *op) activateSum(a *array, f *sum, act C.int) (nn.Array, nn.Pullback, error) {
	y := o.volume(a.shape...)
	f.store(o, y, act)
	return o.finish(y, 1, []*array{y}, func(o *op, g *array, need []bool) []nn.Array {
		return wanted(need, func(int) *array {
			o.toChannels(o.force(g))
			gx := o.same(y)
			if o.err == nil {
				n, from, of, to := y.length(), g.floats(), y.floats(), gx.floats()
				o.do(y, func() { C.backward_post(n, act, from, of, to) })
			}
			return gx
		})
	})
}

// PReLU implements nn.Backend.
func (b *backend) PReLU(x, slope nn.Array) (nn.Array, nn.Pullback, error) {
	o := b.begin("PReLU")
	a := o.lazyVolume("x", x)
	w := o.arg("slope", slope)
	if o.err == nil && (len(w.shape) != 1 || w.shape[0] != 1 && w.shape[0] != a.shape[1]) {
		o.fail("slope has shape %v, want [1] or [%d]", w.shape, a.shape[1])
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	slopes := o.floats(a.shape[1])
	if o.err == nil {
		from, n, width := w.floats(), C.int64_t(w.shape[0]), a.width()
		o.part("slopes").do(w, func() { C.repeat_channels(1, n, width, from, slopes) })
	}
	fused, ok := a.formula.(*normed)
	if ok = ok && fused.act == C.ACT_NONE; ok {
		fused = &normed{n: fused.n, act: C.ACT_PRELU, slope: slopes}
	} else {
		o.toChannels(o.force(a))
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	var y *array
	v, t, saved := a.view(), C.term{act: C.ACT_PRELU, slope: slopes}, a
	if ok {
		y = o.formula(a.shape, fused, fused.n.data)
		v, t, saved = fused.n.view, fused.term(), fused.n.x
	} else if y = o.volume(a.shape...); o.err == nil {
		t.x = a.floats()
		to := y.floats()
		o.do(a, func() { C.map_terms(v, t, nil, C.ACT_NONE, to) })
	}
	return o.finish(y, 2, []*array{saved, w}, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(o.force(g))
		var sums *C.double
		if o.err == nil && (need[1] || ok) {
			sums = o.sums(a, v, t, g.data)
		}
		return wanted(need, func(i int) *array {
			switch {
			case o.err != nil:
				return nil
			case i == 0 && ok:
				return o.formula(a.shape, &activated{f: fused, g: g.data, sums: sums}, g.data, fused.n.data)
			case i == 0:
				gx := o.volume(a.shape...)
				if o.err == nil {
					from, to := g.floats(), gx.floats()
					o.do(a, func() { C.backward_map(v, t, from, nil, nil, nil, to) })
				}
				return gx
			}
			gw := o.vector(w.shape...)
			if o.err == nil {
				n, to := C.int64_t(w.shape[0]), gw.floats()
				o.part("slopes").do(w, func() { C.slope_gradient(v, sums, n, to) })
			}
			return gw
		})
	})
}
