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
	// Intermediates that the loops pass on, e^−|x| and log(1+e^−|x|): kernel.Strip
	// numbers each, of which a part is in use.
	e, l := floats(buf), floats(buf).Offset(4*kernel.Strip)

	negative := litBits(signBit)
	logits := func(t tier, valid mask) vec {
		x := t.loadMasked(valid, floats(x1))
		if v.Pair {
			x = t.sub(x, t.loadMasked(valid, floats(x0)))
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
	// The second of two passes loads e^−|x|, with the sign of x, from g1.
	load := v.Cached && v.Grad
	if !load {
		loop("exponential", short, append(expConstants(), negative), func(t tier) {
			x := func() vec { return logits(t, t.isValid(t.read(labels))) }
			power := t.exp(t.or(x(), negative))
			t.store(power, e, false)
			if v.Cached { // loads x again: registers are scarcer than load slots
				t.storeBy(stream, "cached", t.or(power, t.and(x(), negative)), floats(g1))
			}
		})
	}
	exponentials := func(t tier) vec {
		if load {
			return t.and(t.loadAt(floats(g1)), litBits(signBit-1))
		}
		return t.loadAt(e)
	}
	if v.Elements() {
		loop("logarithm", short, logConstants(), func(t tier) { t.store(t.log1p01(exponentials(t)), l, false) })
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
		// Prefetch the next strip: the loops access memory in bursts, which the
		// hardware prefetcher does not predict. Past the end of the logits this has no
		// effect.
		for line := 0; line < t.bytes()*t.unroll; line += 64 {
			if load {
				PREFETCHT0(floats(g1).Offset(4*kernel.Strip + line))
			}
			if !load || v.Elements() {
				PREFETCHT0(floats(x1).Offset(4*kernel.Strip + line))
				if v.Pair {
					PREFETCHT0(floats(x0).Offset(4*kernel.Strip + line))
				}
			}
		}
		labels := t.read(labels)
		valid := t.isValid(labels)
		positive := t.isPositive(labels)
		var x vec // or a value of the same sign where nothing else of x is needed
		if load && !v.Elements() {
			x = t.loadAt(floats(g1))
		} else {
			x = logits(t, valid)
		}
		e := exponentials(t)
		large := t.div(lit(1), t.add(e, lit(1)))
		small := t.mul(e, large)
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
				g = t.mul(d, t.mul(small, large))
			} else {
				acc.fma(at[kernel.SumP], valid, p, t.max(p, coef(plain)))
				acc.add(at[kernel.SumI], positive, p)
				acc.add(at[kernel.SumG], positive, lit(1))
				if v.Pair {
					acc.fma(at[kernel.SumP0], valid, q, t.max(q, coef(plain)))
					other := t.without(valid, positive)
					acc.add(at[kernel.SumI0], other, q)
					acc.add(at[kernel.SumG0], other, lit(1))
				}
			}
		}
		if v.Exponent != kernel.NoPointwise {
			// z is −x for a voxel of the class.
			z := t.blend(positive, t.xor(x, negative), x)
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
				acc.fma(at[kernel.SumPointwise], valid, w, nll)
			}
			if v.Grad {
				own := t.blend(positive, coef(gradPos), coef(gradNeg))
				if factor == nil {
					own = t.mul(own, miss)
				} else {
					hit := t.sub(lit(1), miss)
					if v.Exponent == kernel.GammaTwo {
						hit = t.add(hit, hit)
					} else {
						hit = t.mul(hit, t.blend(positive, coef(gammaPos), coef(gammaNeg)))
					}
					own = t.mul(t.mul(own, factor), t.fma(hit, nll, miss))
				}
				if g != nil {
					own = t.add(g, own)
				}
				g = own
			}
		}
		if v.Grad {
			g = t.masked(valid, g)
			at1, at0 := floats(g1), floats(g0)
			var opposite vec
			if v.Pair {
				opposite = t.masked(valid, t.xor(g, negative))
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
