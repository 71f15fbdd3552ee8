package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/x/afl/internal/cpu/kernel"
)

// The row kernels, operation by operation those of row.go in package cpu, which
// explains them. Each is one loop over the voxels of a tile, short enough that several
// turns of it run at once; they pass intermediates on through the first-level cache.

// Byte offsets in rowArgs, which begins with its slices.
const (
	argClasses = 24*kernel.RowArgs + 24*iota
	argClass
	argAdd   = argClass + 8
	argFlags = argClass + 16
	argHard  = argClass + 24
	argAcc   = argClass + 32
)

// rowName is the name of a row kernel's routine.
func rowName(t tier, r kernel.Row) string {
	if t.double {
		return r.Name() + "64" + t.name
	}
	return r.Name() + "32" + t.name
}

// rowKernel emits one row kernel.
type rowKernel struct {
	tier
	args        reg.Register
	i           reg.GPVirtual
	valid       mask // the voxels that take part
	weight      vec
	sums        map[int]reg.VecVirtual // AVX-512
	sumsBase    reg.Register
	half        reg.GPVirtual // AVX2: byte offset of the current lanes, 0 or 32
	coefficient reg.Register
	stores      int // for labels
}

// pointer loads the address of an argument's slice.
func (k *rowKernel) pointer(arg kernel.RowArg) reg.GPVirtual {
	p := GP64()
	MOVQ(Mem{Base: k.args, Disp: 24 * int(arg)}, p)
	return p
}

// row is the memory of an argument's numbers at the current voxel.
func (k *rowKernel) row(arg kernel.RowArg) Mem { return k.at(k.pointer(arg)) }

func (k *rowKernel) at(base reg.Register) Mem {
	return Mem{Base: base, Index: k.i, Scale: uint8(k.size())}
}

// buffer returns the memory of the rows of one of the buffers.
func (k *rowKernel) buffer(arg kernel.RowArg) func(row int) Mem {
	m := k.row(arg)
	return func(row int) Mem { return m.Offset(row * kernel.Tile * k.size()) }
}

// coef is a constant of the channel.
func (k *rowKernel) coef(i int) word {
	return word{mem: Mem{Base: k.coefficient, Disp: i * k.size()}}
}

// sumsOf prepares sums, of those of the channel.
func (k *rowKernel) sumsOf(list ...int) {
	k.sumsBase = k.pointer(kernel.ArgSums)
	if !k.wide {
		k.half = GP64()
		XORQ(k.half, k.half)
		return
	}
	k.sums = map[int]reg.VecVirtual{}
	for _, s := range list {
		k.sums[s] = ZMM()
		VMOVUPS(Mem{Base: k.sumsBase, Disp: 64 * s}, k.sums[s])
	}
}

// sum adds a·b to a sum.
func (k *rowKernel) sum(i int, a, b vec) {
	for u := range a {
		if k.wide {
			k.op(VFMADD231PS, VFMADD231PD)(a[u], b[u], k.sums[i])
			continue
		}
		at := Mem{Base: k.sumsBase, Disp: 64 * i, Index: k.half, Scale: 1}
		d := YMM()
		VMOVUPS(at, d)
		k.op(VFMADD231PS, VFMADD231PD)(a[u], b[u], d)
		VMOVUPS(d, at)
	}
}

// loop emits the loop over the voxels.
func (k *rowKernel) loop(body func()) {
	XORQ(k.i, k.i)
	Label("loop")
	body()
	if k.half != nil {
		XORQ(Imm(32), k.half)
	}
	ADDQ(Imm(uint64(k.step())), k.i)
	CMPQ(k.i, parameter("n"))
	JL(LabelRef("loop"))
	k.storeSums()
}

// storeSums writes the sums that are in registers.
func (k *rowKernel) storeSums() {
	for s := range 2 * kernel.RowSums {
		if d, ok := k.sums[s]; ok {
			VMOVUPS(d, Mem{Base: k.sumsBase, Disp: 64 * s})
		}
	}
}

// unless emits code that is skipped if a pointer is nil.
func unless(p reg.Register, label string, body func()) {
	TESTQ(p, p)
	JZ(LabelRef(label))
	body()
	Label(label)
}

// weights loads the weights at the current voxels.
func (k *rowKernel) weights(at Mem) {
	k.weight = k.loadAt(at)
	k.valid = k.greater(k.weight, k.lit(0))
}

func (k *rowKernel) negative(v vec) vec { return k.xor(v, k.signBit()) }

// side is 2t−1.
func (k *rowKernel) side(t vec) vec { return k.fma(t, k.lit(2), k.lit(-1)) }

