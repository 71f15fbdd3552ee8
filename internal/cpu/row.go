package cpu

import (
	"math"

	"github.com/x/afl/internal/cpu/kernel"
)

// rowArgs are the arguments of the row kernels. The assembly reads it by offset, the
// slices first.
type rowArgs[T real] struct {
	row     [kernel.RowArgs][]T
	classes []uint8
	class   uint64
	add     uint64 // 1 to add to the gradient instead of overwriting it
	flags   uint64
	hard    uint64    // 1 if the targets of a tile kernel are zeros and ones
	acc     []float64 // sums of a tile kernel, laid out as ArgSums
}

// rowKernels are the row kernels for one element type. Each handles n voxels, a
// multiple of block and at most a tile.
type rowKernels[T real] [kernel.Rows]func(a *rowArgs[T], n int)

// plainRows returns the plain kernels. The others do what they do, operation by
// operation.
func plainRows[T real]() rowKernels[T] {
	return rowKernels[T]{
		kernel.RowClass: rowClass[T], kernel.RowValid: rowValid[T], kernel.RowMap: rowMap[T],
		kernel.RowWeight: rowWeight[T], kernel.RowTotal: rowTotal[T],

		kernel.RowExp:       func(a *rowArgs[T], n int) { rowExp(a, n, false) },
		kernel.RowScaledExp: func(a *rowArgs[T], n int) { rowExp(a, n, true) },
		kernel.RowLog:       rowLog[T], kernel.RowPower: rowPower[T],
		kernel.RowFocalZero: func(a *rowArgs[T], n int) { rowFocal(a, n, kernel.GammaZero) },
		kernel.RowFocalTwo:  func(a *rowArgs[T], n int) { rowFocal(a, n, kernel.GammaTwo) },
		kernel.RowFocal:     func(a *rowArgs[T], n int) { rowFocal(a, n, kernel.GammaAny) },

		kernel.RowLargest: rowLargest[T], kernel.RowSoftmaxExp: rowSoftmaxExp[T],
		kernel.RowSoftmaxSum: rowSoftmaxSum[T], kernel.RowSoftmaxPower: rowSoftmaxPower[T],
		kernel.RowSoftmaxFocalZero: func(a *rowArgs[T], n int) { rowSoftmaxFocal(a, n, kernel.GammaZero) },
		kernel.RowSoftmaxFocalTwo:  func(a *rowArgs[T], n int) { rowSoftmaxFocal(a, n, kernel.GammaTwo) },
		kernel.RowSoftmaxFocal:     func(a *rowArgs[T], n int) { rowSoftmaxFocal(a, n, kernel.GammaAny) },
		kernel.RowAfter:            rowAfter[T], kernel.RowPullback: rowPullback[T],

		kernel.RowDifference: rowDifference[T], kernel.RowPairClass: rowPairClass[T], kernel.RowPairPower: rowPairPower[T],
		kernel.RowPairFocalZero: func(a *rowArgs[T], n int) { rowPairFocal(a, n, kernel.GammaZero) },
		kernel.RowPairFocalTwo:  func(a *rowArgs[T], n int) { rowPairFocal(a, n, kernel.GammaTwo) },
		kernel.RowPairFocal:     func(a *rowArgs[T], n int) { rowPairFocal(a, n, kernel.GammaAny) },
		kernel.RowPairSums:      rowPairSums[T], kernel.RowPairGrad: rowPairGrad[T],

		kernel.RowSumsNone:    func(a *rowArgs[T], n int) { rowSums(a, n, kernel.RowSumsNone) },
		kernel.RowSumsSigmoid: func(a *rowArgs[T], n int) { rowSums(a, n, kernel.RowSumsSigmoid) },
		kernel.RowSumsSoftmax: func(a *rowArgs[T], n int) { rowSums(a, n, kernel.RowSumsSoftmax) },
		kernel.RowGradNone:    func(a *rowArgs[T], n int) { rowGrad(a, n, kernel.RowSumsNone) },
		kernel.RowGradSigmoid: func(a *rowArgs[T], n int) { rowGrad(a, n, kernel.RowSumsSigmoid) },
		kernel.RowGradSoftmax: func(a *rowArgs[T], n int) { rowGrad(a, n, kernel.RowSumsSoftmax) },

		kernel.RowDistance:    rowDistance[T],
		kernel.RowField:       rowField[T],
		kernel.RowFieldSquare: rowFieldSquare[T],
		kernel.RowErrors:      rowErrors[T],
		kernel.RowBinaryPower: rowBinaryPower[T], kernel.RowBinaryFocal: func(a *rowArgs[T], n int) { rowBinary(a, n, false) },
		kernel.RowLogPower: rowLogPower[T], kernel.RowLogFocal: func(a *rowArgs[T], n int) { rowBinary(a, n, true) },
		kernel.RowSoftmaxField: rowSoftmaxField[T], kernel.RowSoftmaxFieldSquare: rowSoftmaxFieldSquare[T],
		kernel.RowLabel: rowLabel[T], kernel.RowLabelPower: rowLabelPower[T],
		kernel.RowLabelSums: rowLabelSums[T], kernel.RowLabelGrad: rowLabelGrad[T],
		kernel.RowOverlapElements: rowOverlapElements[T], kernel.RowOverlapGrad: rowOverlapGrad[T],
	}
}

