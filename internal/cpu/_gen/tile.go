package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"github.com/x/afl/internal/cpu/kernel"
)

// tileKernel emits one tile kernel: a few loops over the voxels of a tile, which pass
// intermediates on as those of logistic do.
type tileKernel struct {
	rowKernel
	v    kernel.Variant
	base tier // of the routine, whose loops hold constants of their own
	b    func(row int) Mem
	acc  *sums
	slot map[int]int // of a sum of the row kernels in acc
}

func tile(t tier, v kernel.Variant) {
	TEXT(v.TileName()+t.name, NOSPLIT, "func(args *byte, n int)")
	Doc(fmt.Sprintf("%s is a tile kernel for n voxels, a multiple of 64.", v.TileName()+t.name))
	Pragma("noescape")
	k := &tileKernel{rowKernel: rowKernel{tier: t, args: Load(Param("args"), GP64()), i: GP64()}, v: v, base: t}
	k.coefficient = k.pointer(kernel.ArgCoefficients)
	k.b = k.buffer(kernel.ArgBuffer)

	k.exponential()
	logarithm := v.Exponent != kernel.NoPointwise
	switch {
	case !logarithm:
	case v.Elements():
		k.logarithm()
	default:
		unless(k.pointer(kernel.ArgElements), "noLogarithm", k.logarithm)
	}
	switch {
	case v.Scaled():
		CMPB(Mem{Base: k.args, Disp: argHard}, Imm(0))
		JNE(LabelRef("isHard"))
		k.scaled()
		if v.Exponent == kernel.GammaAny {
			k.powers()
		}
		JMP(LabelRef("isScaled"))
		Label("isHard")
		k.hard()
		Label("isScaled")
	case v.Exponent == kernel.GammaAny:
		k.pairPowers()
	}
	if v.Pair {
		k.pair()
	} else {
		k.single()
	}
	VZEROUPPER()
	RET()
}

// pass emits a loop over the voxels, of so many registers at a time, with constants held
// in some.
func (k *tileKernel) pass(name string, unroll, sums int, constants []word, body func()) {
	t := k.base
	t.unroll = unroll
	if t.wide { // its sums are in registers
		t.spare -= sums
	}
	k.tier = t.holding(constants...)
	XORQ(k.i, k.i)
	Label(name)
	body()
	ADDQ(Imm(uint64(k.step())), k.i)
	CMPQ(k.i, parameter("n"))
	JL(LabelRef(name))
	k.tier = k.base
}

// halved reports whether the first loop leaves every other quotient to the next one that
// reads σ(−|x|).
func (k *tileKernel) halved() bool { return k.v.Exponent == kernel.NoPointwise || k.v.Elements() }

func (k *tileKernel) exponential() {
	x, m := k.row(kernel.ArgX), k.row(kernel.ArgWeight)
	x0 := x
	if k.v.Pair {
		x0 = k.row(kernel.ArgX0)
	}
	targets := k.targets()
	largest := k.register()                             // of the targets' bits
	VXORPS(largest.AsY(), largest.AsY(), largest.AsY()) // clears the whole register
	nanMatters := k.v.Overlap || k.v.Exponent < kernel.GammaTwo
	k.pass("exponential", k.short, 0, append(expConstants(), k.signBit()), func() {
		k.prefetch(x)
		k.weights(m)
		v := k.loadMasked(k.valid, x)
		if k.v.Pair {
			k.prefetch(x0)
			v = k.sub(v, k.loadMasked(k.valid, x0))
		}
		k.store(v, k.b(kernel.TileX), false)
		e := k.expOfMinusAbs(v, nanMatters)
		k.quotients(e, 0)
		if !k.halved() {
			k.quotients(e, 1)
		}
		k.store(e, k.b(kernel.TileSmall), false)
		for _, target := range targets {
			if k.v.Exponent == kernel.NoPointwise || !k.v.Elements() {
				k.prefetch(target)
			}
			for u := range k.unroll {
				VPMAXUD(target.Offset(u*k.bytes()), largest, largest)
			}
		}
	})
	one := k.load(k.lit(1))[0]
	if k.wide {
		m := K()
		VPCMPUD(U8(greaterThanInteger), one, largest, m)
		KTESTW(m, m)
	} else {
		above, bits := YMM(), GP32()
		VPCMPGTD(one, largest, above)
		VORPS(largest, above, above)
		VMOVMSKPS(above, bits)
		TESTL(bits, bits)
	}
	JZ(LabelRef("inRange"))
	ORQ(Imm(kernel.FlagBad), Mem{Base: k.args, Disp: argFlags})
	VZEROUPPER()
	RET()
	Label("inRange")
}