// prefetch fetches the next tile: the kernels access memory in bursts, which the
// hardware prefetcher does not predict.
func (k *rowKernel) prefetch(at Mem) {
	for line := 0; line < k.bytes()*k.unroll; line += 64 {
		PREFETCHT0(at.Offset(kernel.Tile*k.size() + line))
	}
}

// row emits a row kernel.
func row(t tier, r kernel.Row) {
	name := rowName(t, r)
	TEXT(name, NOSPLIT, "func(args *byte, n int)")
	Doc(fmt.Sprintf("%s is a row kernel for n voxels, a multiple of 64.", name))
	Pragma("noescape")
	k := &rowKernel{tier: t, args: Load(Param("args"), GP64()), i: GP64()}
	if r >= kernel.RowPower && r != kernel.RowAfter && r != kernel.RowSoftmaxSum && r != kernel.RowDifference && r != kernel.RowPairClass {
		k.coefficient = k.pointer(kernel.ArgCoefficients)
	}
	switch r {
	case kernel.RowClass:
		k.class()
	case kernel.RowValid:
		k.validVoxels()
	case kernel.RowMap:
		k.maps()
	case kernel.RowWeight:
		k.checkWeights()
	case kernel.RowTotal:
		x := k.row(kernel.ArgX)
		k.sumsOf(kernel.RowSumUpstream)
		k.loop(func() { k.sum(kernel.RowSumUpstream, k.loadAt(x), k.load(k.lit(1))) })
	case kernel.RowExp, kernel.RowScaledExp:
		k.exponential(r == kernel.RowScaledExp)
	case kernel.RowLog:
		z := k.buffer(kernel.ArgLogistic)
		k.unroll = k.short
		k.loop(func() { k.store(k.log1p01(k.loadAt(z(kernel.BufExp))), z(kernel.BufLog), false) })
	case kernel.RowPower:
		k.power()
	case kernel.RowFocalZero, kernel.RowFocalTwo, kernel.RowFocal:
		k.focal(r.Exponent())
	case kernel.RowLargest:
		k.largest()
	case kernel.RowSoftmaxExp:
		k.softmaxExp()
	case kernel.RowSoftmaxSum:
		b := k.buffer(kernel.ArgBuffer)
		k.loop(func() {
			others := k.loadAt(b(kernel.BufOthers))
			k.store(k.div(k.lit(1), k.add(others, k.lit(1))), b(kernel.BufScale), false)
			k.store(k.logOnePlus(others), b(kernel.BufLogSum), false)
		})
	case kernel.RowSoftmaxPower:
		k.softmaxPower()
	case kernel.RowSoftmaxFocalZero, kernel.RowSoftmaxFocalTwo, kernel.RowSoftmaxFocal:
		k.softmaxFocal(r.Exponent())
	case kernel.RowAfter:
		running, a, after := k.buffer(kernel.ArgBuffer)(kernel.BufRunning), k.row(kernel.ArgDerivative), k.row(kernel.ArgAfter)
		k.unroll = k.short
		k.loop(func() {
			sum := k.loadAt(running)
			k.store(sum, after, false)
			k.store(k.add(sum, k.loadAt(a)), running, false)
		})
	case kernel.RowPullback:
		k.pullback()
	case kernel.RowDifference:
		x, x0, m, b := k.row(kernel.ArgX), k.row(kernel.ArgX0), k.row(kernel.ArgWeight), k.buffer(kernel.ArgBuffer)
		k.loop(func() {
			k.prefetch(x)
			k.prefetch(x0)
			k.weights(m)
			k.store(k.sub(k.loadMasked(k.valid, x), k.loadMasked(k.valid, x0)), b(kernel.BufDifference), false)
		})
	case kernel.RowPairClass:
		k.pairClass()
	case kernel.RowPairPower:
		k.pairPower()
	case kernel.RowPairFocalZero, kernel.RowPairFocalTwo, kernel.RowPairFocal:
		k.pairFocal(r.Exponent())
	case kernel.RowPairSums:
		k.pairSums()
	case kernel.RowPairGrad:
		k.pairGradient()
	case kernel.RowSumsNone, kernel.RowSumsSigmoid, kernel.RowSumsSoftmax:
		k.overlapSums(r)
	case kernel.RowDistance:
		k.distance()
	case kernel.RowField:
		k.binary().field()
	case kernel.RowFieldSquare:
		k.binary().fieldSquare()
	case kernel.RowErrors:
		k.binary().errors()
	case kernel.RowBinaryPower:
		k.binary().power()
	case kernel.RowLogPower:
		k.binary().logPower()
	case kernel.RowBinaryFocal, kernel.RowLogFocal:
		k.binary().elements(r == kernel.RowLogFocal)
	case kernel.RowSoftmaxField:
		k.softmaxField()
	case kernel.RowSoftmaxFieldSquare:
		k.softmaxFieldSquare()
	case kernel.RowLabel:
		k.label()
	case kernel.RowLabelPower:
		k.labelPower()
	case kernel.RowLabelSums:
		k.labelSums()
	case kernel.RowLabelGrad:
		k.labelGrad()
	case kernel.RowOverlapElements:
		k.binary().overlapElements()
	case kernel.RowOverlapGrad:
		k.binary().overlapGrad()
	default:
		k.overlapGradient(r)
	}
	VZEROUPPER()
	RET()
}

