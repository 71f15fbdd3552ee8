//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// norm is a norm of x whose coefficients have been computed.
type norm struct {
	x      *array
	data   *buffer // of x, which may be released before the last formula that reads it
	view   C.view
	groups C.int64_t
	coef   C.coefficients
	weight *array // nil if the norm has no weight and bias
	fixed  bool   // the statistics do not depend on x
}

// normed is the formula act(norm(x)).
type normed struct {
	n     *norm
	act   C.int
	slope *C.float // of ACT_PRELU, one per channel
}

func (f *normed) term() C.term {
	return C.term{x: f.n.data.floats(), norm: f.n.coef, act: f.act, slope: f.slope}
}

func (f *normed) compute(o *op, y *array) {
	v, t, to := f.n.view, f.term(), y.floats()
	o.part("apply").do(y, func() { C.map_terms(v, t, nil, C.ACT_NONE, to) })
}

// BatchNorm implements nn.Backend.
func (b *backend) BatchNorm(x, weight, bias, runningMean, runningVar nn.Array, spec nn.BatchNormSpec) (nn.Array, nn.Pullback, error) {
	o := b.begin("BatchNorm")
	a := o.inVolume("x", x)
	if o.err != nil {
		return nil, nil, o.end()
	}
	c := a.shape[1]
	w, shift := o.inVector("weight", weight, c), o.inVector("bias", bias, c)
	mean, variance := o.inVector("runningMean", runningMean, c), o.inVector("runningVar", runningVar, c)
	o.checkEpsilon(spec.Epsilon)
	n := &norm{x: a, data: a.data, view: a.view(), groups: a.width(), weight: w, fixed: !spec.Training}
	if spec.Training && a.rows() < 2 {
		o.fail("x has shape %v, want more than one value per channel in training", a.shape)
	}
	o.coefficients(n, c)
	if o.err != nil {
		return nil, nil, o.end()
	}
	from, coef, v, groups := a.floats(), n.coef, n.view, n.groups
	pw, pb, pm, pv := w.floats(), shift.floats(), mean.floats(), variance.floats()
	epsilon, momentum := C.double(spec.Epsilon), C.double(spec.Momentum)
	if spec.Training {
		o.part("statistics").do(a, func() {
			C.norm_statistics(v, from, groups, epsilon, pw, pb, pm, pv, momentum, coef)
		})
	} else {
		o.part("statistics").do(a, func() { C.norm_fixed(v.channels, pm, pv, epsilon, pw, pb, coef) })
	}
	return o.normed(n)
}

// GroupNorm implements nn.Backend.
func (b *backend) GroupNorm(x, weight, bias nn.Array, groups int, epsilon float64) (nn.Array, nn.Pullback, error) {
	o := b.begin("GroupNorm")
	a := o.inVolume("x", x)
	if o.err != nil {
		return nil, nil, o.end()
	}
	c := a.shape[1]
	if groups < 1 || c%groups != 0 {
		o.fail("groups is %d, want a divisor of the %d channels of x", groups, c)
	}
	o.checkEpsilon(epsilon)
	if (weight == nil) != (bias == nil) {
		o.fail("one of weight and bias is nil, want both or neither")
	}
	n := &norm{x: a, data: a.data, view: a.samples(), groups: C.int64_t(groups)}
	if o.err == nil && nn.Elements(a.shape[1:])/groups < 2 {
		o.fail("x has shape %v, want more than one value per group of channels", a.shape)
	}
	var pw, pb *C.float
	if weight != nil {
		n.weight = o.inVector("weight", weight, c)
		if shift := o.inVector("bias", bias, c); o.err == nil {
			pw, pb = n.weight.floats(), shift.floats()
		}
	}
	o.coefficients(n, a.shape[0]*c)
	if o.err != nil {
		return nil, nil, o.end()
	}
	from, coef, v := a.floats(), n.coef, n.view
	o.part("statistics").do(a, func() {
		C.norm_statistics(v, from, C.int64_t(groups), C.double(epsilon), pw, pb, nil, nil, 0, coef)
	})
	return o.normed(n)
}

func (o *op) checkEpsilon(epsilon float64) {
	if !(epsilon >= 0) {
		o.fail("epsilon is %v, want at least 0", epsilon)
	}
}

// coefficients allocates memory for a norm's coefficients, each of the given
// number of values.
func (o *op) coefficients(n *norm, values int) {
	for _, p := range []**C.float{&n.coef.mean, &n.coef.scale, &n.coef.shift, &n.coef.rstd} {
		*p = o.floats(values)
	}
}

// normed returns the norm as the result of an operation.
func (o *op) normed(n *norm) (nn.Array, nn.Pullback, error) {
	y := o.formula(n.x.shape, &normed{n: n, act: C.ACT_NONE}, n.data)
	return o.finish(y, 3, []*array{n.x, n.weight}, func(o *op, g *array, need []bool) []nn.Array {
		return o.normBackward(n, g, need)
	})
}

// activated is the formula of the gradient of a norm's result, given the gradient
// of the activation after it.
type activated struct {
	f    *normed
	g    *buffer   // gradient of the activation's result
	sums *C.double // see backward_sums; nil until computed
}

func (d *activated) compute(o *op, y *array) {
	v, t, g, to := d.f.n.view, d.f.term(), d.g.floats(), y.floats()
	o.part("apply").do(y, func() { C.backward_map(v, t, g, nil, nil, nil, to) })
}

// sums queues the sums from which the gradients of a norm and of a slope are
// computed.
func (o *op) sums(shape fmt.Stringer, v C.view, t C.term, g *buffer) *C.double {
	m := o.scratch(3 * 8 * int(v.blocks*v.channels))
	if o.err != nil {
		return nil
	}
	sums, from := (*C.double)(m.p), g.floats()
	o.part("sums").do(shape, func() { C.backward_sums(v, t, from, sums) })
	return sums
}

func (o *op) normBackward(n *norm, g *array, need []bool) []nn.Array {
	d, ok := g.formula.(*activated)
	if !ok || d.f.n != n {
		o.toChannels(o.force(g))
		d = &activated{f: &normed{n: n, act: C.ACT_NONE}, g: g.data}
	}
	if d.sums == nil && o.err == nil {
		d.sums = o.sums(n.x, n.view, d.f.term(), d.g)
	}
	values := int(n.view.blocks * n.view.channels)
	shift, slope := o.floats(values), o.floats(values)
	var gx, gw, gb *array
	var pw, pgw, pgb *C.float
	if n.weight != nil {
		pw = n.weight.floats()
	}
	if need[1] {
		if gw = o.vector(int(n.view.channels)); o.err == nil {
			pgw = gw.floats()
		}
	}
	if need[2] {
		if gb = o.vector(int(n.view.channels)); o.err == nil {
			pgb = gb.floats()
		}
	}
	if o.err != nil {
		return nil
	}
	v, coef, groups, sums, fixed := n.view, n.coef, n.groups, d.sums, C.int(0)
	if n.fixed {
		fixed = 1
	}
	o.part("finish").do(n.x, func() { C.norm_finish(v, sums, groups, coef, pw, fixed, pgw, pgb, shift, slope) })
	if need[0] {
		if gx = o.volume(n.x.shape...); o.err == nil {
			gx.centered = !n.fixed && n.groups == n.view.channels
			t, from, to := d.f.term(), d.g.floats(), gx.floats()
			o.part("apply").do(n.x, func() { C.backward_map(v, t, from, coef.scale, shift, slope, to) })
		}
	}
	return wanted(need, func(i int) *array { return [...]*array{gx, gw, gb}[i] })
}
