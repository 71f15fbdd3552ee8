package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Words of softmaxCoef, which is 32 bytes.
const (
	smClass = iota
	smPos
	smGrad
	smGamma
	smPlain
	smCoefPos
	smCoefNeg
	smSlope
)

func (v variant) softmaxName(t tier) string {
	return "softmax" + v.name(t)[len("logistic"):]
}

// softmaxVariants are the variants of one channel: pair has no meaning here.
func softmaxVariants() []variant {
	var out []variant
	for _, v := range variants() {
		if !v.pair {
			out = append(out, v)
		}
	}
	return out
}

// softmax emits softmaxGo for one variant: for the voxels of a few registers at a
// time, loops over the channels. Each channel's exponential waits in buf.
func softmax(t tier, v variant) {
	TEXT(v.softmaxName(t), NOSPLIT, "func(x, grad *float32, pitch int, y *uint8, sums *float32, k *uint32, buf *float32, c, n int)")
	Doc(fmt.Sprintf("%s is softmaxGo compiled for one variant. pitch is in bytes.", v.softmaxName(t)))
	Pragma("noescape")
	x, y := Load(Param("x"), GP64()), Load(Param("y"), GP64())
	pitch, n := Load(Param("pitch"), GP64()), Load(Param("n"), GP64())
	kBase, sumsBase, buf := Load(Param("k"), GP64()), Load(Param("sums"), GP64()), Load(Param("buf"), GP64())
	g := x
	if v.grad {
		g = Load(Param("grad"), GP64())
	}
	half := GP64()
	XORQ(half, half)
	step := t.bytes() * t.unroll // of the logits
	c, k, e, at, out, sum := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	logit, kept, gradient := Mem{Base: at}, Mem{Base: e}, Mem{Base: out}
	coef := func(i int) word { return word{mem: Mem{Base: k}.Offset(4 * i)} }
	// channels runs body for every channel.
	channels := func(name string, body func()) {
		MOVQ(x, at)
		MOVQ(kBase, k)
		MOVQ(buf, e)
		MOVQ(g, out)
		LEAQ(Mem{Base: sumsBase, Disp: 64}, sum)
		Load(Param("c"), c)
		Label(name)
		body()
		ADDQ(pitch, at)
		ADDQ(pitch, out)
		ADDQ(Imm(32), k)
		ADDQ(Imm(uint64(step)), e)
		ADDQ(Imm(3*64), sum)
		DECQ(c)
		JNZ(LabelRef(name))
	}
	// keepIn changes a vec that lives on between channels to m ? v : itself.
	keepIn := func(into vec, m mask, v value) {
		now := t.blend(m, v, into)
		for u := range into {
			VMOVAPS(now[u], into[u])
		}
	}
	constant := func(w word) vec {
		return t.each(func(_ int, d reg.VecVirtual) { VBROADCASTSS(w.mem, d) })
	}
	// accumulate adds a·b in the lanes of m.
	accumulate := func(at Mem, m mask, a, b vec) {
		for u := range t.unroll {
			where := at
			if !t.wide {
				where = at.Idx(half, 1)
			}
			d, sum := t.register(), t.register()
			t.keepOne(m, a, u, d)
			VMOVUPS(where, sum)
			VFMADD231PS(d, b[u], sum)
			VMOVUPS(sum, where)
		}
	}

	Label("block")
	labels := func() vec { return t.labels(Mem{Base: y}) }
	valid := func() mask { return t.isBelow(labels(), litBits(255)) }
	positive := func() mask { return t.isClass(labels(), coef(smClass)) }

	m, top, others := constant(lit(0)), constant(litBits(0)), constant(lit(0))
	{
		first := t.keepAt(valid(), Mem{Base: x})
		for u := range m {
			VMOVAPS(first[u], m[u])
		}
	}
	channels("largest", func() {
		for line := 0; line < step; line += 64 {
			PREFETCHT0(logit.Offset(4*1024 + line)) // of the next tile
		}
		v := t.keepAt(valid(), logit)
		larger := t.greater(v, m)
		keepIn(m, larger, v)
		keepIn(top, larger, coef(smClass))
	})
	channels("exponential", func() {
		v := t.exp(t.sub(t.keepAt(valid(), logit), m))
		t.store(v, kept, false)
		other := t.isNotClass(top, coef(smClass))
		sum := t.add(others, t.keep(other, v))
		for u := range others {
			VMOVAPS(sum[u], others[u])
		}
	})
	scale := t.div(lit(1), t.add(others, lit(1)))
	var b, miss vec
	if v.exponent != noPointwise {
		xy, ey, w, gw, gamma := constant(lit(0)), constant(lit(0)), constant(lit(0)), constant(lit(0)), constant(lit(0))
		channels("own", func() {
			mine := positive()
			keepIn(xy, mine, t.loadAt(logit))
			keepIn(ey, mine, t.loadAt(kept))
			keepIn(w, mine, coef(smPos))
			if v.grad {
				keepIn(gw, mine, coef(smGrad))
			}
			if v.exponent == gammaAny || v.exponent == gammaTwo && v.grad {
				keepIn(gamma, mine, coef(smGamma))
			}
		})
		nll := t.add(t.sub(m, xy), t.logOnePlus(others))
		isTop := t.equalInts(top, labels())
		rest := t.blend(isTop, others, t.add(t.sub(others, ey), lit(1)))
		miss = t.mul(rest, scale)
		b = gw
		if v.exponent != gammaZero {
			normal := t.max(lit(0x1p-126), miss)
			var power vec
			if v.exponent == gammaTwo {
				power = t.mul(miss, miss)
			} else {
				power = t.exp(t.mul(t.logNormal(normal), gamma))
			}
			w = t.mul(w, power)
			if v.grad {
				ratio := t.div(nll, normal)
				slope := t.fma(t.mul(gamma, t.mul(ey, scale)), ratio, lit(1))
				b = t.mul(t.mul(gw, power), slope)
			}
		}
		accumulate(Mem{Base: sumsBase}, valid(), w, nll)
	}
	probability := func() vec { return t.mul(t.loadAt(kept), scale) }
	derivative := func(p vec) vec {
		d := t.blend(positive(), coef(smCoefPos), coef(smCoefNeg))
		return t.fma(p, coef(smSlope), d)
	}
	var atTop, mean vec
	if v.overlap && v.grad {
		atTop, mean = constant(lit(0)), constant(lit(0))
		channels("top", func() {
			d := derivative(probability())
			keepIn(atTop, t.isClass(top, coef(smClass)), d)
		})
		channels("mean", func() {
			p := probability()
			other := t.isNotClass(top, coef(smClass))
			t.fma(t.keep(other, p), t.sub(derivative(p), atTop), mean)
		})
	}
	if v.grad || v.overlap {
		channels("write", func() {
			p := probability()
			if !v.grad {
				mine := positive()
				one := constant(lit(1))
				accumulate(Mem{Base: sum}, mine, p, one)
				accumulate(Mem{Base: sum, Disp: 128}, mine, one, one)
				accumulate(Mem{Base: sum, Disp: 64}, valid(), p, t.max(p, coef(smPlain)))
				return
			}
			var d vec
			if v.exponent != noPointwise {
				d = t.blend(positive(), t.xor(t.mul(b, miss), litBits(signBit)), t.mul(b, p))
			}
			if v.overlap {
				own := t.mul(p, t.sub(t.sub(derivative(p), atTop), mean))
				if d != nil {
					own = t.add(own, d)
				}
				d = own
			}
			t.store(t.keep(valid(), d), gradient, false)
		})
	}
	if !t.wide {
		XORQ(Imm(32), half)
	}
	ADDQ(Imm(uint64(step)), x)
	if v.grad {
		ADDQ(Imm(uint64(step)), g)
	}
	ADDQ(Imm(uint64(step/4)), y)
	SUBQ(Imm(uint64(step/4)), n)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}
