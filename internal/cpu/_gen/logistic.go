package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// variant selects what a logistic kernel computes; see logistic.go of package cpu.
type variant struct {
	exponent                  int
	overlap, grad, pair, kept bool
}

const (
	noPointwise = iota
	gammaZero
	gammaTwo
	gammaAny
)

func variants() []variant {
	var out []variant
	both := []bool{false, true}
	for _, kept := range both {
		for _, pair := range both {
			for _, grad := range both {
				for _, overlap := range both {
					for exponent := noPointwise; exponent <= gammaAny; exponent++ {
						if overlap || exponent != noPointwise && !kept {
							out = append(out, variant{exponent, overlap, grad, pair, kept})
						}
					}
				}
			}
		}
	}
	return out
}

// index is that of package cpu.
func (v variant) index() int {
	i := v.exponent
	for k, on := range []bool{v.overlap, v.grad, v.pair, v.kept} {
		if on {
			i += 4 << k
		}
	}
	return i
}

// elements reports whether the elements' values are wanted. With an overlap term
// the pass before the gradient's has added them up; a cross-entropy's gradient
// then needs no logarithm.
func (v variant) elements() bool {
	return v.exponent != noPointwise && !(v.exponent == gammaZero && v.overlap && v.grad)
}

func (v variant) name(t tier) string {
	name := "logistic"
	if v.pair {
		name = "pair"
	}
	name += []string{"", "Gamma0", "Gamma2", "Gamma"}[v.exponent]
	if v.overlap {
		name += "Overlap"
	}
	if v.grad {
		name += "Grad"
	} else {
		name += "Sums"
	}
	if v.kept {
		name += "Kept"
	}
	return name + t.name
}

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

// Sums of a logistic kernel.
const (
	sumPointwise = iota
	sumI
	sumP
	sumG
	sumI0
	sumP0
	sumG0
)

// fence emits the instruction that orders what was written past the caches
// before all that follows.
func fence() {
	TEXT("storeFence", NOSPLIT, "func()")
	SFENCE()
	RET()
}

// part is the number of voxels of a turn of a kernel's loops.
const part = 256

