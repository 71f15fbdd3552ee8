package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/x/afl/internal/cpu/kernel"
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

	// The limits of an Above kernel, of the first channel.
	smLow  = smCoefPos
	smHigh = smCoefNeg
)

// Intermediates that the loops of a softmax kernel pass on, in rows of kernel.Part
// numbers, one per voxel; from rowE on there is one row of exponentials per channel, and
// then one of logits: in memory the channels of a voxel are often a multiple of 4096
// bytes apart, so that few of their lines stay in the first-level cache.
const (
	rowLargest = iota // the largest logit
	rowTop            // its channel
	rowOthers         // the sum of the other channels' exponentials
	rowScale          // 1 over the sum of all of them
	rowFactor         // factor of the pointwise gradient
	rowOwn            // the pointwise gradient at the label's class
	rowAtTop          // derivative of the overlap term at the top channel
	rowMean           // mean, weighted by p, of the other derivatives less that one
	rowE
)

var _ = [1]struct{}{}[rowE-kernel.SoftmaxRows] // the two are equal

// softmax emits the softmax kernel of one variant: for each part of the voxels some
// short loops over channels and voxels, for the reason that logistic gives.
func softmax(t tier, v kernel.Variant) {
	TEXT(v.SoftmaxName()+t.name, NOSPLIT, "func(x, grad *float32, pitch int, y *uint8, sums *float32, k *uint32, buf *float32, c, n int, stream bool)")
	Doc(fmt.Sprintf("%s is softmaxGo compiled for one variant. pitch is in bytes.", v.SoftmaxName()+t.name))
	Pragma("noescape")
	x, y, buf := Load(Param("x"), GP64()), Load(Param("y"), GP64()), Load(Param("buf"), GP64())
	g := x
	if v.Grad {
		g = Load(Param("grad"), GP64())
	}
	i, end, half := GP64(), GP64(), GP64()
	c, k, e, at, out, sum := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	voxels := func(base reg.Register) Mem { return Mem{Base: base, Index: i, Scale: 4} }
	row := func(n int) Mem { return voxels(buf).Offset(4 * kernel.Part * n) }
	coef := func(i int) word { return word{mem: Mem{Base: k}.Offset(4 * i)} }
	negative := litBits(signBit)

	// channels emits a loop over the channels, in which the registers above point to
	// the channel's data: at to its logits in the buffer, and out to those in memory, or
	// to the gradient, where the first channel is at memory.
	const rowBytes = 4 * kernel.Part
	channels := func(name string, memory reg.Register, body func()) {
		MOVQ(parameter("c"), at)
		SHLQ(Imm(uint64(bits.TrailingZeros(rowBytes))), at)
		MOVQ(memory, out)
		MOVQ(parameter("k"), k)
		LEAQ(Mem{Base: buf, Disp: rowBytes * rowE}, e)
		ADDQ(e, at)
		MOVQ(parameter("sums"), sum)
		MOVQ(parameter("c"), c)
		Label(name)
		body()
		ADDQ(U32(rowBytes), at)
		ADDQ(parameter("pitch"), out)
		ADDQ(Imm(32), k)
		ADDQ(U32(rowBytes), e)
		ADDQ(U32(3*64), sum)
		DECQ(c)
		JNZ(LabelRef(name))
	}
	// overVoxels emits a loop over the voxels of the part.
	overVoxels := func(name string, t tier, body func(t tier)) {
		XORQ(i, i)
		Label(name)
		body(t)
		ADDQ(Imm(uint64(t.bytes()/4*t.unroll)), i)
		CMPQ(i, end)
		JL(LabelRef(name))
	}
	short := t
	short.unroll = t.short
	labels := t.labelBytes(Mem{Base: y, Index: i, Scale: 1}, litBits(0))
	classes := func(t tier) vec { return t.labels(Mem{Base: y, Index: i, Scale: 1}) }
	valid := func(t tier) mask { return t.isValid(t.read(labels)) }
	positive := func(t tier) mask { return t.isClass(classes(t), coef(smClass)) }
	// ofClass is positive for all voxels of the current channel: AVX-512 compares bytes
	// with one that it loads here.
	ofClass := func(t tier) func(t tier) mask {
		if !t.wide {
			return positive
		}
		class := labels
		class.class = XMM()
		VPBROADCASTB(coef(smClass).mem, class.class)
		return func(t tier) mask { return t.isPositive(class) }
	}
	constant := func(t tier, w word) vec {
		return t.each(func(_ int, d reg.VecVirtual) { VBROADCASTSS(w.mem, d) })
	}
	// merge sets a vec that outlives the loop over channels to m ? v : into.
	merge := func(into vec, m mask, t tier, v value) {
		now := t.blend(m, v, into)
		for u := range into {
			VMOVAPS(now[u], into[u])
		}
	}

	Label("turn")
	MOVQ(parameter("n"), end)
	CMPQ(end, U32(kernel.Part))
	JLE(LabelRef("last"))
	MOVQ(U32(kernel.Part), end)
	Label("last")

	overVoxels("largest", t, func(t tier) {
		here := valid(t)
		m, top := t.loadMasked(here, voxels(x)), constant(t, litBits(0))
		channels("largestOf", x, func() {
			for line := 0; line < t.bytes()*t.unroll; line += 64 {
				PREFETCHT0(voxels(out).Offset(4*kernel.Part + line)) // the next part
			}
			x := t.loadMasked(here, voxels(out))
			t.store(x, voxels(at), false)
			larger := t.greater(x, m)
			merge(m, larger, t, x)
			merge(top, larger, t, coef(smClass))
		})
		t.store(m, row(rowLargest), false)
		t.store(top, row(rowTop), false)
		t.store(constant(t, lit(0)), row(rowOthers), false)
	})
	channels("exponentialOf", g, func() {
		overVoxels("exponential", short, func(t tier) {
			power := t.exp(t.sub(t.loadAt(voxels(at)), t.loadAt(row(rowLargest))))
			t.store(power, voxels(e), false)
			other := t.isNotClass(t.loadAt(row(rowTop)), coef(smClass))
			t.store(t.add(t.loadAt(row(rowOthers)), t.masked(other, power)), row(rowOthers), false)
		})
	})
	if !t.wide {
		XORQ(half, half)
	}
	overVoxels("value", t, func(t tier) {
		others := t.loadAt(row(rowOthers))
		scale := t.div(lit(1), t.add(others, lit(1)))
		t.store(scale, row(rowScale), false)
		if v.Exponent == kernel.NoPointwise {
			return
		}
		xy, ey, w, gw, gamma := constant(t, lit(0)), constant(t, lit(0)), constant(t, lit(0)), constant(t, lit(0)), constant(t, lit(0))
		channels("own", g, func() {
			mine := ofClass(t)(t)
			t.jumpIfNone(mine, "notOwn") // as of most parts and classes
			merge(xy, mine, t, t.loadAt(voxels(at)))
			merge(ey, mine, t, t.loadAt(voxels(e)))
			merge(w, mine, t, coef(smPos))
			if v.Grad {
				merge(gw, mine, t, coef(smGrad))
			}
			if v.Exponent == kernel.GammaAny || v.Exponent == kernel.GammaTwo && v.Grad {
				merge(gamma, mine, t, coef(smGamma))
			}
			Label("notOwn")
		})
		nll := t.add(t.sub(t.loadAt(row(rowLargest)), xy), t.logOnePlus(others))
		isTop := t.equalInts(t.loadAt(row(rowTop)), classes(t))
		rest := t.blend(isTop, others, t.add(t.sub(others, ey), lit(1)))
		miss := t.mul(rest, scale)
		factor := gw
		if v.Exponent != kernel.GammaZero {
			normal := t.max(lit(kernel.Smallest), miss)
			var power vec
			if v.Exponent == kernel.GammaTwo {
				power = t.mul(miss, miss)
			} else {
				power = t.exp(t.mul(t.logNormal(normal), gamma))
			}
			w = t.mul(w, power)
			if v.Grad {
				ratio := t.div(nll, normal)
				slope := t.fma(t.mul(gamma, t.mul(ey, scale)), ratio, lit(1))
				factor = t.mul(t.mul(gw, power), slope)
			}
		}
		summed, a, b := valid, w, nll
		var kept mask
		if v.Above {
			element := t.mul(w, nll)
			t.store(element, row(rowLargest), false)
			MOVQ(parameter("k"), k)
			kept = t.compare(notLess, element, coef(smLow))
			summed = func(t tier) mask { return t.greater(element, coef(smHigh)) }
			a, b = element, constant(t, lit(1))
		}
		if v.Grad {
			own := func() vec { return t.xor(t.mul(factor, miss), negative) }
			if !v.Above {
				t.store(factor, row(rowFactor), false)
				t.store(own(), row(rowOwn), false)
			} else {
				t.store(t.masked(kept, factor), row(rowFactor), false)
				t.store(t.masked(kept, own()), row(rowOwn), false)
			}
		}
		MOVQ(parameter("sums"), sum)
		r := t.rowSums(1, sum, half)
		r.fma(0, summed(t), a, b)
		r.store()
		if !t.wide {
			XORQ(Imm(32), half)
		}
	})
	probability := func(t tier) vec { return t.mul(t.loadAt(voxels(e)), t.loadAt(row(rowScale))) }
	derivative := func(t tier, p vec, positive mask) vec {
		return t.fma(p, coef(smSlope), t.blend(positive, coef(smCoefPos), coef(smCoefNeg)))
	}
	if v.Overlap && v.Grad {
		overVoxels("derivatives", t, func(t tier) {
			atTop, mean := constant(t, lit(0)), constant(t, lit(0))
			channels("top", g, func() {
				d := derivative(t, probability(t), positive(t))
				merge(atTop, t.isClass(t.loadAt(row(rowTop)), coef(smClass)), t, d)
			})
			channels("mean", g, func() {
				p := probability(t)
				other := t.isNotClass(t.loadAt(row(rowTop)), coef(smClass))
				t.fma(t.masked(other, p), t.sub(derivative(t, p, positive(t)), atTop), mean)
			})
			t.store(atTop, row(rowAtTop), false)
			t.store(mean, row(rowMean), false)
		})
	}
	if v.Grad || v.Overlap {
		channels("writeOf", g, func() {
			ADDQ(Imm(64), sum) // past the pointwise sum
			var r *rowSums
			if !v.Grad {
				r = t.rowSums(3, sum, half)
			}
			mine := ofClass(t)
			overVoxels("write", t, func(t tier) {
				if v.Grad && !t.plain {
					// Fetch what the next part writes, where that goes through the cache.
					CMPB(parameter("stream"), Imm(0))
					JNE(LabelRef("fetched"))
					for line := 0; line < t.bytes()*t.unroll; line += 64 {
						PREFETCHT0(voxels(out).Offset(4*kernel.Part + line))
					}
					Label("fetched")
				}
				p, mine := probability(t), mine(t)
				if !v.Grad {
					one := constant(t, lit(1))
					r.fma(0, mine, p, one)
					r.fma(1, valid(t), p, t.max(p, coef(smPlain)))
					r.fma(2, mine, one, one)
					if !t.wide {
						XORQ(Imm(32), half)
					}
					return
				}
				var d vec // 0 for voxels without a class, whose factor is 0
				if v.Exponent != kernel.NoPointwise {
					d = t.loadWhere(mine, row(rowOwn), t.mul(t.loadAt(row(rowFactor)), p))
				}
				if v.Overlap {
					own := t.mul(p, t.sub(t.sub(derivative(t, p, mine), t.loadAt(row(rowAtTop))), t.loadAt(row(rowMean))))
					if d != nil {
						own = t.add(own, d)
					}
					d = t.masked(valid(t), own)
				}
				t.storeBy(parameter("stream"), "gradient", d, voxels(out))
			})
			if r != nil {
				r.store()
			}
			SUBQ(Imm(64), sum)
		})
	}
	ADDQ(U32(4*kernel.Part), x)
	if v.Grad {
		ADDQ(U32(4*kernel.Part), g)
	}
	ADDQ(U32(kernel.Part), y)
	SUBQ(end, parameter("n"))
	JNZ(LabelRef("turn"))
	VZEROUPPER()
	RET()
}