// bytesOf loads the class bytes of a register as integers of the element's size.
func (k *rowKernel) bytesOf(at Mem) vec {
	return k.each(func(u int, d reg.VecVirtual) {
		k.op(VPMOVZXBD, VPMOVZXBQ)(at.Offset(u*k.bytes()/k.size()), d)
	})
}

// equalInteger is the mask of the lanes that equal an integer of the element's size.
func (k *rowKernel) equalInteger(v vec, to reg.VecVirtual) mask {
	return k.eachMask(func(u int, m reg.Register) { k.op(VPCMPEQD, VPCMPEQQ)(to, v[u], m) })
}

func (k *rowKernel) class() {
	y, t := GP64(), k.row(kernel.ArgTarget)
	MOVQ(Mem{Base: k.args, Disp: argClasses}, y)
	class, seen := k.register(), YMM()
	k.op(VPBROADCASTD, VPBROADCASTQ)(Mem{Base: k.args, Disp: argClass}, class)
	any := k.register()
	VXORPS(seen, seen, seen)
	VXORPS(any.AsY(), any.AsY(), any.AsY()) // clears the whole register
	k.loop(func() {
		labels := k.bytesOf(Mem{Base: y, Index: k.i, Scale: 1})
		for _, v := range labels {
			VORPS(v, any, any)
		}
		k.store(k.masked(k.equalInteger(labels, class), k.lit(1)), t, false)
	})
	if k.wide {
		VEXTRACTF64X4(U8(1), any, seen)
	}
	VORPS(any.AsY(), seen, seen)
	VPTEST(litBits(math.MaxUint32&^1).mem, seen)
	k.setFlag(kernel.FlagBad, func(label string) { JZ(LabelRef(label)) })
}

// setFlag sets a flag unless skip jumps.
func (k *rowKernel) setFlag(flag uint32, skip func(label string)) {
	label := fmt.Sprintf("flag%d", flag)
	skip(label)
	ORQ(Imm(uint64(flag)), Mem{Base: k.args, Disp: argFlags})
	Label(label)
}

// seen collects whether a mask was set in any lane.
type seen struct {
	k *rowKernel
	m reg.Register
}

func (k *rowKernel) newSeen() seen {
	if k.wide {
		m := K()
		KXORW(m, m, m)
		return seen{k, m}
	}
	m := YMM()
	VXORPS(m, m, m)
	return seen{k, m}
}

func (s seen) add(m mask) {
	for _, one := range m {
		if s.k.wide {
			KORW(one, s.m, s.m)
		} else {
			VORPS(one, s.m, s.m)
		}
	}
}

func (s seen) setFlag(flag uint32) {
	s.k.setFlag(flag, s.jumpIfNone)
}

// jumpIfNone jumps to a label if the mask was set in no lane.
func (s seen) jumpIfNone(label string) {
	if s.k.wide {
		KTESTW(s.m, s.m)
	} else {
		bits := GP32()
		VMOVMSKPS(s.m, bits)
		TESTL(bits, bits)
	}
	JZ(LabelRef(label))
}

// outside is the mask of what is not from low to high.
func (k *rowKernel) outside(v vec, low, high word) mask {
	below, above := k.compare(notAtLeast, v, low), k.compare(notAtMost, v, high)
	return k.eachMask(func(u int, m reg.Register) {
		if k.wide {
			KORW(below[u], above[u], m)
		} else {
			VORPS(below[u], above[u], m)
		}
	})
}

func (k *rowKernel) validVoxels() {
	y, x, m := GP64(), k.row(kernel.ArgX), k.row(kernel.ArgWeight)
	MOVQ(Mem{Base: k.args, Disp: argClasses}, y)
	none := k.register()
	k.broadcast(k.litBits(kernel.NoClass), none)
	k.loop(func() {
		is := k.equalInteger(k.bytesOf(Mem{Base: y, Index: k.i, Scale: 1}), none)
		k.store(k.blend(is, k.lit(0), k.loadAt(x)), m, false)
	})
}

