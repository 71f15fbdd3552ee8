package main

import (
	"github.com/x/afl/internal/cpu/kernel"
)

// The row kernels of losses that are no plan by the softmax of any channels, operation by
// operation those of rowlabel.go in package cpu, which explains them.

func (k *rowKernel) softmaxField() {
	m, field, upstream, e, b := k.row(kernel.ArgWeight), k.row(kernel.ArgField), k.row(kernel.ArgUpstream), k.row(kernel.ArgExp), k.buffer(kernel.ArgBuffer)
	elements, derivative := k.pointer(kernel.ArgElements), k.pointer(kernel.ArgDerivative)
	k.sumsOf(kernel.RowSumPointwise)
	k.loop(func() {
		k.weights(m)
		p := k.mul(k.loadAt(e), k.loadAt(b(kernel.BufScale)))
		k.prefetch(field)
		d := k.mul(k.loadAt(field), k.weight)
		k.sum(kernel.RowSumPointwise, d, p)
		unless(elements, "noElements", func() { k.store(k.mul(d, p), k.at(elements), false) })
		unless(derivative, "noGradient", func() {
			d := k.mul(k.mul(d, k.coef(kernel.CoefScale)), k.loadMasked(k.valid, upstream))
			k.store(k.mul(d, p), k.at(derivative), false)
		})
	})
}

func (k *rowKernel) softmaxFieldSquare() {
	m, field, field0, target, e, b := k.row(kernel.ArgWeight), k.row(kernel.ArgField), k.row(kernel.ArgField0), k.row(kernel.ArgTarget), k.row(kernel.ArgExp), k.buffer(kernel.ArgBuffer)
	derivative := k.pointer(kernel.ArgDerivative)
	k.sumsOf(kernel.RowSumPointwise)
	k.loop(func() {
		k.weights(m)
		e, share := k.loadAt(e), k.loadAt(b(kernel.BufScale))
		p, q := k.mul(e, share), k.mul(k.rest(e, b), share)
		k.prefetch(field)
		f := k.loadAt(field)
		k.prefetch(field0)
		t := k.loadAt(target)
		difference := k.fnma(q, t, k.mul(p, k.sub(k.lit(1), t)))
		both := k.add(k.absolute(f), k.absolute(k.loadAt(field0)))
		d := k.mul(k.mul(k.weight, both), difference)
		k.sum(kernel.RowSumPointwise, d, difference)
		unless(derivative, "noGradient", func() {
			k.store(k.mul(k.mul(d, k.coef(kernel.CoefScale)), p), k.at(derivative), false)
		})
	})
}

func (k *rowKernel) label() {
	x, m, t, b := k.row(kernel.ArgX), k.row(kernel.ArgWeight), k.row(kernel.ArgTarget), k.buffer(kernel.ArgBuffer)
	k.loop(func() {
		k.weights(m)
		nll := k.add(k.sub(k.loadAt(b(kernel.BufLargest)), k.loadMasked(k.valid, x)), k.loadAt(b(kernel.BufLogSum)))
		k.store(k.blend(k.greater(k.loadAt(t), k.lit(0)), nll, k.loadAt(b(kernel.BufLabel))), b(kernel.BufLabel), false)
	})
}

func (k *rowKernel) labelPower() {
	b := k.buffer(kernel.ArgBuffer)
	top := k.lit(k.functions().ExpHigh)
	k.loop(func() { k.storeLogPower(k.loadAt(b(kernel.BufLabel)), top, b(kernel.BufPower)) })
}

func (k *rowKernel) labelSums() {
	m, t, e, b := k.row(kernel.ArgWeight), k.row(kernel.ArgTarget), k.row(kernel.ArgExp), k.buffer(kernel.ArgBuffer)
	k.sumsOf(kernel.RowSumPointwise, kernel.RowSumTP, kernel.RowSumFP, kernel.RowSumFN)
	k.loop(func() {
		k.weights(m)
		e, share, t := k.loadAt(e), k.loadAt(b(kernel.BufScale)), k.loadAt(t)
		p := k.mul(k.mul(e, share), k.weight)
		q := k.mul(k.mul(k.rest(e, b), share), k.weight)
		element := k.masked(k.greater(t, k.lit(0)), k.mul(k.loadAt(b(kernel.BufPower)), k.coef(kernel.CoefPos)))
		k.sum(kernel.RowSumPointwise, k.weight, element)
		k.sum(kernel.RowSumTP, p, t)
		k.sum(kernel.RowSumFP, p, k.sub(k.lit(1), t))
		k.sum(kernel.RowSumFN, q, t)
	})
}

func (k *rowKernel) labelGrad() {
	m, t, e, derivative, b := k.row(kernel.ArgWeight), k.row(kernel.ArgTarget), k.row(kernel.ArgExp), k.row(kernel.ArgDerivative), k.buffer(kernel.ArgBuffer)
	k.loop(func() {
		k.weights(m)
		positive := k.greater(k.loadAt(t), k.lit(0))
		p := k.mul(k.loadAt(e), k.loadAt(b(kernel.BufScale)))
		d := k.mul(k.loadAt(b(kernel.BufPower)), k.coef(kernel.CoefPos))
		d = k.div(d, k.max(k.loadAt(b(kernel.BufLabel)), k.smallest()))
		d = k.mul(k.mul(d, k.coef(kernel.CoefGamma)), k.coef(kernel.CoefScale))
		d = k.negative(k.masked(positive, d))
		overlap := k.blend(positive, k.coef(kernel.CoefT), k.coef(kernel.CoefPlain))
		k.store(k.mul(k.fma(overlap, p, d), k.weight), derivative, false)
	})
}
