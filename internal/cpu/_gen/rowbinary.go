package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/x/afl/internal/cpu/kernel"
)

// The row kernels of losses that are no plan, operation by operation those of rowbinary.go in
// package cpu, which explains them.

// absolute is |v|.
func (t tier) absolute(v vec) vec { return t.and(v, t.litBits(1<<(8*t.size()-1)-1)) }

func (t tier) squareRoot(v vec) vec {
	return t.each(func(u int, d reg.VecVirtual) { t.op(VSQRTPS, VSQRTPD)(v[u], d) })
}

func (k *rowKernel) distance() {
	squares, field := k.row(kernel.ArgField0), k.row(kernel.ArgField)
	k.loop(func() {
		k.prefetch(squares)
		s := k.loadAt(squares)
		d := k.squareRoot(k.absolute(s))
		k.store(k.blend(k.signs(s), k.sub(k.coef(kernel.CoefInside), d), d), field, false)
	})
}

// binaryRows are the arguments of a binary kernel.
type binaryRows struct {
	*rowKernel
	x, m, t Mem
	b       func(row int) Mem
}

func (k *rowKernel) binary() *binaryRows {
	return &binaryRows{k, k.row(kernel.ArgX), k.row(kernel.ArgWeight), k.row(kernel.ArgTarget), k.buffer(kernel.ArgBuffer)}
}

// logits loads the weights and the logits, 0 where a voxel takes no part.
func (k *binaryRows) logits() vec {
	k.weights(k.m)
	return k.loadMasked(k.valid, k.x)
}

// probabilities are those of logits and their complements, and the derivatives.
func (k *binaryRows) probabilities(x vec) (p, q, slope vec) {
	r := k.loadAt(k.b(kernel.BufReciprocal))
	small, below := k.mul(k.loadAt(k.b(kernel.BufExp)), r), k.signs(x)
	return k.blend(below, small, r), k.blend(below, r, small), k.mul(small, r)
}

// misses are the logits, negated for positive voxels.
func (k *binaryRows) misses(x vec, positive mask) vec { return k.blend(positive, k.negative(x), x) }

// nll is −log p_y of what misses returned.
func (k *binaryRows) nll(z vec) vec {
	return k.add(k.max(k.lit(0), z), k.loadAt(k.b(kernel.BufLog)))
}

// storeBoth stores the derivative by the logit and its negative.
func (k *binaryRows) storeBoth(d vec) {
	k.sum(kernel.RowSumCheck, d, k.load(k.lit(0)))
	opposite := k.negative(d)
	k.storeGradient(d, k.row(kernel.ArgGrad))
	grad0 := k.pointer(kernel.ArgGrad0)
	unless(grad0, "noOpposite", func() { k.storeGradient(opposite, k.at(grad0)) })
}

func (k *binaryRows) field() {
	field := k.row(kernel.ArgField)
	elements, upstream := k.pointer(kernel.ArgElements), k.row(kernel.ArgUpstream)
	k.sumsOf(kernel.RowSumPointwise, kernel.RowSumCheck)
	k.loop(func() {
		p, _, slope := k.probabilities(k.logits())
		k.prefetch(field)
		d := k.mul(k.loadAt(field), k.weight)
		k.sum(kernel.RowSumPointwise, d, p)
		unless(elements, "noElements", func() { k.store(k.mul(d, p), k.at(elements), false) })
		unless(k.pointer(kernel.ArgGrad), "noGradient", func() {
			d := k.mul(k.mul(d, k.coef(kernel.CoefScale)), k.loadMasked(k.valid, upstream))
			k.storeBoth(k.mul(d, slope))
		})
	})
}

func (k *binaryRows) fieldSquare() {
	field, field0 := k.row(kernel.ArgField), k.row(kernel.ArgField0)
	k.sumsOf(kernel.RowSumPointwise, kernel.RowSumCheck)
	k.loop(func() {
		x := k.logits()
		p, q, slope := k.probabilities(x)
		k.prefetch(field)
		f := k.loadAt(field)
		k.prefetch(field0)
		t := k.loadAt(k.t)
		difference := k.mul(p, k.sub(k.lit(1), t))
		difference = k.fnma(q, t, difference)
		both := k.add(k.absolute(f), k.absolute(k.loadAt(field0)))
		d := k.mul(k.mul(k.weight, both), difference)
		k.sum(kernel.RowSumPointwise, d, difference)
		unless(k.pointer(kernel.ArgGrad), "noGradient", func() {
			k.storeBoth(k.mul(k.mul(d, k.coef(kernel.CoefScale)), slope))
		})
	})
}

