package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/x/afl/internal/cpu/kernel"
)

// Words of logisticCoef.
const (
	class = iota
	pos
	neg
	gradPos
	gradNeg
	gammaPos
	gammaNeg
	plain
	coefPos
	coefNeg
	slope
	coefPos0
	coefNeg0
	slope0
	lowLimit
	highLimit
)

// fence emits the barrier that completes non-temporal stores before whatever
// follows.
func fence() {
	TEXT("storeFence", NOSPLIT, "func()")
	SFENCE()
	RET()
}

// logistic emits the logistic kernel of one variant: for each part of the voxels a
// few short loops instead of a single long one. The single loop's chain of
// dependent operations, about 150 cycles, exceeds a processor's out-of-order
// window, whereas several short chains run at once. The loops pass intermediates on
// through the first-level cache, and parts are short so that memory is read and
// written at a steady rate.
func logistic(t tier, v kernel.Variant) {
	TEXT(v.LogisticName()+t.name, NOSPLIT, "func(x0, x1, g0, g1 *float32, y *uint8, acc *float64, k *uint32, buf *float32, n int, stream bool)")
	Doc(fmt.Sprintf("%s is logisticGo compiled for one variant.", v.LogisticName()+t.name))
	Pragma("noescape")
	list := v.Sums()
	at := map[kernel.Sum]int{}
	for i, s := range list {
		at[s] = i
	}

	x1, y, k := Load(Param("x1"), GP64()), Load(Param("y"), GP64()), Mem{Base: Load(Param("k"), GP64())}
	x0, g0, g1 := x1, x1, x1
	if v.Pair {
		x0 = Load(Param("x0"), GP64())
	}
	if v.Grad || v.Cached {
		g1 = Load(Param("g1"), GP64())
		if v.Grad && v.Pair {
			g0 = Load(Param("g0"), GP64())
		}
	}
	n, buf := parameter("n"), Load(Param("buf"), GP64())
	coef := func(i int) word { return word{mem: k.Offset(4 * i)} }
	i := GP64()
	floats := func(base reg.Register) Mem { return Mem{Base: base, Index: i, Scale: 4} }
	// Intermediates that the loops pass on, e^−|x| or σ(−|x|) and −log σ(|x|):
	// kernel.Strip numbers each, of which a part is in use.
	s, l := floats(buf), floats(buf).Offset(4*kernel.Strip)
	weights := floats(buf).Offset(4 * kernel.LogisticWeights)

	negative := litBits(signBit)
	// The logits of voxels without a class may be anything: what is computed of them is
	// neither added to a sum nor written as a gradient.
	logits := func(t tier) vec {
		x := t.loadAt(floats(x1))
		if v.Pair {
			x = t.sub(x, t.loadAt(floats(x0)))
		}
		return x
	}
	// loop emits a loop over the part with constants held in registers.
	begin, end := GP64(), GP64()
	loop := func(name string, t tier, constants []word, body func(t tier)) {
		t = t.holding(constants...)
		MOVQ(begin, i)
		Label(name)
		body(t)
		ADDQ(Imm(uint64(t.bytes()/4*t.unroll)), i)
		CMPQ(i, end)
		JL(LabelRef(name))
	}
	if t.wide { // its sums and two classes are in registers
		t.spare = max(0, t.spare-len(list)-2)
	}
	short := t
	short.unroll = t.short
	labels := t.labelBytes(Mem{Base: y, Index: i, Scale: 1}, coef(class))

	half := GP64()
	if !t.wide {
		XORQ(half, half)
	}
	acc := t.newSums(len(list), half)
	stream := parameter("stream")

	XORQ(end, end)
	Label("turn")
	MOVQ(end, begin)
	ADDQ(U32(kernel.Part), end)
	CMPQ(end, n)
	CMOVQGT(n, end)
	// The second of two passes loads σ(−|x|), with the sign of x, from g1. Else two loops
	// compute it, each the quotients of every other register: all of them in one loop
	// would keep it waiting for the divider.
	load := v.Cached && v.Grad
	// The loops prefetch the next strip: they access memory in bursts, which the hardware
	// prefetcher does not predict. Past the end of the logits this has no effect. For
	// AVX-512 the first two of them prefetch every other line of the logits each: a core
	// fetches only a few lines at once, and would wait if a single loop asked for all. Each
	// takes every step-th line from the first one on, or none.
	type lines struct{ first, step int }
	var inExponential, inLogarithm, inRest lines
	switch {
	case load && !v.Elements(): // reads no logits
	case load || !t.wide:
		inRest = lines{0, 1}
	case v.Elements():
		inExponential, inLogarithm = lines{0, 2}, lines{1, 2}
	default:
		inExponential, inRest = lines{0, 2}, lines{1, 2}
	}
	fetch := func(t tier, of lines) {
		for line := of.first; of.step > 0 && 64*line < t.bytes()*t.unroll; line += of.step {
			PREFETCHT0(floats(x1).Offset(4*kernel.Strip + 64*line))
			if v.Pair {
				PREFETCHT0(floats(x0).Offset(4*kernel.Strip + 64*line))
			}
		}
	}
	if !load {
		// The focal term is NaN where a logit is, whatever its exponential.
		nanMatters := v.Overlap || v.Exponent < kernel.GammaTwo
		loop("exponential", short, append(expConstants(), negative), func(t tier) {
			fetch(t, inExponential)
			e := t.expOfMinusAbs(logits(t), nanMatters)
			t.quotients(e, 0)
			t.store(e, s, false)
		})
	}
	smaller := func(t tier) vec {
		if load {
			return t.and(t.loadAt(floats(g1)), litBits(signBit-1))
		}
		return t.loadAt(s)
	}
	if v.Elements() {
		loop("logarithm", short, minusLogConstants(), func(t tier) {
			fetch(t, inLogarithm)
			small := smaller(t)
			if !load {
				t.quotients(small, 1)
				for u := 1; u < len(small) && t.wide; u += 2 {
					t.store(small[u:u+1], s.Offset(u*t.bytes()), false)
				}
			}
			t.store(t.minusLog1m(small), l, false)
		})
	}

	constants := []word{lit(1), lit(0), negative}
	if v.Exponent != kernel.NoPointwise {
		if v.Elements() {
			constants = append(constants, coef(pos), coef(neg))
		}
		if v.Grad {
			constants = append(constants, coef(gradPos), coef(gradNeg))
		}
		if v.Exponent == kernel.GammaAny {
			constants = append(constants, coef(gammaPos), coef(gammaNeg))
		}
	}
	loop("rest", t, constants, func(t tier) {
		fetch(t, inRest)
		for line := 0; line < t.bytes()*t.unroll && load; line += 64 {
			PREFETCHT0(floats(g1).Offset(4*kernel.Strip + line))
		}
		// Fetch what the next part writes, where that goes through the cache.
		var written []Mem
		if (v.Grad || v.Cached) && !load {
			written = append(written, floats(g1))
		}
		if v.Grad && v.Pair {
			written = append(written, floats(g0))
		}
		if len(written) > 0 && !t.plain {
			CMPB(stream, Imm(0))
			JNE(LabelRef("fetched"))
			for _, at := range written {
				for line := 0; line < t.bytes()*t.unroll; line += 64 {
					PREFETCHT0(at.Offset(4*kernel.Part + line))
				}
			}
			Label("fetched")
		}
		labels := t.read(labels)
		valid := t.isValid(labels)
		positive := t.isPositive(labels)
		weigh := func(of vec) vec { return of }
		if v.Weighted {
			some := t.greater(t.loadAt(weights), lit(0))
			valid, positive = t.both(valid, some), t.both(positive, some)
			weigh = func(of vec) vec { return t.mul(of, t.loadAt(weights)) }
		}
		var x vec // or a value of the same sign where nothing else of x is needed
		if load && !v.Elements() {
			x = t.loadAt(floats(g1))
		} else {
			x = logits(t)
		}
		small := smaller(t)
		if !load && !v.Elements() {
			t.quotients(small, 1)
		}
		if v.Cached && !v.Grad {
			both := t.each(func(u int, d reg.VecVirtual) { VMOVAPS(small[u], d) })
			t.storeBy(stream, "cached", t.withSign(both, x), floats(g1))
		}
		large := t.sub(lit(1), small)
		// The overlap term comes first, so that fewer values are live at once.
		var g vec
		if v.Overlap {
			below := t.signs(x)
			p := t.blend(below, small, large)
			q := t.blend(below, large, small)
			if v.Grad {
				d := t.fma(p, coef(slope), t.blend(positive, coef(coefPos), coef(coefNeg)))
				if v.Pair {
					d = t.sub(d, t.fma(q, coef(slope0), t.blend(positive, coef(coefNeg0), coef(coefPos0))))
				}
				slope := t.mul(small, large)
				if v.Exponent == kernel.NoPointwise {
					g = t.maskedMul(valid, d, slope)
				} else {
					g = t.mul(d, slope)
				}
			} else {
				one := func() value {
					if v.Weighted {
						return t.loadAt(weights)
					}
					return lit(1)
				}
				larger := t.max(p, coef(plain))
				p = weigh(p)
				acc.fma(at[kernel.SumP], valid, p, larger)
				acc.add(at[kernel.SumI], positive, p)
				acc.add(at[kernel.SumG], positive, one())
				if v.Pair {
					larger := t.max(q, coef(plain))
					q = weigh(q)
					acc.fma(at[kernel.SumP0], valid, q, larger)
					other := t.without(valid, positive)
					acc.add(at[kernel.SumI0], other, q)
					acc.add(at[kernel.SumG0], other, one())
				}
			}
		}
		if v.Exponent != kernel.NoPointwise {
			// z is −x for a voxel of the class.
			z := t.negateWhere(positive, x)
			miss := t.blend(t.signs(z), small, large)
			var nll, factor vec
			if v.Elements() {
				l := t.loadAt(l)
				nll = t.add(t.max(lit(0), z), l)
				switch v.Exponent {
				case kernel.GammaTwo:
					factor = t.mul(miss, miss)
				case kernel.GammaAny:
					gamma := t.blend(positive, coef(gammaPos), coef(gammaNeg))
					factor = t.power(t.mul(t.sub(t.min(lit(0), z), l), gamma))
				}
				w := t.blend(positive, coef(pos), coef(neg))
				if factor != nil {
					w = t.mul(w, factor)
				}
				if !v.Above {
					acc.fma(at[kernel.SumPointwise], valid, weigh(w), nll)
				} else {
					element := t.maskedMul(valid, weigh(w), nll)
					t.store(element, floats(buf).Offset(4*kernel.Strip), false) // in place of the logarithm
					acc.add(at[kernel.SumPointwise], t.greater(element, coef(highLimit)), element)
					valid = t.both(valid, t.compare(notLess, element, coef(lowLimit)))
				}
			}
			if v.Grad {
				own := t.blend(positive, coef(gradPos), coef(gradNeg))
				rest := miss
				if factor != nil {
					var hit vec // γ times 1−miss
					if v.Exponent == kernel.GammaTwo {
						hit = t.fnma(miss, lit(2), lit(2))
					} else {
						hit = t.mul(t.sub(lit(1), miss), t.blend(positive, coef(gammaPos), coef(gammaNeg)))
					}
					own, rest = t.mul(own, factor), t.fma(hit, nll, miss)
				}
				if g == nil {
					g = t.maskedMul(valid, own, rest)
				} else {
					g = t.maskedAdd(valid, g, t.mul(own, rest))
				}
			}
		}
		if v.Grad {
			g = weigh(g)
			at1, at0 := floats(g1), floats(g0)
			var opposite vec
			if v.Pair {
				opposite = t.maskedXor(valid, g, negative)
			}
			if load {
				t.store(g, at1, false) // its cache line has just been read
			} else {
				t.storeBy(stream, "own", g, at1)
			}
			if v.Pair {
				t.storeBy(stream, "opposite", opposite, at0)
			}
		}
		if !t.wide {
			XORQ(Imm(32), half)
		}
	})

	CMPQ(end, n)
	JL(LabelRef("turn"))

	into := Load(Param("acc"), GP64())
	for j, s := range list {
		acc.flush(j, Mem{Base: into}.Offset(128*int(s)))
	}
	VZEROUPPER()
	RET()
}

// quotients makes e/(1+e) of every other register of e from the given one on, where the
// registers are of AVX-512. Otherwise it makes all from 0 on.
func (t tier) quotients(e vec, from int) {
	step := 2
	if !t.wide {
		if step = 1; from > 0 {
			return
		}
	}
	one := t
	one.unroll = 1
	for u := from; u < len(e); u += step {
		e := e[u : u+1]
		e[0] = one.div(e, one.add(e, lit(1)))[0]
	}
}

// pointer loads a parameter of the routine that is a pointer or an integer.
func pointer(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// parameter is the memory operand of a parameter of the routine.
func parameter(name string) Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// power is eᵘ for u ≤ 0. If all u are near 0, as a small γ makes them, they are
// exp's remainders themselves and most of its work is skipped.
func (t tier) power(u vec) vec {
	out := make(vec, t.unroll)
	for i := range out {
		out[i] = t.register()
	}
	move := func(from vec) {
		for i := range out {
			VMOVAPS(from[i], out[i])
		}
	}
	t.jumpIfAll(t.atLeast(u, lit(smallFrom)), "small")
	move(t.exp(u))
	JMP(LabelRef("power"))
	Label("small")
	move(t.expOfRemainder(u))
	Label("power")
	return out
}
