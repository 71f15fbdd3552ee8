package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// widen emits widenGo for a multiple of 8 values.
func widen(t tier) {
	TEXT("widen"+t.name, NOSPLIT, "func(dst *float64, src *float32, sums *float64, n int) (bad uint32)")
	Doc("widen" + t.name + " is widenGo for n values, a multiple of 8. bad is not 0 where one is outside [0,1].")
	Pragma("noescape")
	t.double = true
	dst, src, sums, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("sums"), GP64()), Load(Param("n"), GP64())
	zero, one, bad, low, high := YMM(), YMM(), YMM(), YMM(), YMM()
	VXORPD(zero, zero, zero)
	VBROADCASTSD(t.lit(1).mem, one)
	VXORPD(bad, bad, bad)
	VMOVUPD(Mem{Base: sums}, low)
	VMOVUPD(Mem{Base: sums, Disp: 32}, high)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	for half, sum := range []Op{low, high} {
		v, below, above := YMM(), YMM(), YMM()
		VCVTPS2PD(Mem{Base: src, Index: i, Scale: 4, Disp: 16 * half}, v)
		VCMPPD(U8(notAtLeast), zero, v, below)
		VCMPPD(U8(notAtMost), one, v, above)
		VORPD(below, above, above)
		VORPD(above, bad, bad)
		VADDPD(v, sum, sum)
		VMOVUPD(v, Mem{Base: dst, Index: i, Scale: 8, Disp: 32 * half})
	}
	ADDQ(Imm(8), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	VMOVUPD(low, Mem{Base: sums})
	VMOVUPD(high, Mem{Base: sums, Disp: 32})
	result := GP32()
	VPMOVMSKB(bad, result)
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// magnitudes emits magnitudesGo for a multiple of 4 voxels. Its square roots, one every
// two or three cycles, take as long in wider registers.
func magnitudes(t tier) {
	TEXT("magnitudes"+t.name, NOSPLIT, "func(dst, around, left, right, up, down, steps *float64, n int)")
	Doc("magnitudes" + t.name + " is magnitudesGo for n voxels, a multiple of 4.")
	Pragma("noescape")
	t.double = true
	load := func(name string) Mem { return Mem{Base: Load(Param(name), GP64())} }
	dst, around, left, right, up, down, steps := load("dst"), load("around"), load("left"), load("right"), load("up"), load("down"), load("steps")
	n := Load(Param("n"), GP64())
	stepX, stepY, half := YMM(), YMM(), YMM()
	VBROADCASTSD(steps, stepX)
	VBROADCASTSD(steps.Offset(8), stepY)
	VBROADCASTSD(t.lit(0.5).mem, half)
	i := GP64()
	XORQ(i, i)
	at := func(m Mem) Mem {
		m.Index, m.Scale = i, 8
		return m
	}
	Label("loop")
	square := func(from, to Mem, step Op) Op {
		d := YMM()
		VMOVUPD(to, d)
		VSUBPD(from, d, d)
		VMULPD(step, d, d)
		VMULPD(d, d, d)
		return d
	}
	x, y, z := square(at(left), at(right), stepX), square(at(up), at(down), stepY), square(at(around), at(around.Offset(16)), half)
	m := YMM()
	VADDPD(y, x, m)
	VADDPD(z, m, m)
	VSQRTPD(m, m)
	VMOVUPD(m, at(dst))
	ADDQ(Imm(4), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
