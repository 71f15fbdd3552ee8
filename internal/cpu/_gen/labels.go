package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// labels is labelsGo for a multiple of 32 labels. bad is not 0 where one is no
// class.
func labels() {
	TEXT("labelsAVX2", NOSPLIT, "func(dst, src *uint8, r *uint8, n int) (bad uint32)")
	Doc("labelsAVX2 is labelsGo for n labels, a multiple of 32. bad is not 0 where one is no class.")
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
