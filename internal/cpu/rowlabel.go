package cpu

import (
	"math"

	"github.com/x/afl/internal/cpu/kernel"
)

// The row kernels of losses that are no plan by the softmax of any channels, after
// RowSoftmaxSum. Derivatives by the channel's log-probability go to ArgDerivative.

// rowSoftmaxField is rowField for a channel by softmax.
func rowSoftmaxField[T real](a *rowArgs[T], n int) {
	m, field, e := a.of(kernel.ArgWeight, n), a.of(kernel.ArgField, n), a.of(kernel.ArgExp, n)
	sum, scale, share := a.sum(kernel.RowSumPointwise), a.coef(kernel.CoefScale), a.buffer(kernel.ArgBuffer, kernel.BufScale, n)
	elements, upstream, derivative := a.row[kernel.ArgElements], a.row[kernel.ArgUpstream], a.row[kernel.ArgDerivative]
	for i, w := range m {
		p, d := T(e[i]*share[i]), T(field[i]*w)
		lane := i % len(sum)
		sum[lane] = fma(d, p, sum[lane])
		if elements != nil {
			elements[i] = T(d * p)
		}
		if derivative != nil {
			derivative[i] = T(T(T(d*scale)*upstreamAt(upstream, i, w)) * p)
		}
	}
}

// rowSoftmaxFieldSquare is rowFieldSquare for a channel by softmax.
func rowSoftmaxFieldSquare[T real](a *rowArgs[T], n int) {
	m, field, field0, target := a.of(kernel.ArgWeight, n), a.of(kernel.ArgField, n), a.of(kernel.ArgField0, n), a.of(kernel.ArgTarget, n)
	e, share, rest := a.of(kernel.ArgExp, n), a.buffer(kernel.ArgBuffer, kernel.BufScale, n), restOf(a, n)
	sum, scale, derivative := a.sum(kernel.RowSumPointwise), a.coef(kernel.CoefScale), a.row[kernel.ArgDerivative]
	for i, w := range m {
		p, q, t := T(e[i]*share[i]), T(rest.at(i, e[i])*share[i]), target[i]
		difference := fma(-q, t, T(p*(1-t)))
		d := T(T(w*(absolute(field[i])+absolute(field0[i]))) * difference)
		lane := i % len(sum)
		sum[lane] = fma(d, difference, sum[lane])
		if derivative != nil {
			derivative[i] = T(T(d*scale) * p)
		}
	}
}

// rowLabel stores −log p of the channel where it is that of the label, the target is 1.
func rowLabel[T real](a *rowArgs[T], n int) {
	x, m, t, label := a.of(kernel.ArgX, n), a.of(kernel.ArgWeight, n), a.of(kernel.ArgTarget, n), a.buffer(kernel.ArgBuffer, kernel.BufLabel, n)
	largest, logSum := a.buffer(kernel.ArgBuffer, kernel.BufLargest, n), a.buffer(kernel.ArgBuffer, kernel.BufLogSum, n)
	for i, v := range x {
		if !(m[i] > 0) {
			v = 0
		}
		if t[i] > 0 {
			label[i] = (largest[i] - v) + logSum[i]
		}
	}
}

// rowLabelPower is rowLogPower for BufLabel.
func rowLabelPower[T real](a *rowArgs[T], n int) {
	power := a.buffer(kernel.ArgBuffer, kernel.BufPower, n)
	logPower(power, a.buffer(kernel.ArgBuffer, kernel.BufLabel, n), a.coef(kernel.CoefGamma))
}

// rowLabelSums adds up the channel's elements, m·CoefPos·(−log p)^γ where the target is 1, and
// the sums of its errors.
func rowLabelSums[T real](a *rowArgs[T], n int) {
	m, t, e := a.of(kernel.ArgWeight, n), a.of(kernel.ArgTarget, n), a.of(kernel.ArgExp, n)
	share, power := a.buffer(kernel.ArgBuffer, kernel.BufScale, n), a.buffer(kernel.ArgBuffer, kernel.BufPower, n)
	sum, tp, fp, fn := a.sum(kernel.RowSumPointwise), a.sum(kernel.RowSumTP), a.sum(kernel.RowSumFP), a.sum(kernel.RowSumFN)
	factor, rest := a.coef(kernel.CoefPos), restOf(a, n)
	for i, w := range m {
		lane := i % len(sum)
		p, q := T(T(e[i]*share[i])*w), T(T(rest.at(i, e[i])*share[i])*w)
		element := T(0)
		if t[i] > 0 {
			element = T(factor * power[i])
		}
		sum[lane] = fma(w, element, sum[lane])
		tp[lane] = fma(p, t[i], tp[lane])
		fp[lane] = fma(p, 1-t[i], fp[lane])
		fn[lane] = fma(q, t[i], fn[lane])
	}
}

// rowLabelGrad computes the derivative of CoefScale times the elements, −CoefPos·γ·(−log p)^(γ−1)
// where the target is 1, and of a term whose derivative by p is CoefT there and CoefPlain
// elsewhere.
func rowLabelGrad[T real](a *rowArgs[T], n int) {
	m, t, e, derivative := a.of(kernel.ArgWeight, n), a.of(kernel.ArgTarget, n), a.of(kernel.ArgExp, n), a.of(kernel.ArgDerivative, n)
	share, power, label := a.buffer(kernel.ArgBuffer, kernel.BufScale, n), a.buffer(kernel.ArgBuffer, kernel.BufPower, n), a.buffer(kernel.ArgBuffer, kernel.BufLabel, n)
	factor, gamma, scale := a.coef(kernel.CoefPos), a.coef(kernel.CoefGamma), a.coef(kernel.CoefScale)
	for i, w := range m {
		p, overlap, d := T(e[i]*share[i]), a.coef(kernel.CoefPlain), T(0)
		if t[i] > 0 {
			overlap = a.coef(kernel.CoefT)
			d = T(T(T(T(factor*power[i])/largerOf(label[i], smallest[T]()))*gamma) * scale)
		}
		derivative[i] = T(fma(overlap, p, -d) * w)
	}
}

// logPower stores x^γ, 0 where x is below the smallest normal number and +Inf from about the
// largest exponential on.
func logPower[T real](power, x []T, gamma T) {
	top := expHigh[T]()
	for i, x := range x {
		power[i] = largerOf(x, smallest[T]())
	}
	logNormals(power)
	for i, log := range power {
		power[i] = T(log * gamma)
	}
	var large [kernel.Tile]bool
	for i, x := range power {
		large[i] = x > top
		if !(x < top) {
			power[i] = top
		}
	}
	exps(power)
	for i := range power {
		switch {
		case large[i]:
			power[i] = T(math.Inf(1))
		case !(x[i] >= smallest[T]()):
			power[i] = 0
		}
	}
}