// of returns the numbers of an argument for n voxels.
func (a *rowArgs[T]) of(arg kernel.RowArg, n int) []T { return a.row[arg][:n] }

// buffer returns a row of one of the buffers.
func (a *rowArgs[T]) buffer(arg kernel.RowArg, row, n int) []T {
	return a.row[arg][row*kernel.Tile:][:n]
}

// coef returns a constant of the channel.
func (a *rowArgs[T]) coef(i int) T { return a.row[kernel.ArgCoefficients][i] }

// lanesOf is the number of lanes of a sum, which fill 64 bytes.
func lanesOf[T real]() int {
	if isFloat32[T]() {
		return 16
	}
	return 8
}

// sum returns the lanes of a sum.
func (a *rowArgs[T]) sum(i int) []T {
	n := lanesOf[T]()
	return a.row[kernel.ArgSums][i*n:][:n]
}

// side is 2t−1. As in nonFinite and squares, the product is exact, so that this is the
// fused operation of the assembly.
func side[T real](t T) T { return T(2*t) - 1 }

// nonFinite adds 0 to a sum, or NaN if d is not finite.
func nonFinite[T real](sum *T, d T) { *sum = T(d*0) + *sum }

// squares is v·square + linear, of which one constant is 1 and the other 0.
func squares[T real](v, square, linear T) T { return T(v*square) + linear }

// rowClass sets the target of a voxel to 1 if its label is the class, else to 0.
func rowClass[T real](a *rowArgs[T], n int) {
	t := a.of(kernel.ArgTarget, n)
	var any uint8
	for i, y := range a.classes[:n] {
		any |= y
		t[i] = 0
		if uint64(y) == a.class {
			t[i] = 1
		}
	}
	if any > 1 {
		a.flags |= kernel.FlagBad
	}
}

// rowValid copies the weights of ArgX, and 0 for voxels without a class.
func rowValid[T real](a *rowArgs[T], n int) {
	x, m := a.of(kernel.ArgX, n), a.of(kernel.ArgWeight, n)
	for i, y := range a.classes[:n] {
		m[i] = x[i]
		if y == noClass {
			m[i] = 0
		}
	}
}

// rowMap copies the target of ArgX, clamped to [0,1].
func rowMap[T real](a *rowArgs[T], n int) {
	t := a.of(kernel.ArgTarget, n)
	for i, v := range a.of(kernel.ArgX, n) {
		if !(float64(v) >= -kernel.MapSlack && float64(v) <= 1+kernel.MapSlack) {
			a.flags |= kernel.FlagBad
		}
		switch {
		case !(v < 1):
			v = 1
		case !(v > 0):
			v = 0
		default:
			a.flags |= kernel.FlagSpecial
		}
		t[i] = v
	}
}

