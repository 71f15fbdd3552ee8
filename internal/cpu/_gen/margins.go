package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/x/afl/internal/cpu/kernel"
)

// packMargins emits packMarginsGo.
func packMargins(t tier) {
	TEXT("packMargins"+t.name, NOSPLIT, "func(above, within *uint64, x0, x1 *float32, class *uint8, limits *float32, words int)")
	Doc("packMargins" + t.name + " is packMarginsGo for at least one word.")
	Pragma("noescape")
	t.unroll = 1
	load := func(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }
	above, within, x0, x1, class, words := load("above"), load("within"), load("x0"), load("x1"), load("class"), load("words")
	limits := Mem{Base: load("limits")}
	low, high := vec{t.register()}, vec{t.register()}
	VBROADCASTSS(limits, low[0])
	VBROADCASTSS(limits.Offset(4), high[0])
	one := litBits(1)
	t = t.holding(t.signBit(), one)
	labels := t.labelBytes(Mem{Base: class}, one)
	none, own := t.register(), YMM()
	if t.wide {
		VBROADCASTSS(litBits(kernel.NoClass*0x01010101).mem, none)
	} else {
		VPCMPEQB(none, none, none)
		t.ownBits(own)
	}
	w := GP64()
	XORQ(w, w)
	Label("word")
	aboveAt, withinAt := Mem{Base: above, Index: w, Scale: 8}, Mem{Base: within, Index: w, Scale: 8}
	var masks [2]mask // AVX-512
	bits := [2]reg.GPVirtual{GP64(), GP64()}
	for i := 0; i < 64; i += t.step() {
		of := labels
		of.at = labels.at.Offset(i)
		x := func(base reg.Register) vec { return t.loadAt(Mem{Base: base, Disp: 4 * i}) }
		margin := t.negateWhere(t.isPositive(t.read(of)), t.sub(x(x1), x(x0)))
		for j, is := range [2]mask{t.compare(greaterThan, margin, high), t.compare(notLess, margin, low)} {
			switch {
			case t.wide:
				masks[j] = append(masks[j], is[0])
				if i%32 == 16 {
					masks[j] = append(masks[j][:i/32], joined(KUNPCKWD, masks[j][i/32:]))
				}
			case i == 0:
				VMOVMSKPS(is[0], bits[j].As32())
			default:
				lanes := GP64()
				VMOVMSKPS(is[0], lanes.As32())
				SHLQ(Imm(uint64(i)), lanes)
				ORQ(lanes, bits[j])
			}
		}
	}
	if t.wide {
		keep, drop := joined(KUNPCKDQ, masks[0]), K()
		KMOVQ(keep, aboveAt)
		KMOVQ(joined(KUNPCKDQ, masks[1]), withinAt)
		KNOTQ(keep, drop)
		VMOVDQU8(none, drop, Mem{Base: class})
	} else {
		MOVQ(bits[0], aboveAt)
		MOVQ(bits[1], withinAt)
		for half := range 2 {
			v := t.expand(aboveAt.Offset(4*half), own)
			VPANDN(none, v, v)
			VPOR(Mem{Base: class, Disp: 32 * half}, v, v)
			VMOVDQU(v, Mem{Base: class, Disp: 32 * half})
		}
	}
	ADDQ(U32(256), x0)
	ADDQ(U32(256), x1)
	ADDQ(Imm(64), class)
	INCQ(w)
	CMPQ(w, words)
	JL(LabelRef("word"))
	VZEROUPPER()
	RET()
}

// joined is two mask registers in one, the first in its lower half.
func joined(unpack func(low, high, d Op), of mask) reg.Register {
	d := K()
	unpack(of[0], of[1], d)
	return d
}