// small loads the row of a loop before which every other quotient was left out, and stores
// those.
func (k *tileKernel) small(row int, store bool) vec {
	small := k.loadAt(k.b(row))
	k.quotients(small, 1)
	for u := 1; u < len(small) && k.wide && store; u += 2 {
		k.store(small[u:u+1], k.b(row).Offset(u*k.bytes()), false)
	}
	return small
}

// targets are the rows of the targets.
func (k *tileKernel) targets() []Mem {
	list := []Mem{k.row(kernel.ArgTarget)}
	if k.v.Pair {
		list = append(list, k.row(kernel.ArgTarget0))
	}
	return list
}

func (k *tileKernel) logarithm() {
	var targets []Mem // prefetched here rather than in the first loop, which prefetches the logits
	if k.v.Elements() {
		targets = k.targets()
	}
	k.pass("logarithm", k.short, 0, minusLogConstants(), func() {
		for _, target := range targets {
			k.prefetch(target)
		}
		var small vec
		if k.halved() {
			small = k.small(kernel.TileSmall, true)
		} else {
			small = k.loadAt(k.b(kernel.TileSmall))
		}
		k.store(k.minusLog1m(small), k.b(kernel.TileLog), false)
	})
}

// scaled computes σ(−s·x), or for any γ the smaller of it and σ(s·x), and s·x.
func (k *tileKernel) scaled() {
	t := k.row(kernel.ArgTarget)
	k.pass("scaled", k.short, 0, append(expConstants(), k.signBit()), func() {
		v := k.mul(k.loadAt(k.b(kernel.TileX)), k.side(k.loadAt(t)))
		e := k.expOfMinusAbs(v, true)
		k.quotients(e, 0)
		if k.v.Exponent == kernel.GammaAny {
			k.store(v, k.b(kernel.TilePower), false)
			k.store(e, k.b(kernel.TileMiss), false)
			return
		}
		k.quotients(e, 1)
		k.store(k.larger(v, e), k.b(kernel.TileMiss), false)
	})
}

// larger is σ(−v) for the smaller of it and σ(v).
func (k *tileKernel) larger(v, small vec) vec {
	return k.blend(k.signs(v), k.sub(k.lit(1), small), small)
}

// hard computes σ(−s·x), and for any γ its power, where s is ±1.
func (k *tileKernel) hard() {
	t := k.row(kernel.ArgTarget)
	k.pass("hard", k.short, 0, append([]word{k.lit(1), k.lit(0)}, expConstants()...), func() {
		v := k.mul(k.loadAt(k.b(kernel.TileX)), k.side(k.loadAt(t)))
		k.store(k.larger(v, k.loadAt(k.b(kernel.TileSmall))), k.b(kernel.TileMiss), false)
		if k.v.Exponent == kernel.GammaAny {
			power := k.tier.power(k.logOfPower(v, k.loadAt(k.b(kernel.TileLog)), k.coef(kernel.CoefMinusGamma)))
			k.store(power, k.b(kernel.TilePower), false)
		}
	})
}

// logOfPower is the logarithm of σ(−v)^γ, for l = −log σ(|v|).
func (k *tileKernel) logOfPower(v, l vec, minusGamma word) vec {
	return k.mul(k.add(k.max(k.lit(0), v), l), minusGamma)
}