// rowWeight copies the weights of ArgX.
func rowWeight[T real](a *rowArgs[T], n int) {
	m := a.of(kernel.ArgWeight, n)
	for i, v := range a.of(kernel.ArgX, n) {
		if !(v >= 0 && !math.IsInf(float64(v), 0)) {
			a.flags |= kernel.FlagBad
		}
		if v != 0 && !(v >= kernel.SmallestWeight && v <= kernel.LargestWeight) {
			a.flags |= kernel.FlagSpecial
		}
		m[i] = v
	}
}

// rowTotal adds up ArgX.
func rowTotal[T real](a *rowArgs[T], n int) {
	sum := a.sum(kernel.RowSumUpstream)
	for i, v := range a.of(kernel.ArgX, n) {
		sum[i%len(sum)] += v
	}
}

// rowExp computes e^−|x| and 1/(1+e^−|x|) of the logits, or of s·x.
func rowExp[T real](a *rowArgs[T], n int, scaled bool) {
	x, m := a.of(kernel.ArgX, n), a.of(kernel.ArgWeight, n)
	e, r := a.buffer(kernel.ArgLogistic, kernel.BufExp, n), a.buffer(kernel.ArgLogistic, kernel.BufReciprocal, n)
	for i, v := range x {
		if !(m[i] > 0) {
			v = 0
		}
		if scaled {
			v *= side(a.row[kernel.ArgTarget][i])
		}
		if !signed(v) {
			v = -v
		}
		e[i] = v
	}
	exps(e)
	for i, e := range e {
		r[i] = 1 / (1 + e)
	}
}

// rowLog computes log(1+e^−|x|) of what rowExp has.
func rowLog[T real](a *rowArgs[T], n int) {
	log1p01s(a.buffer(kernel.ArgLogistic, kernel.BufLog, n), a.buffer(kernel.ArgLogistic, kernel.BufExp, n))
}

// rowPower computes σ(−s·x)^γ = exp(−γ·softplus(s·x)).
func rowPower[T real](a *rowArgs[T], n int) {
	x, m, t := a.of(kernel.ArgX, n), a.of(kernel.ArgWeight, n), a.of(kernel.ArgTarget, n)
	l, power := a.buffer(kernel.ArgLogistic, kernel.BufLog, n), a.buffer(kernel.ArgBuffer, kernel.BufPower, n)
	minusGamma := a.coef(kernel.CoefMinusGamma)
	for i, v := range x {
		if !(m[i] > 0) {
			v = 0
		}
		v *= side(t[i])
		power[i] = T((largerOf(0, v) + l[i]) * minusGamma)
	}
	exps(power)
}

