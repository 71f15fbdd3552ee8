package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packMargins emits packMarginsGo, but not for AVX-512, for which there is pickMargins.
func packMargins(t tier) {
	TEXT("packMargins"+t.name, NOSPLIT, "func(above, within *uint64, x0, x1 *float32, class *uint8, limits *float32, words int)")
	Doc("packMargins" + t.name + " is packMarginsGo for at least one word.")
	Pragma("noescape")
	t.unroll = 1
	above, within, x0, x1, class, words := pointer("above"), pointer("within"), pointer("x0"), pointer("x1"), pointer("class"), pointer("words")
	limits := Mem{Base: pointer("limits")}
	low, high := vec{t.register()}, vec{t.register()}
	VBROADCASTSS(limits, low[0])
	VBROADCASTSS(limits.Offset(4), high[0])
	one := litBits(1)
	t = t.holding(t.signBit(), one)
	labels := t.labelBytes(Mem{Base: class}, one)
	w := GP64()
	XORQ(w, w)
	Label("word")
	bits := [2]reg.GPVirtual{GP64(), GP64()}
	for i := 0; i < 64; i += t.step() {
		of := labels
		of.at = labels.at.Offset(i)
		x := func(base reg.Register) vec { return t.loadAt(Mem{Base: base, Disp: 4 * i}) }
		margin := t.negateWhere(t.isPositive(t.read(of)), t.sub(x(x1), x(x0)))
		for j, is := range [2]mask{t.compare(greaterThan, margin, high), t.compare(notLess, margin, low)} {
			if i == 0 {
				VMOVMSKPS(is[0], bits[j].As32())
				continue
			}
			lanes := GP64()
			VMOVMSKPS(is[0], lanes.As32())
			SHLQ(Imm(uint64(i)), lanes)
			ORQ(lanes, bits[j])
		}
	}
	MOVQ(bits[0], Mem{Base: above, Index: w, Scale: 8})
	MOVQ(bits[1], Mem{Base: within, Index: w, Scale: 8})
	ADDQ(U32(256), x0)
	ADDQ(U32(256), x1)
	ADDQ(Imm(64), class)
	INCQ(w)
	CMPQ(w, words)
	JL(LabelRef("word"))
	VZEROUPPER()
	RET()
}

// pickMargins emits the kernel of pickMarginsBy for AVX-512, which compresses vectors.
func pickMargins(t tier) {
	TEXT("pickMargins"+t.name, NOSPLIT, "func(masks, ones *uint64, above, listed *float32, at *uint32, x0, x1 *float32, class *uint8, limits *float32, first uint32, words int) (nAbove, nListed int)")
	Doc("pickMargins" + t.name + " picks margins for at least one word. It writes up to 15 numbers too many.")
	Pragma("noescape")
	t.unroll = 1
	masks, ones, above, listed, at := pointer("masks"), pointer("ones"), pointer("above"), pointer("listed"), pointer("at")
	x0, x1, class, words := pointer("x0"), pointer("x1"), pointer("class"), pointer("words")
	limits := Mem{Base: pointer("limits")}
	low, mid, high := t.register(), t.register(), t.register()
	for i, limit := range [3]reg.VecVirtual{low, mid, high} {
		VBROADCASTSS(limits.Offset(4*i), limit)
	}
	position, step := t.register(), t.register()
	first := GP32()
	Load(Param("first"), first)
	VPBROADCASTD(first, position)
	VPADDD(evenNumbers(), position, position)
	VPBROADCASTD(litBits(32).mem, step)
	one := litBits(1)
	t = t.holding(t.signBit(), one)
	labels := t.labelBytes(Mem{Base: class}, one)
	above0, listed0 := GP64(), GP64()
	MOVQ(above, above0)
	MOVQ(listed, listed0)
	Label("word")
	for i := range 4 {
		of := labels
		of.at = labels.at.Offset(16 * i)
		x := func(base reg.Register) vec { return t.loadAt(Mem{Base: base, Disp: 64 * i}) }
		PREFETCHT0(Mem{Base: x0, Disp: 64*i + 2048})
		PREFETCHT0(Mem{Base: x1, Disp: 64*i + 2048})
		valid, positive := t.isValid(of)[0], t.isPositive(of)
		margin := t.negateWhere(positive, t.sub(x(x1), x(x0)))[0]
		isAbove, isListed := K(), K()
		VCMPPS(U8(greaterThan), mid, margin, valid, isAbove)
		VCMPPS(U8(notLess), low, margin, valid, isListed)
		VCMPPS(U8(notGreater), high, margin, isListed, isListed)
		KMOVW(isAbove, Mem{Base: masks, Disp: 2 * i})
		KMOVW(positive[0], Mem{Base: ones, Disp: 2 * i})
		some, numbers, own := t.register(), t.register(), t.register()
		VCOMPRESSPS_Z(margin, isAbove, some)
		VMOVUPS(some, Mem{Base: above})
		advance(isAbove, above)
		VCOMPRESSPS_Z(margin, isListed, numbers)
		VMOVUPS(numbers, Mem{Base: listed})
		VMOVDQA32(position, own)
		VPORD(t.held[one], position, positive[0], own)
		VPCOMPRESSD_Z(own, isListed, own)
		VMOVDQU32(own, Mem{Base: at})
		advance(isListed, listed, at)
		VPADDD(step, position, position)
	}
	ADDQ(U32(256), x0)
	ADDQ(U32(256), x1)
	ADDQ(Imm(64), class)
	ADDQ(Imm(8), masks)
	ADDQ(Imm(8), ones)
	DECQ(words)
	JNE(LabelRef("word"))
	storeLength(0, above, above0)
	storeLength(1, listed, listed0)
	VZEROUPPER()
	RET()
}

