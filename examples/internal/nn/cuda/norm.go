//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// norm is the common part of the batch and the group norm.
type norm struct {
	x, weight, bias *array // weight and bias may be nil
	batch, fixed    bool   // see AflNorm
	groups          int
	values          int    // of a group
	statistics      *array // groups × 2 of float64
	normalizers     *array // see AflNormalizer
	epsilon         float64
}

// arguments returns the arguments of the norm's kernels, with scratch memory for the given number
// of partial sums.
func (n *norm) arguments(o *op, sums int) (*C.AflNorm, *rows) {
	r := o.rowsOf(n.x.shape, sums)
	p := &C.AflNorm{batch: flag(n.batch), fixed: flag(n.fixed), groups: C.int64_t(n.groups), values: C.double(n.values),
		epsilon: C.double(n.epsilon), sums: C.int64_t(sums)}
	p.group_channels = 1
	if !n.batch {
		p.group_channels = C.int64_t(n.x.shape[0] * n.x.channels() / n.groups)
	}
	if o.err == nil {
		p.rows = r.args
		point(&p.rows.x, n.x)
		point(&p.statistics, n.statistics)
		point(&p.norm, n.normalizers)
		point(&p.weight, n.weight)
		point(&p.bias, n.bias)
	}
	return p, r
}

// forward computes the statistics, unless they are fixed, and returns the result as a formula.
// mean and variance are the running statistics, or nil: they are the statistics if these are
// fixed, and are otherwise updated.
func (n *norm) forward(o *op, mean, variance *array, momentum float64) *array {
	n.statistics = o.rowMajor(n.groups, 2, 2)                   // float64
	n.normalizers = o.rowMajor(n.x.shape[0], n.x.channels(), 4) // AflNormalizer
	p, r := n.arguments(o, 2)
	if o.err != nil {
		return nil
	}
	p.momentum = C.double(momentum)
	point(&p.running_mean, mean)
	point(&p.running_var, variance)
	if mean != nil && !n.fixed {
		pointAt(&p.stop, o.stopFlag())
	}
	if n.fixed {
		o.each("afl_nn_norm_running", n.groups, unsafe.Pointer(p))
	} else {
		o.launch("afl_nn_norm_moments", r.blocks, unsafe.Pointer(p))
		o.launch("afl_nn_norm_statistics", n.groups, unsafe.Pointer(p))
	}
	y := o.lazyArray(n.x.shape, &normed{norm: n, from: n.x.memory})
	if n.x.kept {
		o.force(y) // the values of a kept array may be updated
	}
	return y
}

// gradientSums returns the arguments of the kernels that compute gradients of the norm. It first
// computes the sums of the planes, unless that was done.
func (n *norm) gradientSums(o *op, d *activated) (*C.AflNorm, *rows) {
	sums := 2
	if d.f.act.function == C.AFL_PRELU {
		sums = 3
	}
	o.toChannels(n.x)
	p, r := n.arguments(o, sums)
	if o.err != nil {
		return nil, nil
	}
	p.act = d.f.act.arguments()
	pointAt(&p.rows.g, d.g.address)
	planes := n.x.shape[0] * n.x.channels()
	known := d.planes != nil
	if !known {
		address := o.alloc(8 * int64(sums) * int64(planes))
		if o.err != nil {
			return nil, nil
		}
		d.planes = newMemory(address)
	}
	pointAt(&p.planes, d.planes.address)
	if !known {
		o.launch("afl_nn_norm_gradient_sums", r.blocks, unsafe.Pointer(p))
		o.launch("afl_nn_norm_plane_sums", planes, unsafe.Pointer(p))
	}
	return p, r
}

// backward returns the gradients of x, weight and bias. g may be the gradient of an activation of
// the norm as a formula.
func (n *norm) backward(o *op, g *array, need []bool) []nn.Array {
	d, ok := g.formula.(*activated)
	if !ok || d.f.norm != n {
		o.toChannels(o.force(g))
		d = &activated{f: &normed{norm: n}, g: g.memory}
		defer func() { o.drop(d.planes) }()
	}
	p, r := n.gradientSums(o, d)
	means := o.scratch(8 * 2 * int64(n.groups))
	var grads [3]*array
	for i, want := range need {
		switch {
		case !want:
		case i == 0:
			grads[i] = o.similar(n.x)
		default:
			grads[i] = o.rowMajor(n.x.channels())
		}
	}
	if o.err != nil {
		return nil
	}
	pointAt(&p.means, means)
	point(&p.rows.y, grads[0])
	point(&p.weight_gradient, grads[1])
	point(&p.bias_gradient, grads[2])
	if need[1] || need[2] {
		o.each("afl_nn_norm_parameters", n.x.channels(), unsafe.Pointer(p))
	}
	if need[0] {
		o.each("afl_nn_norm_group_means", n.groups, unsafe.Pointer(p))
		o.launch("afl_nn_norm_gradient", r.blocks, unsafe.Pointer(p))
	}
	return wanted(need, func(i int) *array { return grads[i] })
}

// BatchNorm implements nn.Backend.
func (b *backend) BatchNorm(x, weight, bias, runningMean, runningVar nn.Array, spec nn.BatchNormSpec) (nn.Array, nn.Pullback, error) {
	o := b.begin("BatchNorm")
	a := o.volume("x", x)
	if o.err != nil {
		return nil, nil, o.end()
	}
	c := a.channels()
	n := &norm{x: a, batch: true, fixed: !spec.Training, groups: c, values: a.rows(), epsilon: spec.Epsilon}
	n.weight, n.bias = o.vector("weight", weight, c), o.vector("bias", bias, c)
	mean, variance := o.vector("runningMean", runningMean, c), o.vector("runningVar", runningVar, c)
	o.checkEpsilon(spec.Epsilon)
	if o.err == nil && spec.Training && n.values < 2 {
		o.fail("x has shape %v, want more than one value per channel in training", a.shape)
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	y := n.forward(o, mean, variance, spec.Momentum)
	return o.finishLazy(y, 3, []*array{a, n.weight, n.statistics, n.normalizers}, n.backward)
}

// GroupNorm implements nn.Backend.
func (b *backend) GroupNorm(x, weight, bias nn.Array, groups int, epsilon float64) (nn.Array, nn.Pullback, error) {
	o := b.begin("GroupNorm")
	a := o.volume("x", x)
	o.checkEpsilon(epsilon)
	if (weight == nil) != (bias == nil) {
		o.fail("one of weight and bias is nil, want both or neither")
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	c := a.channels()
	if groups < 1 || c%groups != 0 {
		o.fail("groups is %d, want a divisor of the %d channels", groups, c)
		return nil, nil, o.end()
	}
	n := &norm{x: a, groups: a.shape[0] * groups, values: c / groups * a.voxels(), epsilon: epsilon}
	if n.values < 2 {
		o.fail("x has shape %v, want more than one value in each of %d groups", a.shape, groups)
	}
	if weight != nil {
		n.weight, n.bias = o.vector("weight", weight, c), o.vector("bias", bias, c)
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	y := n.forward(o, nil, nil, 0)
	return o.finishLazy(y, 3, []*array{a, n.weight, n.statistics, n.normalizers}, n.backward)
}

func (o *op) checkEpsilon(epsilon float64) {
	if !(epsilon >= 0) {
		o.fail("epsilon is %v, want at least 0", epsilon)
	}
}