// rowFocal computes the elements of [plan.Pointwise] by sigmoid. With s = 2t−1, b the
// bracket and σ(−s·x)^γ = exp(−γ·softplus(s·x)), their derivative is
//
//	factor · σ(−s·x)^γ · (b' − γ·s·σ(s·x)·b),  b' = (1−t)·σ(x) − CE·t·σ(−x).
func rowFocal[T real](a *rowArgs[T], n int, exponent kernel.Exponent) {
	x, m, t := a.of(kernel.ArgX, n), a.of(kernel.ArgWeight, n), a.of(kernel.ArgTarget, n)
	e, r, l := a.buffer(kernel.ArgBuffer, kernel.BufExp, n), a.buffer(kernel.ArgBuffer, kernel.BufReciprocal, n), a.buffer(kernel.ArgBuffer, kernel.BufLog, n)
	es, rs := a.buffer(kernel.ArgLogistic, kernel.BufExp, n), a.buffer(kernel.ArgLogistic, kernel.BufReciprocal, n)
	power := a.buffer(kernel.ArgBuffer, kernel.BufPower, n)
	elements, grad, upstream := a.row[kernel.ArgElements], a.row[kernel.ArgGrad], a.row[kernel.ArgUpstream]
	pos, neg, ce, gamma, scale := a.coef(kernel.CoefPos), a.coef(kernel.CoefNeg), a.coef(kernel.CoefCE), a.coef(kernel.CoefGamma), a.coef(kernel.CoefScale)
	sum, check := a.sum(kernel.RowSumPointwise), a.sum(kernel.RowSumCheck)
	for i, v := range x {
		lane := i % len(sum)
		valid := m[i] > 0
		if !valid {
			v = 0
		}
		other := 1 - t[i]
		own := T(t[i] * ce)
		bracket := fma(other, largerOf(0, v)+l[i], T(own*(largerOf(0, -v)+l[i])))
		factor := fma(t[i], pos, T(other*neg))
		s := side(t[i])
		large := signed(v * s) // whether σ(−s·x) is the larger of the two
		switch exponent {
		case kernel.GammaTwo:
			miss := T(es[i] * rs[i])
			if large {
				miss = rs[i]
			}
			factor *= T(miss * miss)
		case kernel.GammaAny:
			factor *= power[i]
		}
		element := T(factor * bracket)
		sum[lane] = fma(m[i], element, sum[lane])
		scaled := T(m[i] * scale)
		if elements != nil {
			elements[i] = fma(scaled, element, elements[i])
		}
		if grad != nil {
			p, q := r[i], T(e[i]*r[i])
			if signed(v) {
				p, q = q, p
			}
			d := fma(-own, q, T(other*p))
			if exponent != kernel.GammaZero {
				hit := rs[i]
				if large {
					hit = T(es[i] * rs[i])
				}
				d = fma(-T(T(s*gamma)*hit), bracket, d)
			}
			from := T(0)
			if valid {
				from = upstream[i]
			}
			d = T(T(from*scaled)*factor) * d
			nonFinite(&check[lane], d)
			grad[i] = d
		}
	}
}

// rowLargest takes the channel into account in the largest logit and its channel.
func rowLargest[T real](a *rowArgs[T], n int) {
	x, m := a.of(kernel.ArgX, n), a.of(kernel.ArgWeight, n)
	largest, top := a.buffer(kernel.ArgBuffer, kernel.BufLargest, n), a.buffer(kernel.ArgBuffer, kernel.BufTop, n)
	channel := a.coef(kernel.CoefChannel)
	for i, v := range x {
		if !(m[i] > 0) {
			v = 0
		}
		if v > largest[i] {
			largest[i], top[i] = v, channel
		}
	}
}

// rowSoftmaxExp computes the channel's exponential of its logit less the largest, and
// adds it to the sum of all but that of the top channel, which keeps 1−p accurate for
// p near 1.
func rowSoftmaxExp[T real](a *rowArgs[T], n int) {
	x, m, e := a.of(kernel.ArgX, n), a.of(kernel.ArgWeight, n), a.of(kernel.ArgExp, n)
	largest, top := a.buffer(kernel.ArgBuffer, kernel.BufLargest, n), a.buffer(kernel.ArgBuffer, kernel.BufTop, n)
	others := a.buffer(kernel.ArgBuffer, kernel.BufOthers, n)
	channel := a.coef(kernel.CoefChannel)
	for i, v := range x {
		if !(m[i] > 0) {
			v = 0
		}
		e[i] = v - largest[i]
	}
	exps(e)
	for i := range e {
		if top[i] != channel {
			others[i] += e[i]
		} else {
			others[i] += 0
		}
	}
}

// rowSoftmaxSum computes the reciprocal and the logarithm of the sum of all channels'
// exponentials.
func rowSoftmaxSum[T real](a *rowArgs[T], n int) {
	scale, others := a.buffer(kernel.ArgBuffer, kernel.BufScale, n), a.buffer(kernel.ArgBuffer, kernel.BufOthers, n)
	for i, others := range others {
		scale[i] = 1 / (1 + others)
	}
	logOnePluses(a.buffer(kernel.ArgBuffer, kernel.BufLogSum, n), others)
}

// softmaxRest computes the sum of the exponentials of the channels but the current one.
type softmaxRest[T real] struct {
	others, top []T
	channel     T
}

func restOf[T real](a *rowArgs[T], n int) softmaxRest[T] {
	return softmaxRest[T]{a.buffer(kernel.ArgBuffer, kernel.BufOthers, n), a.buffer(kernel.ArgBuffer, kernel.BufTop, n), a.coef(kernel.CoefChannel)}
}