func (k *rowKernel) maps() {
	x, t := k.row(kernel.ArgX), k.row(kernel.ArgTarget)
	low, high := k.lit(-kernel.MapSlack), k.lit(1+kernel.MapSlack)
	if !k.double {
		l, h := kernel.Map32Range()
		low, high = lit(l), lit(h)
	}
	bad, soft := k.newSeen(), k.newSeen()
	k.loop(func() {
		k.prefetch(x)
		v := k.loadAt(x)
		bad.add(k.outside(v, low, high))
		v = k.max(k.min(v, k.lit(1)), k.lit(0))
		soft.add(k.compare(notEqual, k.mul(v, v), v))
		k.store(v, t, false)
	})
	bad.setFlag(kernel.FlagBad)
	soft.setFlag(kernel.FlagSpecial)
}

func (k *rowKernel) checkWeights() {
	x, m := k.row(kernel.ArgX), k.row(kernel.ArgWeight)
	largest := k.lit(math.MaxFloat64)
	if !k.double {
		largest = lit(math.MaxFloat32)
	}
	bad, special := k.newSeen(), k.newSeen()
	k.loop(func() {
		k.prefetch(x)
		v := k.loadAt(x)
		bad.add(k.outside(v, k.lit(0), largest))
		extreme, some := k.outside(v, k.lit(kernel.SmallestWeight), k.lit(kernel.LargestWeight)), k.compare(notEqual, v, k.lit(0))
		special.add(k.eachMask(func(u int, m reg.Register) {
			if k.wide {
				KANDW(extreme[u], some[u], m)
			} else {
				VANDPS(extreme[u], some[u], m)
			}
		}))
		k.store(v, m, false)
	})
	bad.setFlag(kernel.FlagBad)
	special.setFlag(kernel.FlagSpecial)
}

func (k *rowKernel) exponential(scaled bool) {
	x, m, z := k.row(kernel.ArgX), k.row(kernel.ArgWeight), k.buffer(kernel.ArgLogistic)
	var t Mem
	if scaled {
		t = k.row(kernel.ArgTarget)
	}
	k.loop(func() {
		k.prefetch(x)
		k.weights(m)
		v := k.loadMasked(k.valid, x)
		if scaled {
			v = k.mul(v, k.side(k.loadAt(t)))
		}
		e := k.exp(k.or(v, k.signBit()))
		k.store(e, z(kernel.BufExp), false)
		k.store(k.div(k.lit(1), k.add(e, k.lit(1))), z(kernel.BufReciprocal), false)
	})
}

func (k *rowKernel) power() {
	x, m, t := k.row(kernel.ArgX), k.row(kernel.ArgWeight), k.row(kernel.ArgTarget)
	b, z := k.buffer(kernel.ArgBuffer), k.buffer(kernel.ArgLogistic)
	k.loop(func() {
		k.weights(m)
		v := k.mul(k.loadMasked(k.valid, x), k.side(k.loadAt(t)))
		softplus := k.add(k.max(k.lit(0), v), k.loadAt(z(kernel.BufLog)))
		k.store(k.exp(k.mul(softplus, k.coef(kernel.CoefMinusGamma))), b(kernel.BufPower), false)
	})
}

