package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packMargins emits packMarginsGo.
func packMargins(t tier) {
	TEXT("packMargins"+t.name, NOSPLIT, "func(above, below *uint64, x0, x1 *float32, limit *float32, words int)")
	Doc("packMargins" + t.name + " is packMarginsGo for at least one word.")
	Pragma("noescape")
	above, below, x0, x1, words := Load(Param("above"), GP64()), Load(Param("below"), GP64()), Load(Param("x0"), GP64()), Load(Param("x1"), GP64()), Load(Param("words"), GP64())
	limit, negative := YMM(), YMM()
	VBROADCASTSS(Mem{Base: Load(Param("limit"), GP64())}, limit)
	VXORPS(negative, negative, negative)
	VSUBPS(limit, negative, negative)
	w := GP64()
	XORQ(w, w)
	Label("word")
	high, low := GP64(), GP64()
	XORQ(high, high)
	XORQ(low, low)
	for i := range 8 {
		d, isAbove, isBelow := YMM(), YMM(), YMM()
		PREFETCHT0(Mem{Base: x0, Disp: 32*i + 4096})
		PREFETCHT0(Mem{Base: x1, Disp: 32*i + 4096})
		VMOVUPS(Mem{Base: x1, Disp: 32 * i}, d)
		VSUBPS(Mem{Base: x0, Disp: 32 * i}, d, d)
		VCMPPS(U8(greaterThan), limit, d, isAbove)
		VCMPPS(U8(greaterThan), d, negative, isBelow)
		for _, of := range []struct {
			is   reg.VecVirtual
			word reg.GPVirtual
		}{{isAbove, high}, {isBelow, low}} {
			bits := GP32()
			VMOVMSKPS(of.is, bits)
			if i > 0 {
				SHLQ(Imm(uint64(8*i)), bits.As64())
			}
			ORQ(bits.As64(), of.word)
		}
	}
	MOVQ(high, Mem{Base: above, Index: w, Scale: 8})
	MOVQ(low, Mem{Base: below, Index: w, Scale: 8})
	ADDQ(U32(256), x0)
	ADDQ(U32(256), x1)
	INCQ(w)
	CMPQ(w, words)
	JL(LabelRef("word"))
	VZEROUPPER()
	RET()
}