func (s *softmaxRest[T]) at(i int, e T) T {
	if s.top[i] == s.channel {
		return s.others[i]
	}
	return 1 + (s.others[i] - e)
}

// rowSoftmaxPower computes (1−p)^γ.
func rowSoftmaxPower[T real](a *rowArgs[T], n int) {
	scale, power := a.buffer(kernel.ArgBuffer, kernel.BufScale, n), a.buffer(kernel.ArgBuffer, kernel.BufPower, n)
	gamma, rest := a.coef(kernel.CoefGamma), restOf(a, n)
	for i, e := range a.of(kernel.ArgExp, n) {
		miss := T(rest.at(i, e) * scale[i])
		power[i] = largerOf(miss, smallest[T]())
	}
	logNormals(power)
	for i, log := range power {
		power[i] = T(log * gamma)
	}
	exps(power)
}

// rowSoftmaxFocal computes the elements of [plan.Pointwise] by softmax and the
// derivative of each by the channel's log-probability, with u the factor of (1−p)^γ:
//
//	−u·(1−p)^γ·(1 + γ·p·(−log p)/(1−p))
func rowSoftmaxFocal[T real](a *rowArgs[T], n int, exponent kernel.Exponent) {
	x, m, t, e := a.of(kernel.ArgX, n), a.of(kernel.ArgWeight, n), a.of(kernel.ArgTarget, n), a.of(kernel.ArgExp, n)
	largest, logSum := a.buffer(kernel.ArgBuffer, kernel.BufLargest, n), a.buffer(kernel.ArgBuffer, kernel.BufLogSum, n)
	sumScale, power := a.buffer(kernel.ArgBuffer, kernel.BufScale, n), a.buffer(kernel.ArgBuffer, kernel.BufPower, n)
	elements, derivative, upstream := a.row[kernel.ArgElements], a.row[kernel.ArgDerivative], a.row[kernel.ArgUpstream]
	target, uniform, gamma, scale := a.coef(kernel.CoefTarget), a.coef(kernel.CoefUniform), a.coef(kernel.CoefGamma), a.coef(kernel.CoefScale)
	sum, rest := a.sum(kernel.RowSumPointwise), restOf(a, n)
	for i, v := range x {
		valid := m[i] > 0
		if !valid {
			v = 0
		}
		u := fma(t[i], target, uniform)
		nll := (largest[i] - v) + logSum[i]
		if u == 0 {
			nll = 0
		}
		var p, miss T
		if exponent != kernel.GammaZero {
			p, miss = T(e[i]*sumScale[i]), T(rest.at(i, e[i])*sumScale[i])
		}
		switch exponent {
		case kernel.GammaTwo:
			u *= T(miss * miss)
		case kernel.GammaAny:
			u *= power[i]
		}
		element := T(u * nll)
		lane := i % len(sum)
		sum[lane] = fma(m[i], element, sum[lane])
		scaled := T(m[i] * scale)
		if elements != nil {
			elements[i] = fma(scaled, element, elements[i])
		}
		if derivative != nil {
			from := T(0)
			if valid {
				from = upstream[i]
			}
			d := T(T(from*scaled) * u)
			if exponent != kernel.GammaZero {
				ratio := nll / largerOf(miss, smallest[T]())
				d *= fma(T(p*gamma), ratio, 1)
			}
			derivative[i] = -d
		}
	}
}

// rowAfter stores the running sum of the derivatives of the channels after the current
// one and adds the channel's to it.
func rowAfter[T real](a *rowArgs[T], n int) {
	running, after := a.buffer(kernel.ArgBuffer, kernel.BufRunning, n), a.of(kernel.ArgAfter, n)
	for i, d := range a.of(kernel.ArgDerivative, n) {
		after[i] = running[i]
		running[i] += d
	}
}