func (k *rowKernel) focal(exponent kernel.Exponent) {
	x, m, t, upstream := k.row(kernel.ArgX), k.row(kernel.ArgWeight), k.row(kernel.ArgTarget), k.row(kernel.ArgUpstream)
	b, z := k.buffer(kernel.ArgBuffer), k.buffer(kernel.ArgLogistic)
	grad, elements := k.pointer(kernel.ArgGrad), k.pointer(kernel.ArgElements)
	k.sumsOf(kernel.RowSumPointwise, kernel.RowSumCheck)
	k.loop(func() {
		k.weights(m)
		x, t := k.loadMasked(k.valid, x), k.loadAt(t)
		zero := k.lit(0)
		other := k.sub(k.lit(1), t)
		own := k.mul(t, k.coef(kernel.CoefCE))
		l := k.loadAt(b(kernel.BufLog))
		bracket := k.fma(other, k.add(k.max(zero, x), l), k.mul(own, k.add(k.max(zero, k.negative(x)), l)))
		factor := k.fma(t, k.coef(kernel.CoefPos), k.mul(other, k.coef(kernel.CoefNeg)))
		switch exponent {
		case kernel.GammaTwo:
			r := k.loadAt(z(kernel.BufReciprocal))
			miss := k.blend(k.signs(k.mul(x, k.side(t))), r, k.mul(k.loadAt(z(kernel.BufExp)), r))
			factor = k.mul(factor, k.mul(miss, miss))
		case kernel.GammaAny:
			factor = k.mul(factor, k.loadAt(b(kernel.BufPower)))
		}
		element := k.mul(factor, bracket)
		k.sum(kernel.RowSumPointwise, k.weight, element)
		scaled := k.mul(k.weight, k.coef(kernel.CoefScale))
		unless(elements, "noElements", func() {
			at := k.at(elements)
			k.store(k.fma(scaled, element, k.loadAt(at)), at, false)
		})
		unless(grad, "noGradient", func() {
			r := k.loadAt(b(kernel.BufReciprocal))
			small := k.mul(k.loadAt(b(kernel.BufExp)), r)
			below := k.signs(x)
			d := k.mul(other, k.blend(below, small, r))
			d = k.fnma(own, k.blend(below, r, small), d)
			if exponent != kernel.GammaZero {
				s := k.side(t)
				r := k.loadAt(z(kernel.BufReciprocal))
				hit := k.blend(k.signs(k.mul(x, s)), k.mul(k.loadAt(z(kernel.BufExp)), r), r)
				d = k.fnma(k.mul(k.mul(s, k.coef(kernel.CoefGamma)), hit), bracket, d)
			}
			from := k.mul(k.loadMasked(k.valid, upstream), scaled)
			d = k.mul(k.mul(from, factor), d)
			k.sum(kernel.RowSumCheck, d, k.load(zero))
			k.store(d, k.at(grad), false)
		})
	})
}

func (k *rowKernel) largest() {
	x, m, b := k.row(kernel.ArgX), k.row(kernel.ArgWeight), k.buffer(kernel.ArgBuffer)
	k.loop(func() {
		k.prefetch(x)
		k.weights(m)
		v, largest := k.loadMasked(k.valid, x), k.loadAt(b(kernel.BufLargest))
		larger := k.greater(v, largest)
		k.store(k.blend(larger, v, largest), b(kernel.BufLargest), false)
		k.store(k.blend(larger, k.coef(kernel.CoefChannel), k.loadAt(b(kernel.BufTop))), b(kernel.BufTop), false)
	})
}

func (k *rowKernel) softmaxExp() {
	x, m, e, b := k.row(kernel.ArgX), k.row(kernel.ArgWeight), k.row(kernel.ArgExp), k.buffer(kernel.ArgBuffer)
	k.loop(func() {
		k.weights(m)
		power := k.exp(k.sub(k.loadMasked(k.valid, x), k.loadAt(b(kernel.BufLargest))))
		k.store(power, e, false)
		other := k.compare(notEqual, k.loadAt(b(kernel.BufTop)), k.coef(kernel.CoefChannel))
		k.store(k.add(k.loadAt(b(kernel.BufOthers)), k.masked(other, power)), b(kernel.BufOthers), false)
	})
}

// rest is the sum of the exponentials of the channels but the current one.
func (k *rowKernel) rest(e vec, b func(int) Mem) vec {
	others := k.loadAt(b(kernel.BufOthers))
	isTop := k.compare(equal, k.loadAt(b(kernel.BufTop)), k.coef(kernel.CoefChannel))
	return k.blend(isTop, others, k.add(k.sub(others, e), k.lit(1)))
}

// smallest is the smallest normal number.
func (k *rowKernel) smallest() word { return k.lit(k.functions().Smallest) }

func (k *rowKernel) softmaxPower() {
	e, b := k.row(kernel.ArgExp), k.buffer(kernel.ArgBuffer)
	k.loop(func() {
		miss := k.mul(k.rest(k.loadAt(e), b), k.loadAt(b(kernel.BufScale)))
		k.store(k.exp(k.mul(k.logNormal(k.max(miss, k.smallest())), k.coef(kernel.CoefGamma))), b(kernel.BufPower), false)
	})
}