// powers computes what is left of σ(−s·x), and its powers. A branch for those near 0, which the
// kernels of class indices have, would often be mispredicted, and only at the end of a chain of
// dependent operations.
func (k *tileKernel) powers() {
	k.pass("powers", k.short, 0, minusLogConstants(), func() {
		v, small := k.loadAt(k.b(kernel.TilePower)), k.small(kernel.TileMiss, false)
		k.store(k.larger(v, small), k.b(kernel.TileMiss), false)
		k.store(k.exp(k.logOfPower(v, k.minusLog1m(small), k.coef(kernel.CoefMinusGamma))), k.b(kernel.TilePower), false)
	})
}

// pairPowers computes the powers of both channels of a pair.
func (k *tileKernel) pairPowers() {
	k.pass("powers", k.short, 0, append(expConstants(), k.lit(0)), func() {
		x := k.loadAt(k.b(kernel.TileX))
		k.store(k.exp(k.logOfPower(x, k.loadAt(k.b(kernel.TileLog)), k.coef1(kernel.CoefMinusGamma))), k.b(kernel.TilePower), false)
		k.store(k.exp(k.logOfPower(k.negative(x), k.loadAt(k.b(kernel.TileLog)), k.coef(kernel.CoefMinusGamma))), k.b(kernel.TilePower0), false)
	})
}

// last emits the last loop, whose body gets x and σ(−|x|). It adds up the sums that the
// variant has.
func (k *tileKernel) last(constants []word, body func(x, small vec)) {
	var list []int
	if k.v.Exponent != kernel.NoPointwise && !(k.v.Overlap && k.v.Grad) {
		list = append(list, kernel.RowSumPointwise)
	}
	if k.v.Grad {
		list = append(list, kernel.RowSumCheck)
	} else {
		for _, s := range []int{kernel.RowSumI, kernel.RowSumP, kernel.RowSumG} {
			list = append(list, s)
			if k.v.Pair {
				list = append(list, kernel.RowSums+s)
			}
		}
	}
	if !k.wide {
		k.half = GP64()
		XORQ(k.half, k.half)
	}
	k.acc, k.slot = k.base.newSums(len(list), k.half), map[int]int{}
	for i, s := range list {
		k.slot[s] = i
	}
	m := k.row(kernel.ArgWeight)
	k.pass("last", k.unroll, len(list), constants, func() {
		k.weight = k.loadAt(m)
		x := k.loadAt(k.b(kernel.TileX))
		var small vec
		if k.v.Exponent == kernel.NoPointwise {
			small = k.small(kernel.TileSmall, false)
		} else {
			small = k.loadAt(k.b(kernel.TileSmall))
		}
		body(x, small)
		if k.half != nil {
			XORQ(Imm(32), k.half)
		}
	})
	into := GP64()
	MOVQ(Mem{Base: k.args, Disp: argAcc}, into)
	for i, s := range list {
		k.acc.flush(i, Mem{Base: into}.Offset(128*s))
	}
}

// sum adds a·b to a sum.
func (k *tileKernel) sum(s int, a, b vec) { k.acc.fmaAll(k.slot[s], a, b) }

// inRow calls body with the memory of an argument's row, unless there is none.
func (k *tileKernel) inRow(arg kernel.RowArg, label string, body func(at Mem)) {
	p := k.pointer(arg)
	unless(p, label, func() {
		at := k.at(p)
		k.prefetch(at)
		body(at)
	})
}

// times multiplies a derivative by the upstream gradient, if there is one.
func (k *tileKernel) times(d vec, arg kernel.RowArg, label string) {
	k.inRow(arg, label, func(at Mem) {
		from := k.loadMasked(k.greater(k.weight, k.lit(0)), at)
		for u := range d {
			VMULPS(from[u], d[u], d[u])
		}
	})
}

// storeElement writes elements times the weight and a factor, plus an offset.
func (k *tileKernel) storeElement(element vec, scale, offset word, at Mem) {
	e := k.fma(k.mul(k.weight, scale), element, offset)
	k.sum(kernel.RowSumCheck, e, k.load(k.lit(0)))
	k.store(e, at, false)
}

