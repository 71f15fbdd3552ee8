package main

import (
	"fmt"
	"math"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packMargins emits packMarginsGo for NEON; for the others there is pickMargins.
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

// pickMargins emits the kernel of pickMarginsBy for tiers that compress vectors: AVX-512 by
// instructions, AVX2 by permutations from a table.
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
	lanes := t.step()
	position, step := t.register(), t.register()
	first := GP32()
	Load(Param("first"), first)
	MOVD(first, position.AsX())
	VPBROADCASTD(position.AsX(), position)
	VPADDD(t.evenNumbers(), position, position)
	VPBROADCASTD(litBits(uint32(2*lanes)).mem, step)
	one := litBits(1)
	t = t.holding(t.signBit(), one)
	compression := t.compression()
	labels := t.labelBytes(Mem{Base: class}, one)
	above0, listed0 := GP64(), GP64()
	MOVQ(above, above0)
	MOVQ(listed, listed0)
	Label("word")
	for i := 0; i < 64; i += lanes {
		of := labels
		of.at = labels.at.Offset(i)
		of = t.read(of)
		x := func(base reg.Register) vec { return t.loadAt(Mem{Base: base, Disp: 4 * i}) }
		if i%16 == 0 { // a cache line
			PREFETCHT0(Mem{Base: x0, Disp: 4*i + 2048})
			PREFETCHT0(Mem{Base: x1, Disp: 4*i + 2048})
		}
		valid, positive := t.isValid(of), t.isPositive(of)
		margin := t.negateWhere(positive, t.sub(x(x1), x(x0)))
		isAbove := t.compareWhere(valid, greaterThan, margin, vec{mid})
		isListed := t.compareWhere(t.compareWhere(valid, notLess, margin, vec{low}), notGreater, margin, vec{high})
		lanesAbove, lanesListed := t.bits(isAbove), t.bits(isListed)
		t.storeBits(lanesAbove, Mem{Base: masks, Disp: i / 8})
		t.storeBits(t.bits(positive), Mem{Base: ones, Disp: i / 8})
		t.storeCompressed(margin, isAbove, lanesAbove, compression, Mem{Base: above})
		advance(lanesAbove, above)
		if !t.wide { // most have none listed
			TESTL(lanesListed, lanesListed)
			JZ(LabelRef(fmt.Sprintf("listed%d", i)))
		}
		t.storeCompressed(margin, isListed, lanesListed, compression, Mem{Base: listed})
		own := t.or(vec{position}, t.masked(positive, one))
		t.storeCompressed(own, isListed, lanesListed, compression, Mem{Base: at})
		advance(lanesListed, listed, at)
		if !t.wide {
			Label(fmt.Sprintf("listed%d", i))
		}
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

// compareWhere is a comparison in the lanes of a mask.
func (t tier) compareWhere(m mask, predicate uint8, a, b vec) mask {
	if !t.wide {
		return t.both(m, t.compare(predicate, a, b))
	}
	return t.eachMask(func(u int, k reg.Register) { VCMPPS(U8(predicate), b[u], a[u], m[u], k) })
}

// bits are those of a mask of one register.
func (t tier) bits(m mask) reg.GPVirtual {
	bits := GP32()
	if t.wide {
		KMOVW(m[0], bits)
	} else {
		VMOVMSKPS(m[0], bits)
	}
	return bits
}

// storeBits stores the bits of a mask.
func (t tier) storeBits(bits reg.GPVirtual, at Mem) {
	if t.wide {
		MOVW(bits.As16(), at)
	} else {
		MOVB(bits.As8(), at)
	}
}

// compression is a pointer to the permutations of storeCompressed, for AVX2.
func (t tier) compression() reg.GPVirtual {
	if t.wide {
		return nil
	}
	return addressOf("compression", func(mask, lane int) byte {
		for from := range 8 { // the lane that moves to this one
			if mask>>from&1 == 0 {
				continue
			}
			if lane == 0 {
				return byte(from)
			}
			lane--
		}
		return 0
	})
}

// addressOf returns a pointer to a table of 8 lanes for each of 256 masks.
func addressOf(name string, value func(mask, lane int) byte) reg.GPVirtual {
	at := GLOBL(name, RODATA|NOPTR)
	for mask := range 256 {
		var lanes uint64
		for lane := range 8 {
			lanes |= uint64(value(mask, lane)) << (8 * lane)
		}
		DATA(8*mask, U64(lanes))
	}
	pointer := GP64()
	LEAQ(at, pointer)
	return pointer
}

// storeCompressed stores the lanes of a mask, whose bits are given, one after the other. It
// writes a whole register.
func (t tier) storeCompressed(v vec, m mask, bits, compression reg.GPVirtual, at Mem) {
	d := t.register()
	if t.wide {
		VCOMPRESSPS_Z(v[0], m[0], d)
	} else {
		VPMOVZXBD(Mem{Base: compression, Index: bits.As64(), Scale: 8}, d)
		VPERMPS(v[0], d, d)
	}
	VMOVUPS(d, at)
}

// expansion loads the lanes of masks. The fields are for AVX2.
type expansion struct {
	t         tier
	own       reg.VecVirtual // bit i in lane i
	after     reg.GPVirtual  // 32 bytes of ones end there, and of zeros begin
	placement reg.GPVirtual  // permutations
}

func (t tier) expansion() *expansion {
	if t.wide {
		return &expansion{t: t}
	}
	own := GLOBL("ownLanes", RODATA|NOPTR)
	for lane := range 8 {
		DATA(4*lane, U32(1<<lane))
	}
	ends := GLOBL("firstLanes", RODATA|NOPTR)
	for i := range 4 {
		DATA(8*i, U64(math.MaxUint64))
	}
	for i := range 4 {
		DATA(32+8*i, U64(0))
	}
	e := &expansion{t: t, own: t.register(), after: GP64()}
	VMOVDQU(own, e.own)
	LEAQ(ends.Offset(32), e.after)
	e.placement = addressOf("expansion", func(mask, lane int) byte {
		before := uint(mask & (1<<lane - 1))
		if mask>>lane&1 == 0 {
			before = uint(mask) // behind the last, where there is 0
		}
		return byte(bits.OnesCount(before))
	})
	return e
}

// mask loads a mask of one register.
func (e *expansion) mask(at Mem) mask {
	if e.t.wide {
		k := K()
		KMOVW(at, k)
		return mask{k}
	}
	lanes := e.t.register()
	VPBROADCASTB(at, lanes)
	VPAND(e.own, lanes, lanes)
	VPCMPEQD(e.own, lanes, lanes)
	return mask{lanes}
}

// bits loads the bits of a mask.
func (e *expansion) bits(at Mem) reg.GPVirtual {
	bits := GP32()
	if e.t.wide {
		MOVWLZX(at, bits)
	} else {
		MOVBLZX(at, bits)
	}
	return bits
}

// load loads consecutive numbers into the lanes of a mask, and 0 into the others. It reads no
// more than those.
func (e *expansion) load(at Mem, m mask, bits reg.GPVirtual) vec {
	d := e.t.register()
	if e.t.wide {
		VEXPANDPS_Z(at, m[0], d)
		return vec{d}
	}
	first, count := e.t.register(), GP64()
	POPCNTL(bits, count.As32())
	NEGQ(count)
	VMOVUPS(Mem{Base: e.after, Index: count, Scale: 4}, first)
	VMASKMOVPS(at, first, first)
	VPMOVZXBD(Mem{Base: e.placement, Index: bits.As64(), Scale: 8}, d)
	VPERMPS(first, d, d)
	return vec{d}
}

// advance moves pointers on by 4 bytes for each bit of a mask.
func advance(bits reg.GPVirtual, pointers ...reg.GPVirtual) {
	n := GP64()
	POPCNTL(bits, n.As32())
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

// evenNumbers are 0, 2, 4 … in the lanes of a register.
func (t tier) evenNumbers() Mem {
	at := GLOBL("evenNumbers"+t.name, RODATA|NOPTR)
	for lane := range t.bytes() / 4 {
		DATA(4*lane, U32(2*lane))
	}
	return at
}

// spreadMargins emits spreadMarginsGo for tiers that expand vectors; see pickMargins.
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
	expansion := t.expansion()
	const registers = 4 // stored at a time
	Label("word")
	for from := 0; from < 64; from += registers * t.step() {
		var own, opposite vec
		for i := from; i < from+registers*t.step(); i += t.step() {
			of := Mem{Base: masks, Disp: i / 8}
			kept, lanes, positive := expansion.mask(of), expansion.bits(of), expansion.mask(Mem{Base: ones, Disp: i / 8})
			slope := expansion.load(Mem{Base: slopes}, kept, lanes)
			g := t.negateWhere(t.both(kept, positive), slope)
			own = append(own, g...)
			opposite = append(opposite, t.maskedXor(kept, g, negative)...)
			advance(lanes, slopes)
		}
		t.storeBy(stream, fmt.Sprintf("own%d", from), own, Mem{Base: g1, Disp: 4 * from})
		t.storeBy(stream, fmt.Sprintf("opposite%d", from), opposite, Mem{Base: g0, Disp: 4 * from})
	}
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
