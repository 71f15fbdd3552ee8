package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
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

// sumMap emits sumMapGo for a multiple of 8 values.
func sumMap(t tier) {
	TEXT("sumMap"+t.name, NOSPLIT, "func(src *float32, sums *float64, n int) (bad uint32)")
	Doc("sumMap" + t.name + " is sumMapGo for n values, a multiple of 8. bad is not 0 where one is outside [0,1], or −0.")
	Pragma("noescape")
	t.unroll = 1
	src, sums, n := Load(Param("src"), GP64()), Mem{Base: Load(Param("sums"), GP64())}, Load(Param("n"), GP64())
	largest, low, high := YMM(), YMM(), YMM()
	VXORPS(largest, largest, largest)
	VMOVUPD(sums, low)
	VMOVUPD(sums.Offset(32), high)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	at := Mem{Base: src, Index: i, Scale: 4}
	PREFETCHT0(at.Offset(4096))
	VPMAXUD(at, largest, largest)
	for half, sum := range []Op{low, high} {
		v := YMM()
		VCVTPS2PD(at.Offset(16*half), v)
		VADDPD(v, sum, sum)
	}
	ADDQ(Imm(8), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	VMOVUPD(low, sums)
	VMOVUPD(high, sums.Offset(32))
	above, bits := YMM(), GP32()
	VPCMPGTD(t.load(lit(1))[0], largest, above)
	VORPS(largest, above, above)
	VMOVMSKPS(above, bits)
	Store(bits, ReturnIndex(0))
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

// softMagnitudes emits softMagnitudesGo for a multiple of a register of voxels.
func softMagnitudes(t tier) {
	TEXT("softMagnitudes"+t.name, NOSPLIT, "func(around, left, right, up, down *float32, ends *uint8, steps *float32, sums *float64, boundary *uint32, n int)")
	Doc("softMagnitudes" + t.name + " is softMagnitudesGo for n voxels, a multiple of 16. It stores what that returns in 16 parts.")
	Pragma("noescape")
	t.unroll = 1
	i := GP64()
	floats := func(name string) Mem { return Mem{Base: Load(Param(name), GP64()), Index: i, Scale: 4} }
	around, left, right, up, down := floats("around"), floats("left"), floats("right"), floats("up"), floats("down")
	ends, steps, sums, n := Load(Param("ends"), GP64()), Load(Param("steps"), GP64()), Mem{Base: Load(Param("sums"), GP64())}, Load(Param("n"), GP64())
	// NEON has no displacement of a single number.
	center, after := GP64(), GP64()
	LEAQ(Mem{Base: around.Base, Disp: 4}, center)
	LEAQ(Mem{Base: around.Base, Disp: 8}, after)
	floatsAt := func(base reg.Register) vec { return t.loadAt(Mem{Base: base, Index: i, Scale: 4}) }
	stepX, stepY, boundary := t.register(), t.register(), t.register()
	VBROADCASTSS(Mem{Base: steps}, stepX)
	VBROADCASTSS(Mem{Base: steps, Disp: 4}, stepY)
	VXORPS(boundary.AsY(), boundary.AsY(), boundary.AsY()) // clears the whole register
	parts := make([]reg.VecVirtual, 64/t.bytes())
	for p := range parts {
		parts[p] = t.register()
		VMOVUPD(sums.Offset(t.bytes()*p), parts[p])
	}
	t = t.holding(lit(1), lit(0), lit(0.5))
	local := AllocLocal(t.bytes())
	XORQ(i, i)
	Label("loop")
	mark := Mem{Base: ends, Index: i, Scale: 1}
	start, end := t.isPositive(t.read(t.labelBytes(mark, litBits(rowStart)))), t.isPositive(t.read(t.labelBytes(mark, litBits(rowEnd))))
	own := floatsAt(center)
	x, y := t.sub(t.loadAt(right), t.loadAt(left)), t.sub(t.loadAt(down), t.loadAt(up))
	z := t.sub(t.blend(end, own, floatsAt(after)), t.blend(start, own, t.loadAt(around)))
	some := t.compare(notEqual, t.or(t.or(x, y), z), lit(0))
	VPSUBD(t.ones(some)[0], boundary, boundary) // a set lane is −1
	square := func(d vec, step value) vec {
		d = t.mul(d, step)
		return t.mul(d, d)
	}
	stepZ := t.blend(end, lit(1), t.blend(start, lit(1), lit(0.5)))
	m := t.add(t.add(square(x, vec{stepX}), square(y, vec{stepY})), square(z, stepZ))
	VSQRTPS(m[0], m[0])
	VMOVUPS(m[0], local)
	for half := range 2 {
		wide := t.register()
		VCVTPS2PD(local.Offset(t.bytes()/2*half), wide)
		sum := parts[half%len(parts)]
		VADDPD(wide, sum, sum)
	}
	ADDQ(Imm(uint64(t.bytes()/4)), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	for p, sum := range parts {
		VMOVUPD(sum, sums.Offset(t.bytes()*p))
	}
	VMOVUPS(boundary, Mem{Base: Load(Param("boundary"), GP64())})
	VZEROUPPER()
	RET()
}

// ones has all bits of the lanes of a mask set.
func (t tier) ones(m mask) vec {
	return t.each(func(u int, d reg.VecVirtual) {
		if t.wide {
			VPMOVM2D(m[u], d)
		} else {
			VMOVAPS(m[u], d)
		}
	})
}

// Marks of the ends of a row, those of package cpu.
const (
	rowStart = 1
	rowEnd   = 2
)
