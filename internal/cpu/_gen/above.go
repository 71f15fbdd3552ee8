package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sizedName is the name of a routine for one element type.
func sizedName(name string, t tier) string { return fmt.Sprintf("%s%d%s", name, 8*t.size(), t.name) }

// packAbove emits packAboveGo.
func packAbove(t tier) {
	name := sizedName("packAbove", t)
	TEXT(name, NOSPLIT, fmt.Sprintf("func(above, within *uint64, of, limits *float%d, words int)", 8*t.size()))
	Doc(name + " is packAboveGo for at least one word.")
	Pragma("noescape")
	t.unroll = 1
	above, within, of, words := pointer("above"), pointer("within"), pointer("of"), pointer("words")
	limits := Mem{Base: pointer("limits")}
	low, high := vec{t.register()}, vec{t.register()}
	t.broadcast(word{mem: limits}, low[0])
	t.broadcast(word{mem: limits.Offset(t.size())}, high[0])
	w := GP64()
	XORQ(w, w)
	Label("word")
	packed := [2]*packedBits{
		t.packBits(Mem{Base: above, Index: w, Scale: 8}),
		t.packBits(Mem{Base: within, Index: w, Scale: 8}),
	}
	for i := 0; i < 64; i += t.step() {
		v := t.loadAt(Mem{Base: of, Disp: t.size() * i})
		packed[0].add(t.compare(greaterThan, v, high)[0])
		packed[1].add(t.compare(notLess, v, low)[0])
	}
	for _, p := range packed {
		p.store()
	}
	ADDQ(U32(64*t.size()), of)
	INCQ(w)
	CMPQ(w, words)
	JL(LabelRef("word"))
	VZEROUPPER()
	RET()
}

// packedBits collects the 64 bits of consecutive masks of one register each.
type packedBits struct {
	t    tier
	to   Mem
	n    int
	bits reg.GPVirtual
	// AVX-512: masks that are not in memory yet, each of fewer bits than the one before.
	masks []packedMask
}

type packedMask struct {
	k    reg.Register
	bits int
}

func (t tier) packBits(to Mem) *packedBits { return &packedBits{t: t, to: to, bits: GP64()} }

// add adds the next mask.
func (p *packedBits) add(m reg.Register) {
	lanes := p.t.step()
	if !p.t.wide {
		d := p.bits
		if p.n > 0 {
			d = GP64()
		}
		if p.t.double {
			VMOVMSKPD(m, d.As32())
		} else {
			VMOVMSKPS(m, d.As32())
		}
		if p.n > 0 {
			SHLQ(Imm(uint64(p.n)), d)
			ORQ(d, p.bits)
		}
		p.n += lanes
		return
	}
	next := packedMask{m, lanes}
	for last := len(p.masks) - 1; last >= 0 && p.masks[last].bits == next.bits; last-- {
		unpack := map[int]func(low, high, d Op){8: KUNPCKBW, 16: KUNPCKWD}[next.bits]
		next = packedMask{joined(unpack, mask{p.masks[last].k, next.k}), 2 * next.bits}
		p.masks = p.masks[:last]
	}
	p.n += lanes
	if next.bits == 32 {
		KMOVD(next.k, p.to.Offset(p.n/8-4))
		return
	}
	p.masks = append(p.masks, next)
}

// store stores what is not in memory yet.
func (p *packedBits) store() {
	if !p.t.wide {
		MOVQ(p.bits, p.to)
	}
}

// keepFrom emits keepFromGo for whole blocks.
func keepFrom(t tier) {
	name := sizedName("keepFrom", t)
	TEXT(name, NOSPLIT, fmt.Sprintf("func(dst, of, limit *float%d, n int)", 8*t.size()))
	Doc(name + " is keepFromGo for n values, a multiple of 64.")
	Pragma("noescape")
	t.unroll = 1
	dst, of, n := Load(Param("dst"), GP64()), Load(Param("of"), GP64()), Load(Param("n"), GP64())
	limit := vec{t.register()}
	t.broadcast(word{mem: Mem{Base: Load(Param("limit"), GP64())}}, limit[0])
	i := GP64()
	XORQ(i, i)
	Label("loop")
	values := func(base reg.Register) Mem { return Mem{Base: base, Index: i, Scale: uint8(t.size())} }
	t.store(t.loadMasked(t.compare(notLess, t.loadAt(values(of)), limit), values(dst)), values(dst), false)
	ADDQ(Imm(uint64(t.step())), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// joined is two mask registers in one, the first in its lower half.
func joined(unpack func(low, high, d Op), of mask) reg.Register {
	d := K()
	unpack(of[0], of[1], d)
	return d
}