func (k *rowKernel) softmaxFocal(exponent kernel.Exponent) {
	x, m, t, upstream := k.row(kernel.ArgX), k.row(kernel.ArgWeight), k.row(kernel.ArgTarget), k.row(kernel.ArgUpstream)
	b, e := k.buffer(kernel.ArgBuffer), k.row(kernel.ArgExp)
	derivative, elements := k.pointer(kernel.ArgDerivative), k.pointer(kernel.ArgElements)
	k.sumsOf(kernel.RowSumPointwise)
	k.loop(func() {
		k.weights(m)
		u := k.fma(k.loadAt(t), k.coef(kernel.CoefTarget), k.coef(kernel.CoefUniform))
		nll := k.add(k.sub(k.loadAt(b(kernel.BufLargest)), k.loadMasked(k.valid, x)), k.loadAt(b(kernel.BufLogSum)))
		nll = k.masked(k.compare(notEqual, u, k.lit(0)), nll)
		var p, miss vec
		if exponent != kernel.GammaZero {
			e, scale := k.loadAt(e), k.loadAt(b(kernel.BufScale))
			p, miss = k.mul(e, scale), k.mul(k.rest(e, b), scale)
		}
		switch exponent {
		case kernel.GammaTwo:
			u = k.mul(u, k.mul(miss, miss))
		case kernel.GammaAny:
			u = k.mul(u, k.loadAt(b(kernel.BufPower)))
		}
		element := k.mul(u, nll)
		k.sum(kernel.RowSumPointwise, k.weight, element)
		scaled := k.mul(k.weight, k.coef(kernel.CoefScale))
		unless(elements, "noElements", func() {
			at := k.at(elements)
			k.store(k.fma(scaled, element, k.loadAt(at)), at, false)
		})
		unless(derivative, "noGradient", func() {
			d := k.mul(k.mul(k.loadMasked(k.valid, upstream), scaled), u)
			if exponent != kernel.GammaZero {
				ratio := k.div(nll, k.max(miss, k.smallest()))
				d = k.mul(d, k.fma(k.mul(p, k.coef(kernel.CoefGamma)), ratio, k.lit(1)))
			}
			k.store(k.negative(d), k.at(derivative), false)
		})
	})
}

// storeGradient adds d to the gradient if the flag for that is set, else stores it.
func (k *rowKernel) storeGradient(d vec, at Mem) {
	k.stores++
	label := fmt.Sprintf("store%d", k.stores)
	CMPB(Mem{Base: k.args, Disp: argAdd}, Imm(0))
	JE(LabelRef(label))
	sum := k.add(d, k.loadAt(at))
	for u := range d {
		VMOVAPS(sum[u], d[u])
	}
	Label(label)
	k.store(d, at, false)
}

func (k *rowKernel) pullback() {
	e, a, after, grad := k.row(kernel.ArgExp), k.row(kernel.ArgDerivative), k.row(kernel.ArgAfter), k.row(kernel.ArgGrad)
	b := k.buffer(kernel.ArgBuffer)
	k.sumsOf(kernel.RowSumCheck)
	k.loop(func() {
		e, a := k.loadAt(e), k.loadAt(a)
		before := k.loadAt(b(kernel.BufRunning))
		d := k.mul(a, k.rest(e, b))
		d = k.fnma(e, k.add(before, k.loadAt(after)), d)
		k.store(k.add(before, a), b(kernel.BufRunning), false)
		d = k.mul(d, k.loadAt(b(kernel.BufScale)))
		k.sum(kernel.RowSumCheck, d, k.load(k.lit(0)))
		k.storeGradient(d, grad)
	})
}

// probability returns a function that computes the probability by the activation of
// a kernel of overlap sums, and by sigmoid its derivative.
func (k *rowKernel) probability(activation kernel.Row) func() (p, derivative vec) {
	switch activation {
	case kernel.RowSumsNone:
		x := k.row(kernel.ArgX)
		return func() (p, derivative vec) { return k.loadMasked(k.valid, x), nil }
	case kernel.RowSumsSoftmax:
		e, b := k.row(kernel.ArgExp), k.buffer(kernel.ArgBuffer)
		return func() (p, derivative vec) { return k.mul(k.loadAt(e), k.loadAt(b(kernel.BufScale))), nil }
	}
	x, b := k.row(kernel.ArgX), k.buffer(kernel.ArgBuffer)
	return func() (p, derivative vec) {
		r := k.loadAt(b(kernel.BufReciprocal))
		small := k.mul(k.loadAt(b(kernel.BufExp)), r)
		return k.blend(k.signs(k.loadMasked(k.valid, x)), small, r), k.mul(small, r)
	}
}

func (k *rowKernel) overlapSums(r kernel.Row) {
	m, t, probability := k.row(kernel.ArgWeight), k.row(kernel.ArgTarget), k.probability(r)
	k.sumsOf(kernel.RowSumI, kernel.RowSumP, kernel.RowSumG)
	k.loop(func() {
		k.weights(m)
		p, _ := probability()
		t := k.loadAt(t)
		of := func(v vec) vec { return k.fma(v, k.coef(kernel.CoefSquare), k.coef(kernel.CoefLinear)) }
		mp := k.mul(p, k.weight)
		k.sum(kernel.RowSumI, mp, t)
		k.sum(kernel.RowSumP, mp, of(p))
		k.sum(kernel.RowSumG, k.mul(t, k.weight), of(t))
	})
}

