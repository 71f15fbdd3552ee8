package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/x/afl/internal/cpu/kernel"
)

// labels emits labelsGo for a multiple of 32 labels.
func labels(t tier) {
	TEXT("labels"+t.name, NOSPLIT, "func(dst, src *uint8, r *uint8, n int) (bad uint32)")
	Doc("labels" + t.name + " is labelsGo for n labels, a multiple of 32. bad is not 0 where one is no class.")
	Pragma("noescape")
	dst, src, r, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Mem{Base: Load(Param("r"), GP64())}, Load(Param("n"), GP64())
	ignore, mark, top, limit, none, bad := YMM(), YMM(), YMM(), YMM(), YMM(), YMM()
	VPBROADCASTB(r.Offset(0), ignore)
	VPBROADCASTB(r.Offset(1), mark)
	VPBROADCASTB(r.Offset(2), top)
	VPBROADCASTB(r.Offset(3), limit)
	VPCMPEQD(none, none, none)
	VPXOR(bad, bad, bad)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	y, is, isNone, c := YMM(), YMM(), YMM(), YMM()
	PREFETCHT0(Mem{Base: src, Index: i, Scale: 1, Disp: kernel.Strip}) // the next strip
	VMOVDQU(Mem{Base: src, Index: i, Scale: 1}, y)
	VPCMPEQB(ignore, y, is)
	VPMINUB(top, y, c)
	VPBLENDVB(is, mark, c, c)
	VMOVDQU(c, Mem{Base: dst, Index: i, Scale: 1})
	VPCMPEQB(none, c, isNone)
	VPMAXUB(limit, c, is)
	VPCMPEQB(c, is, is) // c ≥ limit
	VPANDN(is, isNone, is)
	VPOR(is, bad, bad)
	ADDQ(Imm(32), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	result := GP32()
	VPMOVMSKB(bad, result)
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// foreground emits foregroundGo for whole words.
func foreground(t tier) {
	TEXT("foreground"+t.name, NOSPLIT, "func(fore, ignored *uint64, src *uint8, r *uint8, words int) (bad uint32)")
	Doc("foreground" + t.name + " is foregroundGo for at least one word of labels. bad is not 0 where one is no class.")
	Pragma("noescape")
	fore, ignored, src, r := Load(Param("fore"), GP64()), Load(Param("ignored"), GP64()), Load(Param("src"), GP64()), Mem{Base: Load(Param("r"), GP64())}
	words := Load(Param("words"), GP64())
	ignore, mark, top, limit, none, zero, bad := YMM(), YMM(), YMM(), YMM(), YMM(), YMM(), YMM()
	VPBROADCASTB(r.Offset(0), ignore)
	VPBROADCASTB(r.Offset(1), mark)
	VPBROADCASTB(r.Offset(2), top)
	VPBROADCASTB(r.Offset(3), limit)
	VPCMPEQD(none, none, none)
	VPXOR(zero, zero, zero)
	VPXOR(bad, bad, bad)
	w := GP64()
	XORQ(w, w)
	Label("word")
	var isNone, isFore [2]reg.VecVirtual
	for half := range 2 {
		y, is, c, some, least, isLarge := YMM(), YMM(), YMM(), YMM(), YMM(), YMM()
		isNone[half], isFore[half] = YMM(), YMM()
		PREFETCHT0(Mem{Base: src, Disp: 32*half + kernel.Strip})
		VMOVDQU(Mem{Base: src, Disp: 32 * half}, y)
		VPCMPEQB(ignore, y, is)
		VPMINUB(top, y, c)
		VPBLENDVB(is, mark, c, c)
		VPCMPEQB(none, c, isNone[half])
		VPCMPEQB(zero, c, some)
		VPOR(isNone[half], some, some)
		VPANDN(none, some, isFore[half])
		VPMAXUB(limit, c, least)
		VPCMPEQB(c, least, isLarge) // c ≥ limit
		VPANDN(isLarge, isNone[half], isLarge)
		VPOR(isLarge, bad, bad)
	}
	bits := func(of [2]reg.VecVirtual, to reg.Register) {
		low, high := GP32(), GP32()
		VPMOVMSKB(of[0], low)
		VPMOVMSKB(of[1], high)
		SHLQ(Imm(32), high.As64())
		ORQ(low.As64(), high.As64())
		MOVQ(high.As64(), Mem{Base: to, Index: w, Scale: 8})
	}
	bits(isFore, fore)
	unless(ignored, "nothingIgnored", func() { bits(isNone, ignored) })
	ADDQ(U32(64), src)
	INCQ(w)
	CMPQ(w, words)
	JL(LabelRef("word"))
	result := GP32()
	VPMOVMSKB(bad, result)
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// pack emits packGo.
func pack(t tier) {
	TEXT("pack"+t.name, NOSPLIT, "func(dst *uint64, src *uint8, words int, class uint8)")
	Doc("pack" + t.name + " is packGo for at least one word.")
	Pragma("noescape")
	dst, src, words := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("words"), GP64())
	class := YMM()
	at, err := Param("class").Resolve()
	if err != nil {
		panic(err)
	}
	VPBROADCASTB(at.Addr, class)
	w := GP64()
	XORQ(w, w)
	Label("word")
	a, b, low, high := YMM(), YMM(), GP32(), GP32()
	VPCMPEQB(Mem{Base: src}, class, a)
	VPCMPEQB(Mem{Base: src, Disp: 32}, class, b)
	VPMOVMSKB(a, low)
	VPMOVMSKB(b, high)
	SHLQ(Imm(32), high.As64())
	ORQ(low.As64(), high.As64())
	MOVQ(high.As64(), Mem{Base: dst, Index: w, Scale: 8})
	ADDQ(Imm(64), src)
	INCQ(w)
	CMPQ(w, words)
	JL(LabelRef("word"))
	VZEROUPPER()
	RET()
}

// packMap emits packMapGo.
func packMap(t tier) {
	TEXT("packMap"+t.name, NOSPLIT, "func(dst *uint64, src *float32, words int) (soft uint32)")
	Doc("packMap" + t.name + " is packMapGo for at least one word. soft is not 0 where a value is neither 0 nor 1.")
	Pragma("noescape")
	dst, src, words := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("words"), GP64())
	zero, one, soft := YMM(), YMM(), YMM()
	VXORPS(zero, zero, zero)
	VBROADCASTSS(lit(1).mem, one)
	VXORPS(soft, soft, soft)
	w := GP64()
	XORQ(w, w)
	Label("word")
	word := GP64()
	XORQ(word, word)
	for i := range 8 {
		v, isOne, isOther, bits := YMM(), YMM(), YMM(), GP32()
		PREFETCHT0(Mem{Base: src, Disp: 32*i + 4096})
		VMOVUPS(Mem{Base: src, Disp: 32 * i}, v)
		VCMPPS(U8(equal), one, v, isOne)
		VCMPPS(U8(notEqual), zero, v, isOther)
		VMOVMSKPS(isOne, bits)
		VXORPS(isOne, isOther, isOther)
		VORPS(isOther, soft, soft)
		if i > 0 {
			SHLQ(Imm(uint64(8*i)), bits.As64())
		}
		ORQ(bits.As64(), word)
	}
	MOVQ(word, Mem{Base: dst, Index: w, Scale: 8})
	ADDQ(U32(256), src)
	INCQ(w)
	CMPQ(w, words)
	JL(LabelRef("word"))
	result := GP32()
	VMOVMSKPS(soft, result)
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// unpack emits unpackGo.
func unpack(t tier) {
	TEXT("unpack"+t.name, NOSPLIT, "func(dst *uint8, src *uint64, words int)")
	Doc("unpack" + t.name + " is unpackGo for at least one word.")
	Pragma("noescape")
	dst, src, words := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("words"), GP64())
	own, one := YMM(), YMM()
	t.ownBits(own)
	t.double = true
	VBROADCASTSD(t.litBits(0x0101010101010101).mem, one)
	w := GP64()
	XORQ(w, w)
	Label("word")
	for half := range 2 {
		v := t.expand(Mem{Base: src, Index: w, Scale: 8, Disp: 4 * half}, own)
		VANDPS(one, v, v)
		VMOVDQU(v, Mem{Base: dst, Disp: 32 * half})
	}
	ADDQ(Imm(64), dst)
	INCQ(w)
	CMPQ(w, words)
	JL(LabelRef("word"))
	VZEROUPPER()
	RET()
}

// ownBits sets bit i of byte i of every 8 bytes.
func (t tier) ownBits(d reg.VecVirtual) {
	t.double = true
	VBROADCASTSD(t.litBits(0x8040201008040201).mem, d)
}

// expand sets the bytes whose bits are set among 32 bits in memory; own are ownBits.
func (t tier) expand(at Mem, own reg.VecVirtual) reg.VecVirtual {
	v := YMM()
	VPMOVZXBQ(at, v)
	for _, by := range []uint64{8, 16, 32} { // repeats the byte
		shifted := YMM()
		VPSLLQ(Imm(by), v, shifted)
		VPOR(shifted, v, v)
	}
	VANDPS(own, v, v)
	VPCMPEQB(own, v, v)
	return v
}