// rowPullback computes the gradient by the logit of the channel, a_j·(1−p_j) −
// p_j·Σ_{k≠j} a_k with a_k the derivative by the log-probability of channel k. The sum
// over the others is that of the channels before and of those after: subtracting a_j
// from the full sum would cancel.
func rowPullback[T real](a *rowArgs[T], n int) {
	e, after, grad := a.of(kernel.ArgExp, n), a.of(kernel.ArgAfter, n), a.of(kernel.ArgGrad, n)
	running, scale := a.buffer(kernel.ArgBuffer, kernel.BufRunning, n), a.buffer(kernel.ArgBuffer, kernel.BufScale, n)
	check, rest := a.sum(kernel.RowSumCheck), restOf(a, n)
	for i, own := range a.of(kernel.ArgDerivative, n) {
		d := T(own * rest.at(i, e[i]))
		d = fma(-e[i], running[i]+after[i], d)
		running[i] += own
		d = T(d * scale[i])
		lane := i % len(check)
		nonFinite(&check[lane], d)
		if a.add != 0 {
			d += grad[i]
		}
		grad[i] = d
	}
}

// rowProbability computes probabilities by the activation of an overlap kernel.
type rowProbability[T real] struct {
	activation kernel.Row
	x, m       []T
	e, r       []T
}

func probabilityOf[T real](a *rowArgs[T], n int, activation kernel.Row) rowProbability[T] {
	p := rowProbability[T]{activation: activation, m: a.of(kernel.ArgWeight, n)}
	switch activation {
	case kernel.RowSumsSoftmax:
		p.e, p.r = a.of(kernel.ArgExp, n), a.buffer(kernel.ArgBuffer, kernel.BufScale, n)
	case kernel.RowSumsSigmoid:
		p.e, p.r = a.buffer(kernel.ArgBuffer, kernel.BufExp, n), a.buffer(kernel.ArgBuffer, kernel.BufReciprocal, n)
		p.x = a.of(kernel.ArgX, n)
	default:
		p.x = a.of(kernel.ArgX, n)
	}
	return p
}

// at returns the probability, and by sigmoid its derivative.
func (p *rowProbability[T]) at(i int) (value, derivative T) {
	if p.activation == kernel.RowSumsSoftmax {
		return T(p.e[i] * p.r[i]), 1
	}
	v := p.x[i]
	if !(p.m[i] > 0) {
		v = 0
	}
	if p.activation == kernel.RowSumsNone {
		return v, 1
	}
	small := T(p.e[i] * p.r[i])
	if signed(v) {
		return small, T(small * p.r[i])
	}
	return p.r[i], T(small * p.r[i])
}

// rowSums adds up the sums of the overlap term.
func rowSums[T real](a *rowArgs[T], n int, activation kernel.Row) {
	m, t := a.of(kernel.ArgWeight, n), a.of(kernel.ArgTarget, n)
	square, linear := a.coef(kernel.CoefSquare), a.coef(kernel.CoefLinear)
	si, sp, sg := a.sum(kernel.RowSumI), a.sum(kernel.RowSumP), a.sum(kernel.RowSumG)
	probability := probabilityOf(a, n, activation)
	for i, w := range m {
		lane := i % len(si)
		p, _ := probability.at(i)
		mp := T(p * w)
		si[lane] = fma(mp, t[i], si[lane])
		sp[lane] = fma(mp, squares(p, square, linear), sp[lane])
		sg[lane] = fma(T(t[i]*w), squares(t[i], square, linear), sg[lane])
	}
}

// rowGrad computes the gradient of the overlap term, by softmax as the derivative by
// the log-probability of the channel.
func rowGrad[T real](a *rowArgs[T], n int, activation kernel.Row) {
	m, t := a.of(kernel.ArgWeight, n), a.of(kernel.ArgTarget, n)
	slope, coefT, plain := a.coef(kernel.CoefSlope), a.coef(kernel.CoefT), a.coef(kernel.CoefPlain)
	probability := probabilityOf(a, n, activation)
	if activation == kernel.RowSumsSoftmax {
		derivative := a.of(kernel.ArgDerivative, n)
		for i, w := range m {
			p, _ := probability.at(i)
			d := T(T(p*w) * fma(p, slope, fma(t[i], coefT, plain)))
			if a.add != 0 {
				d += derivative[i]
			}
			derivative[i] = d
		}
		return
	}
	grad, check := a.of(kernel.ArgGrad, n), a.sum(kernel.RowSumCheck)
	for i, w := range m {
		p, derivative := probability.at(i)
		d := T(T(fma(p, slope, fma(t[i], coefT, plain))*w) * derivative)
		lane := i % len(check)
		nonFinite(&check[lane], d)
		if a.add != 0 {
			d += grad[i]
		}
		grad[i] = d
	}
}