func (k *binaryRows) errors() {
	k.sumsOf(kernel.RowSumTP, kernel.RowSumFP, kernel.RowSumFN, kernel.RowSumTN)
	k.loop(func() {
		x := k.logits()
		p, q, _ := k.probabilities(x)
		t := k.loadAt(k.t)
		other := k.sub(k.lit(1), t)
		p, q = k.mul(p, k.weight), k.mul(q, k.weight)
		k.sum(kernel.RowSumTP, p, t)
		k.sum(kernel.RowSumFP, p, other)
		k.sum(kernel.RowSumFN, q, t)
		k.sum(kernel.RowSumTN, q, other)
	})
}

func (k *binaryRows) positive() mask { return k.greater(k.loadAt(k.t), k.lit(0)) }

func (k *binaryRows) power() {
	k.loop(func() {
		x, positive := k.logits(), k.positive()
		softplus := k.nll(k.negative(k.misses(x, positive)))
		minusGamma := k.blend(positive, k.coef(kernel.CoefMinusGamma), k.coef(kernel.CoefMinusGammaNeg))
		k.store(k.exp(k.mul(softplus, minusGamma)), k.b(kernel.BufPower), false)
	})
}

func (k *binaryRows) logPower() {
	top := k.lit(k.functions().ExpHigh)
	k.loop(func() {
		x := k.logits()
		k.storeLogPower(k.nll(k.misses(x, k.positive())), top, k.b(kernel.BufPower))
	})
}

// storeLogPower stores nll^γ.
func (k *rowKernel) storeLogPower(nll vec, top word, to Mem) {
	exponent := k.mul(k.logNormal(k.max(nll, k.smallest())), k.coef(kernel.CoefGamma))
	large := k.greater(exponent, top)
	power := k.exp(k.min(exponent, top))
	power = k.blend(large, k.lit(math.Inf(1)), power)
	k.store(k.masked(k.atLeast(nll, k.smallest()), power), to, false)
}

func (k *binaryRows) elements(log bool) {
	k.sumsOf(kernel.RowSumPointwise, kernel.RowSumCheck)
	k.loop(func() {
		x, positive := k.logits(), k.positive()
		nll := k.nll(k.misses(x, positive))
		factor := k.mul(k.blend(positive, k.coef(kernel.CoefPos), k.coef(kernel.CoefNeg)), k.loadAt(k.b(kernel.BufPower)))
		if log {
			k.sum(kernel.RowSumPointwise, k.weight, factor)
		} else {
			k.sum(kernel.RowSumPointwise, k.weight, k.mul(factor, nll))
		}
		unless(k.pointer(kernel.ArgGrad), "noGradient", func() {
			p, q, slope := k.probabilities(x)
			miss := k.blend(positive, q, p)
			var d vec
			if log {
				d = k.mul(k.mul(k.div(factor, k.max(nll, k.smallest())), miss), k.coef(kernel.CoefGamma))
			} else {
				hit := k.blend(positive, p, q)
				minusGamma := k.blend(positive, k.coef(kernel.CoefMinusGamma), k.coef(kernel.CoefMinusGammaNeg))
				d = k.mul(factor, k.fnma(k.mul(hit, minusGamma), nll, miss))
			}
			d = k.mul(d, k.coef(kernel.CoefScale))
			d = k.blend(positive, k.negative(d), d)
			derivative := k.blend(positive, k.coef(kernel.CoefT), k.coef(kernel.CoefPlain))
			k.storeBoth(k.mul(k.fma(derivative, slope, d), k.weight))
		})
	})
}

func (k *binaryRows) overlapElements() {
	first, second := k.row(kernel.ArgField), k.row(kernel.ArgField0)
	k.loop(func() {
		p, _, _ := k.probabilities(k.logits())
		mp := k.mul(p, k.weight)
		k.store(mp, first, false)
		k.store(k.mul(mp, k.fma(p, k.coef(kernel.CoefSquare), k.coef(kernel.CoefLinear))), second, false)
	})
}

func (k *binaryRows) overlapGrad() {
	f, f0 := k.row(kernel.ArgField), k.row(kernel.ArgField0)
	k.sumsOf(kernel.RowSumCheck)
	k.loop(func() {
		p, _, slope := k.probabilities(k.logits())
		d := k.fma(p, k.loadAt(f0), k.loadAt(f))
		k.storeBoth(k.mul(k.mul(d, k.weight), slope))
	})
}