// overlapDerivative is the derivative of the overlap term by p.
func (k *tileKernel) overlapDerivative(p vec, t Mem, coef func(int) word) vec {
	return k.fma(p, coef(kernel.CoefSlope), k.fma(k.loadAt(t), coef(kernel.CoefT), coef(kernel.CoefPlain)))
}

// overlapTerms adds up the sums of the overlap term.
func (k *tileKernel) overlapTerms(p vec, target Mem, coef func(int) word, sums int) {
	of := func(v vec) vec { return k.fma(v, coef(kernel.CoefSquare), coef(kernel.CoefLinear)) }
	mp := k.mul(p, k.weight)
	k.sum(sums+kernel.RowSumP, mp, of(p))
	t := k.loadAt(target)
	k.sum(sums+kernel.RowSumI, mp, t)
	k.sum(sums+kernel.RowSumG, k.mul(t, k.weight), of(t))
}

// write writes g times the weight, and for a pair its negative.
func (k *tileKernel) write(g vec) {
	g = k.mul(g, k.weight)
	k.sum(kernel.RowSumCheck, g, k.load(k.lit(0)))
	to := k.row(kernel.ArgGrad)
	k.prefetch(to)
	k.store(g, to, false)
	if k.v.Pair {
		to := k.row(kernel.ArgGrad0)
		k.prefetch(to)
		k.store(k.negative(g), to, false)
	}
}

// whole writes the gradient, of a pointwise term alone only if it is wanted.
func (k *tileKernel) whole(gradient func() vec) {
	switch {
	case !k.v.Grad:
	case k.v.Overlap:
		k.write(gradient())
	default:
		unless(k.pointer(kernel.ArgGrad), "noGradient", func() { k.write(gradient()) })
	}
}

func (k *tileKernel) single() {
	target, v := k.row(kernel.ArgTarget), k.v
	k.last([]word{k.lit(1), k.lit(0), k.signBit()}, func(x, small vec) {
		large := k.sub(k.lit(1), small)
		below := k.signs(x)
		p := func() vec { return k.blend(below, small, large) }
		var g vec
		switch {
		case v.Overlap && v.Grad:
			g = k.mul(k.overlapDerivative(p(), target, k.coef), k.mul(small, large))
		case v.Overlap:
			k.overlapTerms(p(), target, k.coef, 0)
		}
		if v.Exponent == kernel.NoPointwise {
			k.whole(func() vec { return g })
			return
		}
		t := k.loadAt(target)
		other, own := k.sub(k.lit(1), t), k.mul(t, k.coef(kernel.CoefCE))
		bracket := func() vec {
			l := k.loadAt(k.b(kernel.TileLog))
			return k.fma(other, k.add(k.max(k.lit(0), x), l), k.mul(own, k.add(k.max(k.lit(0), k.negative(x)), l)))
		}
		if v.Elements() {
			of := bracket()
			bracket = func() vec { return of }
		}
		factor := k.fma(t, k.coef(kernel.CoefPos), k.mul(other, k.coef(kernel.CoefNeg)))
		var miss vec
		switch v.Exponent {
		case kernel.GammaTwo:
			miss = k.loadAt(k.b(kernel.TileMiss))
			factor = k.mul(factor, k.mul(miss, miss))
		case kernel.GammaAny:
			factor = k.mul(factor, k.loadAt(k.b(kernel.TilePower)))
		}
		if !v.Overlap || !v.Grad {
			k.sum(kernel.RowSumPointwise, k.weight, k.mul(factor, bracket()))
		}
		if v.Grad {
			k.inRow(kernel.ArgElements, "noElements", func(at Mem) {
				k.storeElement(k.mul(factor, bracket()), k.coef(kernel.CoefScale), k.coef(kernel.CoefOffset), at)
			})
		}
		k.whole(func() vec {
			d := k.fnma(own, k.blend(below, large, small), k.mul(other, p()))
			if v.Exponent != kernel.GammaZero {
				if miss == nil {
					miss = k.loadAt(k.b(kernel.TileMiss))
				}
				twice := k.fma(t, k.coef(kernel.CoefTwiceGamma), k.coef(kernel.CoefMinusGamma))
				d = k.fnma(k.mul(twice, k.sub(k.lit(1), miss)), bracket(), d)
			}
			d = k.mul(k.mul(factor, k.coef(kernel.CoefScale)), d)
			k.times(d, kernel.ArgUpstream, "noUpstream")
			if g != nil {
				d = k.add(d, g)
			}
			return d
		})
	})
}