// rowDifference computes the logit of channel 1 of a pair less that of channel 0, x, of
// which the softmax is the sigmoid.
func rowDifference[T real](a *rowArgs[T], n int) {
	x, x0, m := a.of(kernel.ArgX, n), a.of(kernel.ArgX0, n), a.of(kernel.ArgWeight, n)
	difference := a.buffer(kernel.ArgBuffer, kernel.BufDifference, n)
	for i, w := range m {
		difference[i] = 0
		if w > 0 {
			difference[i] = x[i] - x0[i]
		}
	}
}

// rowPairClass sets the targets of both channels of a pair, 1 for the channel of the label's
// class and else 0.
func rowPairClass[T real](a *rowArgs[T], n int) {
	for class := range 2 {
		t := a.row[kernel.ArgTarget][class*kernel.Tile:][:n]
		for i, y := range a.classes[:n] {
			t[i] = 0
			if int(y) == class {
				t[i] = 1
			}
		}
	}
}

// rowPairPower computes (1−p)^γ of both channels of a pair, as rowPower does.
func rowPairPower[T real](a *rowArgs[T], n int) {
	l, power, power0 := a.buffer(kernel.ArgBuffer, kernel.BufLog, n), a.buffer(kernel.ArgBuffer, kernel.BufPower, n), a.buffer(kernel.ArgBuffer, kernel.BufPower0, n)
	minusGamma, minusGamma0 := a.coef(kernel.RowCoefs+kernel.CoefMinusGamma), a.coef(kernel.CoefMinusGamma)
	for i, x := range a.buffer(kernel.ArgBuffer, kernel.BufDifference, n) {
		power[i] = T((largerOf(0, x) + l[i]) * minusGamma)
		power0[i] = T((largerOf(0, -x) + l[i]) * minusGamma0)
	}
	exps(power)
	exps(power0)
}

// pairArgs are the arguments of a kernel for two channels, [0] of channel 0.
type pairArgs[T real] struct {
	m, x, e, r []T
	t          [2][]T
	coef       [2][]T
}

func pairOf[T real](a *rowArgs[T], n int) pairArgs[T] {
	t, coef := a.row[kernel.ArgTarget], a.row[kernel.ArgCoefficients]
	return pairArgs[T]{
		m: a.of(kernel.ArgWeight, n), x: a.buffer(kernel.ArgBuffer, kernel.BufDifference, n),
		e: a.buffer(kernel.ArgBuffer, kernel.BufExp, n), r: a.buffer(kernel.ArgBuffer, kernel.BufReciprocal, n),
		t:    [2][]T{t[:n], t[kernel.Tile:][:n]},
		coef: [2][]T{coef[:kernel.RowCoefs], coef[kernel.RowCoefs:][:kernel.RowCoefs]},
	}
}

// probabilities returns those of channel 0 and channel 1.
func (p *pairArgs[T]) probabilities(i int) [2]T {
	small := T(p.e[i] * p.r[i])
	if signed(p.x[i]) {
		return [2]T{p.r[i], small}
	}
	return [2]T{small, p.r[i]}
}