// logistic emits one kernel as a few loops over a part of the voxels at a time.
// One loop would do, but its chain of dependent operations, some 150 cycles long,
// is more than a processor's window of instructions covers; of short chains it
// runs several at a time. What one loop leaves for the next stays in the
// first-level cache. Parts are short so that memory is read and written at an
// even pace.
func logistic(t tier, v variant) {
	TEXT(v.name(t), NOSPLIT, "func(x0, x1, g0, g1 *float32, y *uint8, acc *float64, k *uint32, buf *float32, n int, stream bool)")
	Doc(fmt.Sprintf("%s is logisticGo compiled for one variant.", v.name(t)))
	Pragma("noescape")
	var count []int // of the sums, those that this variant has
	if v.elements() {
		count = append(count, sumPointwise)
	}
	if v.overlap && !v.grad {
		count = append(count, sumI, sumP, sumG)
		if v.pair {
			count = append(count, sumI0, sumP0, sumG0)
		}
	}
	at := map[int]int{}
	for i, s := range count {
		at[s] = i
	}

	x1, y, k := Load(Param("x1"), GP64()), Load(Param("y"), GP64()), Mem{Base: Load(Param("k"), GP64())}
	x0, g0, g1 := x1, x1, x1
	if v.pair {
		x0 = Load(Param("x0"), GP64())
	}
	if v.grad || v.kept {
		g1 = Load(Param("g1"), GP64())
		if v.grad && v.pair {
			g0 = Load(Param("g0"), GP64())
		}
	}
	n, buf := parameter("n"), Load(Param("buf"), GP64())
	coef := func(i int) word { return word{mem: k.Offset(4 * i)} }
	i := GP64()
	floats := func(base reg.Register) Mem { return Mem{Base: base, Index: i, Scale: 4} }
	// What the loops leave for each other: e^−|x| and log(1+e^−|x|), blockTile
	// numbers each.
	e, l := floats(buf), floats(buf).Offset(4*1024)

	negative := litBits(signBit)
	logits := func(t tier, valid mask) vec {
		x := t.keepAt(valid, floats(x1))
		if v.pair {
			x = t.sub(x, t.keepAt(valid, floats(x0)))
		}
		return x
	}
	// loop runs body over a part of the voxels with constants held in registers.
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
	t.spare = max(0, t.spare-len(count)-2)
	short := t
	short.unroll = t.short
	labels := t.labelBytes(Mem{Base: y, Index: i, Scale: 1}, coef(class))

	half := GP64()
	if !t.wide {
		XORQ(half, half)
	}
	acc := t.newSums(len(count), half)
	stream := parameter("stream")

	XORQ(end, end)
	Label("turn")
	MOVQ(end, begin)
	ADDQ(U32(part), end)
	CMPQ(end, n)
	CMOVQGT(n, end)
	// In the second pass g1 holds e^−|x| with the sign of x.
	signed := v.kept && v.grad
	if !signed {
		loop("exponential", short, append(expConstants(), negative), func(t tier) {
			x := func() vec { return logits(t, t.isValid(t.read(labels))) }
			power := t.exp(t.or(x(), negative))
			t.store(power, e, false)
			if v.kept { // read again: registers are scarcer than loads
				t.storeBy(stream, "kept", t.or(power, t.and(x(), negative)), floats(g1))
			}
		})
	}
	exponentials := func(t tier) vec {
		if signed {
			return t.and(t.loadAt(floats(g1)), litBits(signBit-1))
		}
		return t.loadAt(e)
	}
	if v.elements() {
		loop("logarithm", short, logConstants(), func(t tier) { t.store(t.log1p01(exponentials(t)), l, false) })
	}

	constants := []word{lit(1), lit(0), negative}
	if v.exponent != noPointwise {
		if v.elements() {
			constants = append(constants, coef(pos), coef(neg))
		}
		if v.grad {
			constants = append(constants, coef(gradPos), coef(gradNeg))
		}
		if v.exponent == gammaAny {
			constants = append(constants, coef(gammaPos), coef(gammaNeg))
		}
	}
	loop("rest", t, constants, func(t tier) {
		// Bring in the next tile meanwhile: the loops touch memory in bursts that
		// the processor does not foresee. Beyond the logits this does nothing.
		for line := 0; line < t.bytes()*t.unroll; line += 64 {
			if signed {
				PREFETCHT0(floats(g1).Offset(4*1024 + line))
			}
			if !signed || v.elements() {
				PREFETCHT0(floats(x1).Offset(4*1024 + line))
				if v.pair {
					PREFETCHT0(floats(x0).Offset(4*1024 + line))
				}
			}
		}
		labels := t.read(labels)
		valid := t.isValid(labels)
		positive := t.isPositive(labels)
		var x vec // or, where only its sign counts, what has that
		if signed && !v.elements() {
			x = t.loadAt(floats(g1))
		} else {
			x = logits(t, valid)
		}
		e := exponentials(t)
		large := t.div(lit(1), t.add(e, lit(1)))
		small := t.mul(e, large)
		// The overlap term comes first: fewer values are alive at once that way.
		var g vec
		if v.overlap {
			below := t.signs(x)
			p := t.blend(below, small, large)
			q := t.blend(below, large, small)
			if v.grad {
				d := t.fma(p, coef(slope), t.blend(positive, coef(coefPos), coef(coefNeg)))
				if v.pair {
					d = t.sub(d, t.fma(q, coef(slope0), t.blend(positive, coef(coefNeg0), coef(coefPos0))))
				}
				g = t.mul(d, t.mul(small, large))
			} else {
				acc.fma(at[sumP], valid, p, t.max(p, coef(plain)))
				acc.add(at[sumI], positive, p)
				acc.add(at[sumG], positive, lit(1))
				if v.pair {
					acc.fma(at[sumP0], valid, q, t.max(q, coef(plain)))
					other := t.without(valid, positive)
					acc.add(at[sumI0], other, q)
					acc.add(at[sumG0], other, lit(1))
				}
			}
		}
		if v.exponent != noPointwise {
			// Of a voxel of its class the logit counts negated.
			z := t.blend(positive, t.xor(x, negative), x)
			miss := t.blend(t.signs(z), small, large)
			var nll, factor vec
			if v.elements() {
				l := t.loadAt(l)
				nll = t.add(t.max(lit(0), z), l)
				switch v.exponent {
				case gammaTwo:
					factor = t.mul(miss, miss)
				case gammaAny:
					gamma := t.blend(positive, coef(gammaPos), coef(gammaNeg))
					factor = t.power(t.mul(t.sub(t.min(lit(0), z), l), gamma))
				}
				w := t.blend(positive, coef(pos), coef(neg))
				if factor != nil {
					w = t.mul(w, factor)
				}
				acc.fma(at[sumPointwise], valid, w, nll)
			}
			if v.grad {
				own := t.blend(positive, coef(gradPos), coef(gradNeg))
				if factor == nil {
					own = t.mul(own, miss)
				} else {
					hit := t.sub(lit(1), miss)
					if v.exponent == gammaTwo {
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
		if v.grad {
			g = t.keep(valid, g)
			at1, at0 := floats(g1), floats(g0)
			var opposite vec
			if v.pair {
				opposite = t.keep(valid, t.xor(g, negative))
			}
			if signed {
				t.store(g, at1, false) // that line has just been read
			} else {
				t.storeBy(stream, "own", g, at1)
			}
			if v.pair {
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
	for j, s := range count {
		acc.flush(j, Mem{Base: into}.Offset(128*s))
	}
	VZEROUPPER()
	RET()
}

// parameter is where a parameter of the routine lies in memory.
func parameter(name string) Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// power is eᵘ for u ≤ 0. Near 0, where a small γ keeps all of them, exp's
// remainder is u itself and most of its work falls away.
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
	t.jumpIfAll(t.atLeast(u, lit(expWhole)), "small")
	move(t.exp(u))
	JMP(LabelRef("power"))
	Label("small")
	move(t.expOfRemainder(u))
	Label("power")
	return out
}