func (k *rowKernel) overlapGradient(r kernel.Row) {
	m, t := k.row(kernel.ArgWeight), k.row(kernel.ArgTarget)
	output := kernel.ArgGrad
	if r == kernel.RowGradSoftmax {
		output = kernel.ArgDerivative
	}
	to := k.row(output)
	probability := k.probability(r - kernel.RowGradNone + kernel.RowSumsNone)
	k.sumsOf(kernel.RowSumCheck)
	k.loop(func() {
		k.weights(m)
		p, derivative := probability()
		d := k.fma(p, k.coef(kernel.CoefSlope), k.fma(k.loadAt(t), k.coef(kernel.CoefT), k.coef(kernel.CoefPlain)))
		if r == kernel.RowGradSoftmax {
			k.storeGradient(k.mul(k.mul(p, k.weight), d), to)
			return
		}
		d = k.mul(d, k.weight)
		if derivative != nil {
			d = k.mul(d, derivative)
		}
		k.sum(kernel.RowSumCheck, d, k.load(k.lit(0)))
		k.storeGradient(d, to)
	})
}

// pair are the arguments of a kernel for two channels.
type pair struct {
	m, t, t0 Mem
	b        func(row int) Mem
}

func (k *rowKernel) pair() pair {
	t := k.row(kernel.ArgTarget)
	return pair{m: k.row(kernel.ArgWeight), t: t.Offset(kernel.Tile * k.size()), t0: t, b: k.buffer(kernel.ArgBuffer)}
}

// coef1 is a constant of channel 1 of a pair.
func (k *rowKernel) coef1(i int) word { return k.coef(kernel.RowCoefs + i) }

func (k *rowKernel) pairClass() {
	y, t := GP64(), k.row(kernel.ArgTarget)
	MOVQ(Mem{Base: k.args, Disp: argClasses}, y)
	bytes := Mem{Base: y, Index: k.i, Scale: 1}
	labels := func() func(class int) mask {
		if k.wide && !k.double { // compares bytes
			var of [2]labelBytes
			for class := range of {
				of[class] = k.labelBytes(bytes, litBits(uint32(class)))
			}
			return func(class int) mask { return k.isPositive(of[class]) }
		}
		var of [2]reg.VecVirtual
		for class := range of {
			of[class] = k.register()
			k.broadcast(k.litBits(uint64(class)), of[class])
		}
		return func(class int) mask { return k.equalInteger(k.bytesOf(bytes), of[class]) }
	}()
	k.unroll = k.short
	k.loop(func() {
		for class := range 2 {
			k.store(k.masked(labels(class), k.lit(1)), t.Offset(class*kernel.Tile*k.size()), false)
		}
	})
}

func (k *rowKernel) pairPower() {
	b := k.buffer(kernel.ArgBuffer)
	k.loop(func() {
		power := func(x vec, minusGamma word, row int) {
			k.store(k.exp(k.mul(k.add(k.max(k.lit(0), x), k.loadAt(b(kernel.BufLog))), minusGamma)), b(row), false)
		}
		x := k.loadAt(b(kernel.BufDifference))
		power(x, k.coef1(kernel.CoefMinusGamma), kernel.BufPower)
		power(k.negative(x), k.coef(kernel.CoefMinusGamma), kernel.BufPower0)
	})
}

// probabilities are those of channel 1 and channel 0 of a pair.
func (k *rowKernel) probabilities(p pair, x vec) (p1, p0 vec) {
	r := k.loadAt(p.b(kernel.BufReciprocal))
	small, below := k.mul(k.loadAt(p.b(kernel.BufExp)), r), k.signs(x)
	return k.blend(below, small, r), k.blend(below, r, small)
}

