package cpu

import (
	"math"

	"github.com/x/afl/internal/cpu/kernel"
)

// The row kernels of losses that are no plan. Their probability is the sigmoid of ArgX, the
// logit or the difference of two; after RowExp, and where they say so RowLog. The derivative
// by the logit goes to ArgGrad and its negative to ArgGrad0, each if it is given.

// rowDistance stores the signed distances whose signed squares ArgField0 holds, negative
// inside: √s outside and CoefInside − √−s inside.
func rowDistance[T real](a *rowArgs[T], n int) {
	field, inside := a.of(kernel.ArgField, n), a.coef(kernel.CoefInside)
	for i, s := range a.of(kernel.ArgField0, n) {
		d := squareRoot(absolute(s))
		if signed(s) {
			d = inside - d
		}
		field[i] = d
	}
}

// squareRoot is √x, rounded once.
func squareRoot[T real](x T) T { return T(math.Sqrt(float64(x))) }

// absolute is |x|.
func absolute[T real](x T) T { return T(math.Abs(float64(x))) }

// rowField adds up m·f·p of the field f, which with ArgElements are stored too.
func rowField[T real](a *rowArgs[T], n int) {
	m, field := a.of(kernel.ArgWeight, n), a.of(kernel.ArgField, n)
	sum, scale := a.sum(kernel.RowSumPointwise), a.coef(kernel.CoefScale)
	elements, upstream := a.row[kernel.ArgElements], a.row[kernel.ArgUpstream]
	b := binaryOf(a, n)
	for i, w := range m {
		v, d := b.at(i), T(field[i]*w)
		lane := i % len(sum)
		sum[lane] = fma(d, v.p, sum[lane])
		if elements != nil {
			elements[i] = T(d * v.p)
		}
		if b.grad != nil {
			b.store(i, T(T(T(d*scale)*upstreamAt(upstream, i, w))*v.slope))
		}
	}
}

// upstreamAt is 0 for a voxel that takes no part.
func upstreamAt[T real](upstream []T, i int, weight T) T {
	if !(weight > 0) {
		return 0
	}
	return upstream[i]
}

// rowFieldSquare adds up m·(|f|+|f₀|)·(p−t)² of the fields f and f₀.
func rowFieldSquare[T real](a *rowArgs[T], n int) {
	m, field, field0, target := a.of(kernel.ArgWeight, n), a.of(kernel.ArgField, n), a.of(kernel.ArgField0, n), a.of(kernel.ArgTarget, n)
	sum, scale := a.sum(kernel.RowSumPointwise), a.coef(kernel.CoefScale)
	b := binaryOf(a, n)
	for i, w := range m {
		v, t := b.at(i), target[i]
		// p − t, which does not cancel for a target of 0 or 1.
		difference := fma(-v.q, t, T(v.p*(1-t)))
		// The derivative by p, but for a factor 2.
		d := T(T(w*(absolute(field[i])+absolute(field0[i]))) * difference)
		lane := i % len(sum)
		sum[lane] = fma(d, difference, sum[lane])
		if b.grad != nil {
			b.store(i, T(T(d*scale)*v.slope))
		}
	}
}

// rowErrors adds up the sums of the errors.
func rowErrors[T real](a *rowArgs[T], n int) {
	m, t := a.of(kernel.ArgWeight, n), a.of(kernel.ArgTarget, n)
	tp, fp, fn, tn := a.sum(kernel.RowSumTP), a.sum(kernel.RowSumFP), a.sum(kernel.RowSumFN), a.sum(kernel.RowSumTN)
	b := binaryOf(a, n)
	for i, w := range m {
		lane, v, other := i%len(tp), b.at(i), 1-t[i]
		p, q := T(v.p*w), T(v.q*w)
		tp[lane] = fma(p, t[i], tp[lane])
		fp[lane] = fma(p, other, fp[lane])
		fn[lane] = fma(q, t[i], fn[lane])
		tn[lane] = fma(q, other, tn[lane])
	}
}

// rowBinaryPower computes (1−p_y)^γ of the class y of each voxel, after RowLog. As in the
// kernels below the target is 1 for positive voxels and 0 for the others.
func rowBinaryPower[T real](a *rowArgs[T], n int) {
	b, power := binaryOf(a, n), a.buffer(kernel.ArgBuffer, kernel.BufPower, n)
	l, t := a.buffer(kernel.ArgBuffer, kernel.BufLog, n), a.of(kernel.ArgTarget, n)
	for i := range power {
		z, minusGamma := b.logit(i), a.coef(kernel.CoefMinusGammaNeg)
		if t[i] > 0 {
			z, minusGamma = -z, a.coef(kernel.CoefMinusGamma)
		}
		power[i] = T((largerOf(0, -z) + l[i]) * minusGamma)
	}
	exps(power)
}

// rowLogPower computes (−log p_y)^γ, 0 where −log p_y is below the smallest normal number and
// +Inf from about the largest exponential on; after RowLog.
func rowLogPower[T real](a *rowArgs[T], n int) {
	b, power := binaryOf(a, n), a.buffer(kernel.ArgBuffer, kernel.BufPower, n)
	l, t := a.buffer(kernel.ArgBuffer, kernel.BufLog, n), a.of(kernel.ArgTarget, n)
	var nll [kernel.Tile]T
	for i := range power {
		nll[i] = b.nll(i, t[i], l[i])
	}
	logPower(power, nll[:n], a.coef(kernel.CoefGamma))
}

