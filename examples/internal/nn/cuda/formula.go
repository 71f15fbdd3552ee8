//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// formula computes the values of an array when an operation first needs them. The operations
// that follow a norm, an activation or a sum take the formula over instead where they can, so
// that the values are never stored.
type formula interface {
	// compute stores the values in y, a new volume in channels-last order.
	compute(o *op, y *array)
	// reads returns the memory that the formula reads. Each is one of its users.
	reads() []*memory
}

// lazyArray returns an array of the current step with the values of a formula.
func (o *op) lazyArray(shape []int, f formula) *array {
	if o.err != nil {
		return nil
	}
	for _, m := range f.reads() {
		m.users++
	}
	a := &array{owner: o.backend, shape: shape, order: channelsLast, formula: f}
	o.step = append(o.step, a)
	return a
}

// force computes the formula of an array, if it has one.
func (o *op) force(a *array) *array {
	if o.err != nil || a == nil || a.formula == nil {
		return a
	}
	y := &array{owner: o.backend, shape: a.shape, order: channelsLast, memory: newMemory(o.alloc(a.bytes()))}
	if o.err != nil {
		return a
	}
	if a.formula.compute(o, y); o.err != nil {
		o.drop(y.memory)
		return a
	}
	o.dropAll(a.formula)
	a.memory, a.formula = y.memory, nil
	return a
}

// dropAll ends a formula's use of the memory that it reads.
func (b *backend) dropAll(f formula) {
	for _, m := range f.reads() {
		b.drop(m)
	}
}

// normed is the formula act(norm(x)).
type normed struct {
	*norm
	from *memory // of x
	act  activation
}

// activation is an activation of a norm.
type activation struct {
	function C.int32_t
	slope    *array // a copy, of PReLU
}

func (f *normed) reads() []*memory { return []*memory{f.from} }

func (f *normed) compute(o *op, y *array) { o.sumTerms(y, f.term(), C.AflTerm{}, C.AFL_IDENTITY) }

func (f *normed) term() C.AflTerm {
	t := C.AflTerm{act: f.act.arguments()}
	pointAt(&t.x, f.from.address)
	point(&t.norm, f.normalizers)
	return t
}

func (a activation) arguments() C.AflActivation {
	p := C.AflActivation{function: a.function}
	if a.slope != nil {
		p.slopes = C.int64_t(a.slope.elements())
		point(&p.slope, a.slope)
	}
	return p
}

// sum is the formula p + q.
type sum struct {
	p, q summand
}

// summand is a formula, or the memory of a volume in channels-last order.
type summand struct {
	normed *normed
	values *memory
}

func (s summand) memory() *memory {
	if s.normed != nil {
		return s.normed.from
	}
	return s.values
}

func (s summand) term() C.AflTerm {
	if s.normed != nil {
		return s.normed.term()
	}
	var t C.AflTerm
	pointAt(&t.x, s.values.address)
	return t
}

func (f *sum) reads() []*memory { return []*memory{f.p.memory(), f.q.memory()} }

func (f *sum) compute(o *op, y *array) { o.sumTerms(y, f.p.term(), f.q.term(), C.AFL_IDENTITY) }

// summand returns an operand of a sum, in channels-last order unless it is a formula.
func (o *op) summand(a *array) summand {
	if f, ok := a.formula.(*normed); ok && o.err == nil {
		return summand{normed: f}
	}
	o.toChannels(o.force(a))
	return summand{values: a.memory}
}

// sumTerms stores post(p + q), or post(p) if q has no x.
func (o *op) sumTerms(y *array, p, q C.AflTerm, post C.int32_t) {
	r := o.rowsOf(y.shape, 0)
	if o.err != nil {
		return
	}
	s := C.AflSum{rows: r.args, p: p, q: q, post: post}
	point(&s.rows.y, y)
	o.launch("afl_nn_sum_terms", r.blocks, unsafe.Pointer(&s))
}

// activated is the formula of the gradient of norm(x), given that of act(norm(x)).
type activated struct {
	f      *normed
	g      *memory
	planes *memory // the sums of a plane, see AflNorm; nil until they are computed
}

func (f *activated) reads() []*memory {
	all := []*memory{f.f.from, f.g}
	if f.planes != nil {
		all = append(all, f.planes)
	}
	return all
}

func (f *activated) compute(o *op, y *array) {
	r := o.rowsOf(y.shape, 0)
	if o.err != nil {
		return
	}
	s := C.AflSum{rows: r.args, p: f.f.term()}
	pointAt(&s.rows.g, f.g.address)
	point(&s.rows.y, y)
	o.launch("afl_nn_term_gradient", r.blocks, unsafe.Pointer(&s))
}

// activateNorm returns an activation of a norm as a formula. Its gradient is a formula, too.
func (o *op) activateNorm(a *array, f *normed) (nn.Array, nn.Pullback, error) {
	y := o.lazyArray(a.shape, f)
	return o.finish(y, 1, []*array{f.x}, func(o *op, g *array, need []bool) []nn.Array {
		d := o.activated(f, g)
		return wanted(need, func(int) *array { return o.lazyArray(a.shape, d) })
	})
}

// preluNorm is activateNorm for PReLU with slopes w.
func (o *op) preluNorm(a *array, f *normed, w *array) (nn.Array, nn.Pullback, error) {
	slope := o.rowMajor(w.shape...) // as w may be updated before the formula is computed
	if o.err == nil {
		if err := o.runner.Copy(slope.memory.address, w.memory.address, w.bytes()); err != nil {
			o.fail("%w", err)
		}
	}
	f = &normed{f.norm, f.from, activation{C.AFL_PRELU, slope}}
	y := o.lazyArray(a.shape, f)
	return o.finish(y, 2, []*array{f.x, slope}, func(o *op, g *array, need []bool) []nn.Array {
		d := o.activated(f, g)
		var gw *array
		if need[1] {
			p, _ := f.gradientSums(o, d)
			gw = o.rowMajor(w.shape...)
			if o.err == nil {
				point(&p.slope_gradient, gw)
				o.launch("afl_nn_norm_slopes", gw.elements(), unsafe.Pointer(p))
			}
			defer func() { o.drop(d.planes) }()
		}
		return wanted(need, func(i int) *array {
			if i == 1 {
				return gw
			}
			return o.lazyArray(a.shape, d)
		})
	})
}

// activated returns the formula of the gradient of norm(x), given that of act(norm(x)).
func (o *op) activated(f *normed, g *array) *activated {
	o.toChannels(g)
	o.toChannels(f.x)
	return &activated{f: &normed{f.norm, f.x.memory, f.act}, g: g.memory}
}

// activateSum computes an activation of a sum in one pass. The sum is not stored: the gradient
// is a function of the result.
func (o *op) activateSum(a *array, f *sum, function nn.Activation) (nn.Array, nn.Pullback, error) {
	y := o.array(a.shape...)
	if o.err == nil {
		o.sumTerms(y, f.p.term(), f.q.term(), activations[function].function)
	}
	return o.finish(y, 1, []*array{y}, o.activationGradient(y, function))
}