func (k *rowKernel) pairFocal(exponent kernel.Exponent) {
	args := k.pair()
	upstream, upstream0 := k.row(kernel.ArgUpstream), k.row(kernel.ArgUpstream0)
	grad, grad0, elements, elements0 := k.pointer(kernel.ArgGrad), k.pointer(kernel.ArgGrad0), k.pointer(kernel.ArgElements), k.pointer(kernel.ArgElements0)
	k.sumsOf(kernel.RowSumPointwise, kernel.RowSumCheck)
	k.loop(func() {
		k.weights(args.m)
		x, l := k.loadAt(args.b(kernel.BufDifference)), k.loadAt(args.b(kernel.BufLog))
		p1, p0 := k.probabilities(args, x)
		channel := func(t Mem, coef func(int) word, x, miss vec, power int) (u, nll vec) {
			u = k.fma(k.loadAt(t), coef(kernel.CoefTarget), coef(kernel.CoefUniform))
			nll = k.masked(k.compare(notEqual, u, k.lit(0)), k.add(k.max(k.lit(0), x), l))
			switch exponent {
			case kernel.GammaTwo:
				u = k.mul(u, k.mul(miss, miss))
			case kernel.GammaAny:
				u = k.mul(u, k.loadAt(args.b(power)))
			}
			return u, nll
		}
		u1, nll1 := channel(args.t, k.coef1, k.negative(x), p0, kernel.BufPower)
		u0, nll0 := channel(args.t0, k.coef, x, p1, kernel.BufPower0)
		element1, element0 := k.mul(u1, nll1), k.mul(u0, nll0)
		k.sum(kernel.RowSumPointwise, k.weight, k.add(element1, element0))
		scaled := k.mul(k.weight, k.coef1(kernel.CoefScale))
		unless(elements, "noElements", func() {
			at := k.at(elements)
			k.store(k.fma(scaled, element1, k.loadAt(at)), at, false)
		})
		unless(elements0, "noElements0", func() {
			at := k.at(elements0)
			k.store(k.fma(scaled, element0, k.loadAt(at)), at, false)
		})
		unless(grad, "noGradient", func() {
			derivative := func(upstream Mem, coef func(int) word, u, nll, hit, miss vec) vec {
				d := k.mul(k.mul(k.loadMasked(k.valid, upstream), scaled), u)
				if exponent != kernel.GammaZero {
					// The copy is overwritten.
					miss = k.fma(k.mul(hit, coef(kernel.CoefGamma)), nll, k.copy(miss))
				}
				return k.mul(d, miss)
			}
			d := derivative(upstream0, k.coef, u0, nll0, p0, p1)
			d = k.sub(d, derivative(upstream, k.coef1, u1, nll1, p1, p0))
			k.sum(kernel.RowSumCheck, d, k.load(k.lit(0)))
			opposite := k.negative(d)
			k.storeGradient(d, k.at(grad))
			k.storeGradient(opposite, k.at(grad0))
		})
	})
}

// copy is a vec that may be overwritten.
func (t tier) copy(v vec) vec {
	return t.each(func(u int, d reg.VecVirtual) { VMOVAPS(v[u], d) })
}

func (k *rowKernel) pairSums() {
	args := k.pair()
	var list []int
	for _, s := range []int{kernel.RowSumI, kernel.RowSumP, kernel.RowSumG} {
		list = append(list, s, kernel.RowSums+s)
	}
	k.sumsOf(list...)
	k.loop(func() {
		k.weights(args.m)
		p1, p0 := k.probabilities(args, k.loadAt(args.b(kernel.BufDifference)))
		channel := func(t Mem, p vec, coef func(int) word, sums int) {
			of := func(v vec) vec { return k.fma(v, coef(kernel.CoefSquare), coef(kernel.CoefLinear)) }
			target, mp := k.loadAt(t), k.mul(p, k.weight)
			k.sum(sums+kernel.RowSumI, mp, target)
			k.sum(sums+kernel.RowSumP, mp, of(p))
			k.sum(sums+kernel.RowSumG, k.mul(target, k.weight), of(target))
		}
		channel(args.t0, p0, k.coef, 0)
		channel(args.t, p1, k.coef1, kernel.RowSums)
	})
}

func (k *rowKernel) pairGradient() {
	args, grad, grad0 := k.pair(), k.row(kernel.ArgGrad), k.row(kernel.ArgGrad0)
	k.sumsOf(kernel.RowSumCheck)
	k.loop(func() {
		k.weights(args.m)
		p1, p0 := k.probabilities(args, k.loadAt(args.b(kernel.BufDifference)))
		derivative := func(t Mem, p vec, coef func(int) word) vec {
			return k.fma(p, coef(kernel.CoefSlope), k.fma(k.loadAt(t), coef(kernel.CoefT), coef(kernel.CoefPlain)))
		}
		d := k.sub(derivative(args.t, p1, k.coef1), derivative(args.t0, p0, k.coef))
		d = k.mul(k.mul(d, k.weight), k.mul(p1, p0))
		k.sum(kernel.RowSumCheck, d, k.load(k.lit(0)))
		opposite := k.negative(d)
		k.storeGradient(d, grad)
		k.storeGradient(opposite, grad0)
	})
}