// rowBinary computes the elements w·(1−p_y)^γ·(−log p_y), or with log those w·(−log p_y)^γ,
// after the kernel of the power. With z = −x for positive voxels and x for the others,
// 1−p_y = σ(z) and
//
//	element    derivative by z
//	focal      w·(1−p_y)^γ·((1−p_y) + γ·p_y·(−log p_y))
//	log        w·γ·(−log p_y)^(γ−1)·(1−p_y)
//
// CoefGamma is the γ of log. To the gradient it adds that of a loss whose derivative by p is
// CoefT for positive voxels and CoefPlain for the others.
func rowBinary[T real](a *rowArgs[T], n int, log bool) {
	b, power := binaryOf(a, n), a.buffer(kernel.ArgBuffer, kernel.BufPower, n)
	l, t := a.buffer(kernel.ArgBuffer, kernel.BufLog, n), a.of(kernel.ArgTarget, n)
	sum, scale := a.sum(kernel.RowSumPointwise), a.coef(kernel.CoefScale)
	for i, m := range a.of(kernel.ArgWeight, n) {
		v := b.at(i)
		w, minusGamma, derivative := a.coef(kernel.CoefNeg), a.coef(kernel.CoefMinusGammaNeg), a.coef(kernel.CoefPlain)
		miss, hit := v.p, v.q
		if t[i] > 0 {
			w, minusGamma, derivative = a.coef(kernel.CoefPos), a.coef(kernel.CoefMinusGamma), a.coef(kernel.CoefT)
			miss, hit = hit, miss
		}
		nll, factor := b.nll(i, t[i], l[i]), T(w*power[i])
		lane := i % len(sum)
		if log {
			sum[lane] = fma(m, factor, sum[lane])
		} else {
			sum[lane] = fma(m, T(factor*nll), sum[lane])
		}
		if b.grad == nil {
			continue
		}
		var d T
		if log {
			d = T(T(factor/largerOf(nll, smallest[T]()))*miss) * a.coef(kernel.CoefGamma)
		} else {
			d = T(factor * fma(-T(hit*minusGamma), nll, miss))
		}
		d = T(d * scale)
		if t[i] > 0 {
			d = -d
		}
		d = fma(derivative, v.slope, d)
		b.store(i, T(d*m))
	}
}

// rowOverlapElements stores what the sums I and P of an overlap term are made of where the
// target is 1: m·p, and m·p·(CoefSquare·p + CoefLinear).
func rowOverlapElements[T real](a *rowArgs[T], n int) {
	first, second := a.of(kernel.ArgField, n), a.of(kernel.ArgField0, n)
	square, linear := a.coef(kernel.CoefSquare), a.coef(kernel.CoefLinear)
	b := binaryOf(a, n)
	for i, w := range b.m {
		p := b.at(i).p
		mp := T(p * w)
		first[i] = mp
		second[i] = T(mp * squares(p, square, linear))
	}
}

// rowOverlapGrad computes the gradient of a term whose derivative by p is f + f₀·p, of the
// rows f and f₀.
func rowOverlapGrad[T real](a *rowArgs[T], n int) {
	f, f0 := a.of(kernel.ArgField, n), a.of(kernel.ArgField0, n)
	b := binaryOf(a, n)
	for i, w := range b.m {
		v := b.at(i)
		b.store(i, T(T(fma(v.p, f0[i], f[i])*w)*v.slope))
	}
}

// binaryArgs are the arguments of these kernels.
type binaryArgs[T real] struct {
	x, m, e, r  []T
	grad, grad0 []T
	check       []T
	add         bool
}

func binaryOf[T real](a *rowArgs[T], n int) binaryArgs[T] {
	return binaryArgs[T]{
		x: a.of(kernel.ArgX, n), m: a.of(kernel.ArgWeight, n),
		e: a.buffer(kernel.ArgBuffer, kernel.BufExp, n), r: a.buffer(kernel.ArgBuffer, kernel.BufReciprocal, n),
		grad: a.row[kernel.ArgGrad], grad0: a.row[kernel.ArgGrad0], check: a.sum(kernel.RowSumCheck), add: a.add != 0,
	}
}

// logit is 0 for a voxel that takes no part.
func (b *binaryArgs[T]) logit(i int) T {
	if !(b.m[i] > 0) {
		return 0
	}
	return b.x[i]
}

// binaryVoxel holds the probability of a voxel, its complement and its derivative.
type binaryVoxel[T real] struct{ p, q, slope T }

func (b *binaryArgs[T]) at(i int) binaryVoxel[T] {
	large := b.r[i]
	small := T(b.e[i] * large)
	slope := T(small * large)
	if signed(b.logit(i)) {
		return binaryVoxel[T]{small, large, slope}
	}
	return binaryVoxel[T]{large, small, slope}
}

// nll is −log p_y for l = log(1+e^−|x|).
func (b *binaryArgs[T]) nll(i int, t, l T) T {
	z := b.logit(i)
	if t > 0 {
		z = -z
	}
	return largerOf(0, z) + l
}

// store stores the derivative by the logit, or adds it.
func (b *binaryArgs[T]) store(i int, d T) {
	nonFinite(&b.check[i%len(b.check)], d)
	opposite := -d
	if b.add {
		d += b.grad[i]
	}
	b.grad[i] = d
	if b.grad0 != nil {
		if b.add {
			opposite += b.grad0[i]
		}
		b.grad0[i] = opposite
	}
}
