package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// elementary emits the exponential and log(1+e) alone, over whole blocks of
// numbers: the rates that the speed of a loss is compared with.
func elementary(t tier) {
	t.unroll = t.short
	for _, f := range []struct {
		name      string
		of        func(tier, vec) vec
		constants []word
	}{{"exp", tier.exp, expConstants()}, {"log1p", tier.log1p01, logConstants()}} {
		TEXT(f.name+t.name, NOSPLIT, "func(dst, src *float32, n int)")
		Pragma("noescape")
		dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
		i := GP64()
		XORQ(i, i)
		t := t.holding(f.constants...)
		Label("loop")
		t.store(f.of(t, t.loadAt(Mem{Base: src, Index: i, Scale: 4})), Mem{Base: dst, Index: i, Scale: 4}, false)
		ADDQ(Imm(uint64(t.bytes()/4*t.unroll)), i)
		CMPQ(i, n)
		JL(LabelRef("loop"))
		VZEROUPPER()
		RET()
	}
}