// advance moves pointers on by 4 bytes for each bit of a mask.
func advance(m reg.Register, pointers ...reg.GPVirtual) {
	n := GP64()
	KMOVW(m, n.As32())
	POPCNTL(n.As32(), n.As32())
	for _, p := range pointers {
		LEAQ(Mem{Base: p, Index: n, Scale: 4}, p)
	}
}

// storeLength returns the number of 4-byte elements from begin to end.
func storeLength(result int, end, begin reg.GPVirtual) {
	SUBQ(begin, end)
	SHRQ(Imm(2), end)
	Store(end, ReturnIndex(result))
}

// evenNumbers are 0, 2, 4 … in the lanes of 64 bytes.
func evenNumbers() Mem {
	at := GLOBL("evenNumbers", RODATA|NOPTR)
	for lane := range 16 {
		DATA(4*lane, U32(2*lane))
	}
	return at
}

// spreadMargins emits spreadMarginsGo for AVX-512, which expands vectors.
func spreadMargins(t tier) {
	TEXT("spreadMargins"+t.name, NOSPLIT, "func(g0, g1 *float32, masks, ones *uint64, slopes *float32, words int, stream bool) (n int)")
	Doc("spreadMargins" + t.name + " is spreadMarginsGo for at least one word.")
	Pragma("noescape")
	t.unroll = 1
	g0, g1, masks, ones, slopes, words := pointer("g0"), pointer("g1"), pointer("masks"), pointer("ones"), pointer("slopes"), pointer("words")
	stream, slopes0 := parameter("stream"), GP64()
	MOVQ(slopes, slopes0)
	negative := t.signBit()
	t = t.holding(negative)
	Label("word")
	var own, opposite vec
	for i := range 4 {
		kept, positive := K(), K()
		KMOVW(Mem{Base: masks, Disp: 2 * i}, kept)
		KMOVW(Mem{Base: ones, Disp: 2 * i}, positive)
		KANDW(kept, positive, positive)
		slope := t.register()
		VEXPANDPS_Z(Mem{Base: slopes}, kept, slope)
		g := t.negateWhere(mask{positive}, vec{slope})
		own = append(own, g...)
		opposite = append(opposite, t.maskedXor(mask{kept}, g, negative)...)
		advance(kept, slopes)
	}
	t.storeBy(stream, "own", own, Mem{Base: g1})
	t.storeBy(stream, "opposite", opposite, Mem{Base: g0})
	ADDQ(U32(256), g0)
	ADDQ(U32(256), g1)
	ADDQ(Imm(8), masks)
	ADDQ(Imm(8), ones)
	DECQ(words)
	JNE(LabelRef("word"))
	storeLength(0, slopes, slopes0)
	VZEROUPPER()
	RET()
}