// rowSums are sums of 16 lanes each in consecutive rows of memory; AVX-512 holds
// them in registers from rowSums to store.
type rowSums struct {
	t    tier
	base reg.Register
	half reg.Register // AVX2: byte offset of the current 8 lanes, 0 or 32
	regs []reg.VecVirtual
}

func (t tier) rowSums(n int, base, half reg.Register) *rowSums {
	r := &rowSums{t: t, base: base, half: half}
	if t.wide {
		for i := range n {
			d := t.register()
			VMOVUPS(Mem{Base: base, Disp: 64 * i}, d)
			r.regs = append(r.regs, d)
		}
	}
	return r
}

// fma adds a·b to a row in the lanes of m.
func (r *rowSums) fma(i int, m mask, a, b vec) {
	for u := range r.t.unroll {
		if r.t.wide {
			VFMADD231PS(a[u], b[u], m[u], r.regs[i])
			continue
		}
		at := Mem{Base: r.base, Disp: 64 * i, Index: r.half, Scale: 1}
		d, sum := r.t.register(), r.t.register()
		r.t.maskedOne(m, a, u, d)
		VMOVUPS(at, sum)
		VFMADD231PS(d, b[u], sum)
		VMOVUPS(sum, at)
	}
}

func (r *rowSums) store() {
	for i, d := range r.regs {
		VMOVUPS(d, Mem{Base: r.base, Disp: 64 * i})
	}
}