// rowPairFocal is rowSoftmaxFocal and rowPullback for the two channels of a pair, whose
// gradients are opposite. The derivative of an element by the channel's logit is
//
//	−u·(1−p)^γ·((1−p) + γ·p·(−log p)).
func rowPairFocal[T real](a *rowArgs[T], n int, exponent kernel.Exponent) {
	args := pairOf(a, n)
	l := a.buffer(kernel.ArgBuffer, kernel.BufLog, n)
	power := [2][]T{a.buffer(kernel.ArgBuffer, kernel.BufPower0, n), a.buffer(kernel.ArgBuffer, kernel.BufPower, n)}
	upstream := [2][]T{a.row[kernel.ArgUpstream0], a.row[kernel.ArgUpstream]}
	elements := [2][]T{a.row[kernel.ArgElements0], a.row[kernel.ArgElements]}
	grad, grad0 := a.row[kernel.ArgGrad], a.row[kernel.ArgGrad0]
	sum, check := a.sum(kernel.RowSumPointwise), a.sum(kernel.RowSumCheck)
	for i, w := range args.m {
		p := args.probabilities(i)
		scaled := T(w * args.coef[1][kernel.CoefScale])
		var element, d [2]T
		for c, z := range [2]T{args.x[i], -args.x[i]} {
			coef, miss := args.coef[c], p[1-c]
			u := fma(args.t[c][i], coef[kernel.CoefTarget], coef[kernel.CoefUniform])
			nll := largerOf(0, z) + l[i]
			if u == 0 {
				nll = 0
			}
			switch exponent {
			case kernel.GammaTwo:
				u *= T(miss * miss)
			case kernel.GammaAny:
				u *= power[c][i]
			}
			element[c] = T(u * nll)
			if grad == nil {
				continue
			}
			if w > 0 {
				d[c] = upstream[c][i]
			}
			d[c] = T(T(d[c]*scaled) * u)
			if exponent != kernel.GammaZero {
				miss = fma(T(p[c]*coef[kernel.CoefGamma]), nll, miss)
			}
			d[c] *= miss
		}
		lane := i % len(sum)
		sum[lane] = fma(w, element[1]+element[0], sum[lane])
		for _, c := range [2]int{1, 0} {
			if elements[c] != nil {
				elements[c][i] = fma(scaled, element[c], elements[c][i])
			}
		}
		if grad != nil {
			d := d[0] - d[1]
			nonFinite(&check[lane], d)
			opposite := -d
			if a.add != 0 {
				d += grad[i]
				opposite += grad0[i]
			}
			grad[i], grad0[i] = d, opposite
		}
	}
}

// rowPairSums is rowSums for the two channels of a pair.
func rowPairSums[T real](a *rowArgs[T], n int) {
	args := pairOf(a, n)
	for c := range 2 {
		square, linear := args.coef[c][kernel.CoefSquare], args.coef[c][kernel.CoefLinear]
		at := c * kernel.RowSums
		si, sp, sg := a.sum(at+kernel.RowSumI), a.sum(at+kernel.RowSumP), a.sum(at+kernel.RowSumG)
		for i, w := range args.m {
			lane := i % len(si)
			p, t := args.probabilities(i)[c], args.t[c][i]
			mp := T(p * w)
			si[lane] = fma(mp, t, si[lane])
			sp[lane] = fma(mp, squares(p, square, linear), sp[lane])
			sg[lane] = fma(T(t*w), squares(t, square, linear), sg[lane])
		}
	}
}

// rowPairGrad is rowGrad and rowPullback for the two channels of a pair.
func rowPairGrad[T real](a *rowArgs[T], n int) {
	args := pairOf(a, n)
	grad, grad0, check := a.of(kernel.ArgGrad, n), a.of(kernel.ArgGrad0, n), a.sum(kernel.RowSumCheck)
	for i, w := range args.m {
		p := args.probabilities(i)
		derivative := func(c int) T {
			k := args.coef[c]
			return fma(p[c], k[kernel.CoefSlope], fma(args.t[c][i], k[kernel.CoefT], k[kernel.CoefPlain]))
		}
		d := derivative(1) - derivative(0)
		d = T(T(d*w) * T(p[1]*p[0]))
		lane := i % len(check)
		nonFinite(&check[lane], d)
		opposite := -d
		if a.add != 0 {
			d += grad[i]
			opposite += grad0[i]
		}
		grad[i], grad0[i] = d, opposite
	}
}