func (k *tileKernel) pair() {
	v := k.v
	t1, t0 := k.row(kernel.ArgTarget), k.row(kernel.ArgTarget0)
	k.last([]word{k.lit(1), k.lit(0), k.signBit()}, func(x, small vec) {
		large := k.sub(k.lit(1), small)
		below := k.signs(x)
		p1, p0 := k.blend(below, small, large), k.blend(below, large, small)
		var g vec
		switch {
		case v.Overlap && v.Grad:
			g = k.sub(k.overlapDerivative(p1, t1, k.coef1), k.overlapDerivative(p0, t0, k.coef))
			g = k.mul(g, k.mul(small, large))
		case v.Overlap:
			k.overlapTerms(p0, t0, k.coef, 0)
			k.overlapTerms(p1, t1, k.coef1, kernel.RowSums)
		}
		if v.Exponent == kernel.NoPointwise {
			k.whole(func() vec { return g })
			return
		}
		factor := func(t Mem, coef func(int) word, miss vec, power int) vec {
			u := k.fma(k.loadAt(t), coef(kernel.CoefTarget), coef(kernel.CoefUniform))
			switch v.Exponent {
			case kernel.GammaTwo:
				u = k.mul(u, k.mul(miss, miss))
			case kernel.GammaAny:
				u = k.mul(u, k.loadAt(k.b(power)))
			}
			return u
		}
		u1, u0 := factor(t1, k.coef1, p0, kernel.TilePower), factor(t0, k.coef, p1, kernel.TilePower0)
		logOf := func(x vec) vec { return k.add(k.max(k.lit(0), x), k.loadAt(k.b(kernel.TileLog))) }
		nll1 := func() vec { return logOf(k.negative(x)) }
		nll0 := func() vec { return logOf(x) }
		if v.Elements() {
			of1, of0 := nll1(), nll0()
			nll1, nll0 = func() vec { return of1 }, func() vec { return of0 }
		}
		both := func() vec { return k.add(k.mul(u1, nll1()), k.mul(u0, nll0())) }
		if !v.Overlap || !v.Grad {
			k.sum(kernel.RowSumPointwise, k.weight, both())
		}
		if v.Grad {
			scale := k.coef1(kernel.CoefScale)
			k.inRow(kernel.ArgElements, "noElements", func(at Mem) {
				element := both()
				k.inRow(kernel.ArgElements0, "noElements0", func(at0 Mem) { // in place of their sum
					k.storeElement(k.mul(u0, nll0()), scale, k.coef(kernel.CoefOffset), at0)
					own := k.mul(u1, nll1())
					for u := range element {
						VMOVAPS(own[u], element[u])
					}
				})
				k.storeElement(element, scale, k.coef1(kernel.CoefOffset), at)
			})
		}
		k.whole(func() vec {
			derivative := func(u, nll, hit, miss vec, coef func(int) word) vec {
				if v.Exponent != kernel.GammaZero {
					miss = k.fma(k.mul(hit, coef(kernel.CoefGamma)), nll, k.copy(miss))
				}
				return k.mul(u, miss)
			}
			var of1, of0 vec
			if v.Exponent != kernel.GammaZero {
				of1, of0 = nll1(), nll0()
			}
			d1, d0 := derivative(u1, of1, p1, p0, k.coef1), derivative(u0, of0, p0, p1, k.coef)
			k.times(d1, kernel.ArgUpstream, "noUpstream")
			k.times(d0, kernel.ArgUpstream0, "noUpstream0")
			d := k.mul(k.sub(d0, d1), k.coef1(kernel.CoefScale))
			if g != nil {
				d = k.add(d, g)
			}
			return d
		})
	})
}
