package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/mmcloughlin/avo/x86"

	"github.com/x/afl/internal/cpu/kernel"
)

// tier is an instruction set. Each of its methods emits one operation on vectors of
// float32, or of float64 where double is set, and returns the result. A product and a sum are fused by fma and by
// nothing else, so that all tiers and the plain Go kernels round alike.
type tier struct {
	name string
	wide bool // AVX-512: 64-byte registers and mask registers; otherwise AVX2: 32 bytes
	// double selects float64. The operations on integers are for float32 alone, but for
	// those of exp and log.
	double bool
	// unroll is the number of registers of a vec. Interleaved operations on
	// independent registers hide the latency of a single dependency chain.
	unroll int
	short  int // unroll of loops that need few registers
	spare  int // registers available for a loop's constants
	held   map[word]reg.VecVirtual
	plain  bool // has no non-temporal stores
}

var tiers = []tier{
	{name: "AVX512", wide: true, unroll: 2, short: 4, spare: 8},
	{name: "AVX2", unroll: 1, short: 2},
}

// neon is described like AVX2: its vectors of 8 lanes are two registers each. A
// constant takes one.
var neon = tier{name: "NEON", unroll: 1, short: 2, spare: 16, plain: true}

// holding returns the tier with constants loaded into registers, the first ones
// first, as many as there are spare registers; the others stay memory operands.
func (t tier) holding(constants ...word) tier {
	held := map[word]reg.VecVirtual{}
	for _, w := range constants[:min(len(constants), t.spare)] {
		held[w] = t.load(w)[0]
	}
	t.held = held
	return t
}

// vec is a vector of unroll registers, each of all lanes.
type vec []reg.VecVirtual

// mask is a predicate per lane: mask registers, or vectors whose lanes' sign bits
// hold it.
type mask []reg.Register

// value is a vec or a word.
type value any

// word is a constant in memory of the size of an element, the same for every lane.
type word struct {
	mem      Mem
	repeated bool // fills 32 bytes, as a memory operand of AVX2 needs it
}

// lit is a float32 constant; litBits is one given by its bits.
func lit(v float32) word { return litBits(math.Float32bits(v)) }

func litBits(bits uint32) word { return literal{bits: uint64(bits)}.word() }

// lit is a constant of the tier's element type.
func (t tier) lit(v float64) word {
	if t.double {
		return t.litBits(math.Float64bits(v))
	}
	return lit(float32(v))
}

// litBits is a constant of the size of an element, given by its bits.
func (t tier) litBits(bits uint64) word { return literal{bits, t.double}.word() }

// signBit is the sign bit of an element.
func (t tier) signBit() word { return t.litBits(1 << (8*t.size() - 1)) }

// literal is an element of 4 bytes, or of 8 if double is set.
type literal struct {
	bits   uint64
	double bool
}

// float64 is the element as a number.
func (l literal) float64() float64 {
	if l.double {
		return math.Float64frombits(l.bits)
	}
	return float64(math.Float32frombits(uint32(l.bits)))
}

func (l literal) word() word {
	at, known := constants.at[l]
	if !known {
		at = len(constants.list)
		constants.at[l] = at
		constants.list = append(constants.list, l)
	}
	return word{NewDataAddr(Symbol{Name: "constants", Static: true}, at*32), true}
}

var constants = struct {
	at   map[literal]int
	list []literal
}{at: map[literal]int{}}

func emitConstants() {
	GLOBL("constants", RODATA|NOPTR)
	for i, l := range constants.list {
		if l.double {
			for lane := range 4 {
				DATA(32*i+8*lane, U64(l.bits))
			}
			continue
		}
		for lane := range 8 {
			DATA(32*i+4*lane, U32(l.bits))
		}
	}
}

func (t tier) register() reg.VecVirtual {
	if t.wide {
		return ZMM()
	}
	return YMM()
}

// each makes a vec; emit emits the instructions for one of its registers.
func (t tier) each(emit func(u int, d reg.VecVirtual)) vec {
	out := make(vec, t.unroll)
	for u := range out {
		out[u] = t.register()
		emit(u, out[u])
	}
	return out
}

func (t tier) eachMask(emit func(u int, k reg.Register)) mask {
	out := make(mask, t.unroll)
	for u := range out {
		out[u] = YMM()
		if t.wide {
			out[u] = K()
		}
		emit(u, out[u])
	}
	return out
}

// bytes is the size of one register.
func (t tier) bytes() int {
	if t.wide {
		return 64
	}
	return 32
}

// size is the size of an element in bytes.
func (t tier) size() int {
	if t.double {
		return 8
	}
	return 4
}

// step is the number of elements of a vec.
func (t tier) step() int { return t.bytes() / t.size() * t.unroll }

// op chooses the instruction for the element type.
func (t tier) op(single, double func(...Op)) func(...Op) {
	if t.double {
		return double
	}
	return single
}

// broadcast fills a register with a word.
func (t tier) broadcast(w word, d reg.VecVirtual) { t.op(VBROADCASTSS, VBROADCASTSD)(w.mem, d) }

// load returns an operand as a vec; that of a word is one register repeated.
func (t tier) load(v value) vec {
	w, ok := v.(word)
	if !ok {
		return v.(vec)
	}
	d, held := t.held[w]
	if !held {
		d = t.register()
		t.broadcast(w, d)
	}
	out := make(vec, t.unroll)
	for u := range out {
		out[u] = d
	}
	return out
}

// binary emits d = a∘b; in Go's assembly b comes first.
func (t tier) binary(plain, broadcast func(...Op), a, b value) vec {
	first := t.load(a)
	w, ok := t.inMemory(b)
	if !ok {
		second := t.load(b)
		return t.each(func(u int, d reg.VecVirtual) { plain(second[u], first[u], d) })
	}
	if t.wide {
		plain = broadcast
	}
	return t.each(func(u int, d reg.VecVirtual) { plain(w.mem, first[u], d) })
}

// inMemory returns v if it is a constant that can be a memory operand and is not
// held in a register.
func (t tier) inMemory(v value) (w word, ok bool) {
	w, ok = v.(word)
	if _, held := t.held[w]; held {
		return w, false
	}
	return w, ok && (t.wide || w.repeated)
}

// fma is a·b + c, rounded once. If c is a vec, its registers are overwritten with
// the result.
func (t tier) fma(a vec, b, c value) vec {
	return t.fused(t.op(VFMADD231PS, VFMADD231PD), t.op(VFMADD231PS_BCST, VFMADD231PD_BCST), a, b, c)
}

// fnma is c − a·b, rounded once; c is overwritten as by fma.
func (t tier) fnma(a vec, b, c value) vec {
	return t.fused(t.op(VFNMADD231PS, VFNMADD231PD), t.op(VFNMADD231PS_BCST, VFNMADD231PD_BCST), a, b, c)
}

func (t tier) fused(plain, broadcast func(...Op), a vec, b, c value) vec {
	into, isVec := c.(vec)
	if !isVec {
		into = t.fresh(c.(word))
	}
	if w, ok := t.inMemory(b); ok {
		if t.wide {
			plain = broadcast
		}
		for u := range into {
			plain(w.mem, a[u], into[u])
		}
		return into
	}
	second := t.load(b)
	for u := range into {
		plain(second[u], a[u], into[u])
	}
	return into
}

// fresh is a constant in registers that may be overwritten.
func (t tier) fresh(w word) vec {
	return t.each(func(_ int, d reg.VecVirtual) {
		if held, ok := t.held[w]; ok {
			VMOVAPS(held, d)
		} else {
			t.broadcast(w, d)
		}
	})
}

func (t tier) add(a, b value) vec {
	return t.binary(t.op(VADDPS, VADDPD), t.op(VADDPS_BCST, VADDPD_BCST), a, b)
}
func (t tier) sub(a, b value) vec {
	return t.binary(t.op(VSUBPS, VSUBPD), t.op(VSUBPS_BCST, VSUBPD_BCST), a, b)
}
func (t tier) mul(a, b value) vec {
	return t.binary(t.op(VMULPS, VMULPD), t.op(VMULPS_BCST, VMULPD_BCST), a, b)
}
func (t tier) div(a, b value) vec {
	return t.binary(t.op(VDIVPS, VDIVPD), t.op(VDIVPS_BCST, VDIVPD_BCST), a, b)
}
func (t tier) and(a, b value) vec {
	return t.binary(t.op(VANDPS, VANDPD), t.op(VANDPS_BCST, VANDPD_BCST), a, b)
}
func (t tier) or(a, b value) vec {
	return t.binary(t.op(VORPS, VORPD), t.op(VORPS_BCST, VORPD_BCST), a, b)
}
func (t tier) xor(a, b value) vec {
	return t.binary(t.op(VXORPS, VXORPD), t.op(VXORPS_BCST, VXORPD_BCST), a, b)
}

// max is a > b ? a : b, which is b if either is NaN.
func (t tier) max(a, b value) vec {
	return t.binary(t.op(VMAXPS, VMAXPD), t.op(VMAXPS_BCST, VMAXPD_BCST), a, b)
}

// min is a < b ? a : b, which is b if either is NaN.
func (t tier) min(a, b value) vec {
	return t.binary(t.op(VMINPS, VMINPD), t.op(VMINPS_BCST, VMINPD_BCST), a, b)
}

// blend is m ? yes : no.
func (t tier) blend(m mask, yes, no value) vec {
	base := t.load(no)
	w, isWord := t.inMemory(yes)
	var from vec
	if !isWord {
		from = t.load(yes)
	}
	wide, wideWord, narrow := x86.VBLENDMPS, x86.VBLENDMPS_BCST, VBLENDVPS
	if t.double {
		wide, wideWord, narrow = x86.VBLENDMPD, x86.VBLENDMPD_BCST, VBLENDVPD
	}
	return t.each(func(u int, d reg.VecVirtual) {
		switch {
		case t.wide && isWord:
			select512(wideWord, w.mem, base[u], m[u], d)
		case t.wide:
			select512(wide, from[u], base[u], m[u], d)
		case isWord:
			narrow(m[u], w.mem, base[u], d)
		default:
			narrow(m[u], from[u], base[u], d)
		}
	})
}

// select512 emits a blend by mask register. avo counts the destination of such an
// instruction among its inputs, which would keep a register live through the whole
// loop; here it is removed from them.
func select512(blend func(...Op) (*ir.Instruction, error), ops ...Op) {
	i, err := blend(ops...)
	if err != nil {
		panic(err)
	}
	i.Inputs = ops[:3]
	Instruction(i)
}

// masked is m ? v : 0.
func (t tier) masked(m mask, v value) vec {
	return t.each(func(u int, d reg.VecVirtual) { t.maskedOne(m, v, u, d) })
}

func (t tier) maskedOne(m mask, v value, u int, d reg.VecVirtual) {
	w, isWord := t.inMemory(v)
	switch {
	case t.wide && t.double && isWord:
		VBROADCASTSD_Z(w.mem, m[u], d)
	case t.wide && t.double:
		VMOVAPD_Z(t.load(v)[u], m[u], d)
	case t.wide && isWord:
		VBROADCASTSS_Z(w.mem, m[u], d)
	case t.wide:
		VMOVAPS_Z(t.load(v)[u], m[u], d)
	case isWord:
		VANDPS(w.mem, m[u], d)
	default:
		VANDPS(t.load(v)[u], m[u], d)
	}
}

// fmaWhere is m ? a·b + c : a. a is overwritten.
func (t tier) fmaWhere(m mask, a vec, b, c word) vec {
	if !t.wide {
		return t.blend(m, t.fma(a, b, c), a)
	}
	factor := t.load(b)
	for u := range a {
		if w, ok := t.inMemory(c); ok {
			t.op(VFMADD213PS_BCST, VFMADD213PD_BCST)(w.mem, factor[u], m[u], a[u])
		} else {
			t.op(VFMADD213PS, VFMADD213PD)(t.load(c)[u], factor[u], m[u], a[u])
		}
	}
	return a
}

// addWhere is m ? v + w : v, for a v that is not −0. v is overwritten.
func (t tier) addWhere(m mask, v vec, w word) vec {
	if !t.wide {
		return t.add(v, t.masked(m, w))
	}
	t.where(t.op(VADDPS, VADDPD), t.op(VADDPS_BCST, VADDPD_BCST), m, v, w)
	return v
}

// negateWhere is m ? −v : v, for a mask from a comparison. v is overwritten.
func (t tier) negateWhere(m mask, v vec) vec {
	if !t.wide {
		return t.xor(v, t.masked(m, t.signBit()))
	}
	t.where(t.op(VXORPS, VXORPD), t.op(VXORPS_BCST, VXORPD_BCST), m, v, t.signBit())
	return v
}

// where emits v = v∘w in the lanes of m, for AVX-512.
func (t tier) where(plain, broadcast func(...Op), m mask, v vec, w word) {
	for u := range v {
		if in, ok := t.inMemory(w); ok {
			broadcast(in.mem, v[u], m[u], v[u])
		} else {
			plain(t.load(w)[u], v[u], m[u], v[u])
		}
	}
}

// maskedAdd, maskedMul and maskedXor are m ? a∘b : 0, of float32. AVX-512 does that at no
// cost.
func (t tier) maskedAdd(m mask, a, b vec) vec {
	if !t.wide {
		return t.masked(m, t.add(a, b))
	}
	return t.each(func(u int, d reg.VecVirtual) { VADDPS_Z(b[u], a[u], m[u], d) })
}

func (t tier) maskedMul(m mask, a, b vec) vec {
	if !t.wide {
		return t.masked(m, t.mul(a, b))
	}
	return t.each(func(u int, d reg.VecVirtual) { VMULPS_Z(b[u], a[u], m[u], d) })
}

func (t tier) maskedXor(m mask, a vec, b word) vec {
	if !t.wide {
		return t.masked(m, t.xor(a, b))
	}
	if w, ok := t.inMemory(b); ok {
		return t.each(func(u int, d reg.VecVirtual) { VXORPS_BCST_Z(w.mem, a[u], m[u], d) })
	}
	with := t.load(b)
	return t.each(func(u int, d reg.VecVirtual) { VXORPS_Z(with[u], a[u], m[u], d) })
}

// withSign is v, which is not negative, with the sign of another vec. For AVX-512 v is
// overwritten.
func (t tier) withSign(v, sign vec) vec {
	if !t.wide {
		return t.or(v, t.and(sign, t.signBit()))
	}
	const orOfAnd = 0xf8 // v | sign & bit
	bit := t.signBit()
	for u := range v {
		if w, ok := t.inMemory(bit); ok {
			t.op(VPTERNLOGD_BCST, VPTERNLOGQ_BCST)(U8(orOfAnd), w.mem, sign[u], v[u])
		} else {
			t.op(VPTERNLOGD, VPTERNLOGQ)(U8(orOfAnd), t.load(bit)[u], sign[u], v[u])
		}
	}
	return v
}

// loadMasked loads m ? memory : 0.
func (t tier) loadMasked(m mask, at Mem) vec {
	return t.each(func(u int, d reg.VecVirtual) {
		switch {
		case t.wide && t.double:
			VMOVUPD_Z(at.Offset(u*t.bytes()), m[u], d)
		case t.wide:
			VMOVUPS_Z(at.Offset(u*t.bytes()), m[u], d)
		default:
			VANDPS(at.Offset(u*t.bytes()), m[u], d)
		}
	})
}

// loadWhere is m ? memory : v. v is overwritten.
func (t tier) loadWhere(m mask, at Mem, v vec) vec {
	if !t.wide {
		return t.blend(m, t.loadAt(at), v)
	}
	for u := range v {
		t.op(VMOVUPS, VMOVUPD)(at.Offset(u*t.bytes()), m[u], v[u])
	}
	return v
}

// loadAt loads from memory.
func (t tier) loadAt(at Mem) vec {
	return t.each(func(u int, d reg.VecVirtual) { VMOVUPS(at.Offset(u*t.bytes()), d) })
}

// signs is the mask of the lanes that have the sign bit set.
func (t tier) signs(v vec) mask {
	out := make(mask, t.unroll)
	for u := range out {
		out[u] = v[u]
		if t.wide {
			out[u] = K()
			if t.double {
				VPMOVQ2M(v[u], out[u])
			} else {
				VPMOVD2M(v[u], out[u])
			}
		}
	}
	return out
}

// Predicates of comparisons, quiet.
const (
	equal          = 0x00 // ordered
	notEqual       = 0x04 // or unordered
	greaterOrEqual = 0x1d // ordered
	greaterThan    = 0x1e // ordered
	atMost         = 0x12 // ordered
	notLess        = 0x15 // or unordered
	notAtLeast     = 0x19 // or unordered
	notAtMost      = 0x16 // or unordered
	notGreater     = 0x1a // or unordered

	greaterThanInteger = 0x06
)

// atLeast is the mask a ≥ b.
func (t tier) atLeast(a vec, b word) mask { return t.compare(greaterOrEqual, a, b) }

// compare is the mask of a comparison of a with b.
func (t tier) compare(predicate uint8, a vec, b value) mask {
	single, double := VCMPPS, VCMPPD
	w, inMemory := t.inMemory(b)
	if inMemory {
		if t.wide {
			single, double = VCMPPS_BCST, VCMPPD_BCST
		}
		return t.eachMask(func(u int, k reg.Register) { t.op(single, double)(U8(predicate), w.mem, a[u], k) })
	}
	with := t.load(b)
	return t.eachMask(func(u int, k reg.Register) { t.op(single, double)(U8(predicate), with[u], a[u], k) })
}

// jumpIfAll jumps to a label if every lane of m is set.
func (t tier) jumpIfAll(m mask, label string) {
	if t.wide {
		all := m[0]
		for _, k := range m[1:] {
			both := K()
			KANDW(k, all, both)
			all = both
		}
		KORTESTW(all, all) // sets the carry flag if all bits are set
		JCS(LabelRef(label))
		return
	}
	all := GP32()
	VMOVMSKPS(m[0], all)
	for _, v := range m[1:] {
		more := GP32()
		VMOVMSKPS(v, more)
		ANDL(more, all)
	}
	CMPL(all, Imm(1<<8-1))
	JEQ(LabelRef(label))
}

// jumpIfNone jumps to a label if no lane of m is set. Only AVX-512 does; elsewhere it
// would cost what it saves.
func (t tier) jumpIfNone(m mask, label string) {
	if !t.wide {
		return
	}
	any := m[0]
	for _, k := range m[1 : len(m)-1] {
		either := K()
		KORW(k, any, either)
		any = either
	}
	KORTESTW(m[len(m)-1], any)
	JEQ(LabelRef(label))
}

// labelBytes are the classes of consecutive voxels and the two that they are
// compared with. AVX-512 compares bytes in memory; AVX2 widens them first.
type labelBytes struct {
	at          Mem
	class, none reg.VecVirtual // AVX-512: the positive class and noClass in every byte
	word        word           // the positive class
	wide        vec            // AVX2: the labels as integers
}

func (t tier) labelBytes(at Mem, class word) labelBytes {
	l := labelBytes{at: at, word: class}
	if t.wide {
		l.class, l.none = XMM(), XMM()
		VPBROADCASTB(class.mem, l.class)
		VPBROADCASTB(litBits(kernel.NoClass).mem, l.none)
	}
	return l
}

// read loads and widens the labels for AVX2.
func (t tier) read(l labelBytes) labelBytes {
	if !t.wide {
		l.wide = t.labels(l.at)
	}
	return l
}

// isValid is the mask of the lanes that have a class.
func (t tier) isValid(l labelBytes) mask {
	if !t.wide {
		limit := t.load(litBits(kernel.NoClass))
		return t.eachMask(func(u int, k reg.Register) { VPCMPGTD(l.wide[u], limit[u], k) })
	}
	return t.eachMask(func(u int, k reg.Register) { VPCMPB(U8(notEqual), l.at.Offset(16*u), l.none, k) })
}

// isPositive is the mask of the lanes of the positive class.
func (t tier) isPositive(l labelBytes) mask {
	if !t.wide {
		return t.isClass(l.wide, l.word)
	}
	return t.eachMask(func(u int, k reg.Register) { VPCMPEQB(l.at.Offset(16*u), l.class, k) })
}

// labels loads classes of consecutive voxels as 32-bit integers.
func (t tier) labels(at Mem) vec {
	return t.each(func(u int, d reg.VecVirtual) { VPMOVZXBD(at.Offset(u*t.bytes()/4), d) })
}

// isClass is the mask of the lanes that equal an integer.
func (t tier) isClass(labels vec, class word) mask {
	if t.wide {
		return t.eachMask(func(u int, k reg.Register) { VPCMPEQD_BCST(class.mem, labels[u], k) })
	}
	want := t.load(class)
	return t.eachMask(func(u int, k reg.Register) { VPCMPEQD(want[u], labels[u], k) })
}

// without is a and not b, for b a subset of a.
func (t tier) without(a, b mask) mask {
	return t.eachMask(func(u int, k reg.Register) {
		if t.wide {
			KXORW(a[u], b[u], k)
		} else {
			VXORPS(a[u], b[u], k)
		}
	})
}

// both is the mask of the lanes of a and b.
func (t tier) both(a, b mask) mask {
	return t.eachMask(func(u int, k reg.Register) {
		if t.wide {
			KANDW(a[u], b[u], k)
		} else {
			VANDPS(a[u], b[u], k)
		}
	})
}

// round is the nearest whole number, ties to even.
func (t tier) round(v vec) vec {
	return t.each(func(u int, d reg.VecVirtual) {
		switch {
		case t.wide:
			t.op(VRNDSCALEPS, VRNDSCALEPD)(U8(0), v[u], d)
		case t.double:
			VROUNDPD(U8(0), v[u], d)
		default:
			VROUNDPS(U8(0), v[u], d)
		}
	})
}

// scale is v·2ⁿ for a whole number n, rounded once.
func (t tier) scale(v, n vec) vec {
	if t.wide {
		return t.each(func(u int, d reg.VecVirtual) { t.op(VSCALEFPS, VSCALEFPD)(n[u], v[u], d) })
	}
	if t.double {
		const down = 1
		half := t.mul(n, t.lit(0.5))
		half = t.each(func(u int, d reg.VecVirtual) { VROUNDPD(U8(down), half[u], d) })
		rest := t.sub(n, half)
		return t.mul(t.mul(v, t.powerOfTwo(half)), t.powerOfTwo(rest))
	}
	k := t.each(func(u int, d reg.VecVirtual) { VCVTPS2DQ(n[u], d) })
	half := t.each(func(u int, d reg.VecVirtual) { VPSRAD(U8(1), k[u], d) })
	rest := t.each(func(u int, d reg.VecVirtual) { VPSUBD(half[u], k[u], d) })
	return t.mul(t.mul(v, t.powerOfTwo(half)), t.powerOfTwo(rest))
}

// powerOfTwo is 2ⁿ for a whole number n, an integer, or a float64 if double is set.
func (t tier) powerOfTwo(n vec) vec {
	if t.double {
		// Adding 1.5·2⁵² leaves the whole number in the low bits.
		biased := t.add(n, t.lit(3<<51+1023))
		return t.each(func(u int, d reg.VecVirtual) { VPSLLQ(U8(52), biased[u], d) })
	}
	return t.each(func(u int, d reg.VecVirtual) {
		VPADDD(litBits(127).mem, n[u], d)
		VPSLLD(U8(23), d, d)
	})
}

// store writes a vec, with non-temporal stores if stream is set.
func (t tier) store(v vec, at Mem, stream bool) {
	move := VMOVUPS
	if stream {
		move = func(ops ...Op) { VMOVNTPS(ops[0], ops[1]) }
	}
	for u := range v {
		move(v[u], at.Offset(u*t.bytes()))
	}
}

// storeBy writes a vec, with non-temporal stores if the byte at flag is set.
func (t tier) storeBy(flag Mem, label string, v vec, at Mem) {
	if t.plain {
		t.store(v, at, false)
		return
	}
	CMPB(flag, Imm(0))
	JNE(LabelRef(label + "Past"))
	t.store(v, at, false)
	JMP(LabelRef(label + "Stored"))
	Label(label + "Past")
	t.store(v, at, true)
	Label(label + "Stored")
}

// sums are running sums of 16 lanes each: in registers for AVX-512, on the stack
// for AVX2.
type sums struct {
	t      tier
	regs   []reg.VecVirtual
	memory Mem
	half   reg.GPVirtual // AVX2: byte offset of the current 8 lanes, 0 or 32
}

func (t tier) newSums(n int, half reg.GPVirtual) *sums {
	s := &sums{t: t, half: half}
	if n == 0 {
		return s
	}
	if t.wide {
		for range n {
			v := t.register()
			VBROADCASTSS(lit(0).mem, v)
			s.regs = append(s.regs, v)
		}
		return s
	}
	s.memory = AllocLocal(64 * n)
	zero := t.register()
	VXORPS(zero, zero, zero)
	for i := range 2 * n {
		VMOVUPS(zero, s.memory.Offset(32*i))
	}
	return s
}

// add adds v to sum i in the lanes of m, one register after the other.
func (s *sums) add(i int, m mask, v value) {
	for u := range s.t.unroll {
		if s.t.wide {
			if w, ok := v.(word); ok {
				VADDPS_BCST(w.mem, s.regs[i], m[u], s.regs[i])
			} else {
				VADDPS(v.(vec)[u], s.regs[i], m[u], s.regs[i])
			}
			continue
		}
		at := s.memory.Offset(64*i).Idx(s.half, 1)
		d := s.t.register()
		s.t.maskedOne(m, v, u, d)
		VADDPS(at, d, d)
		VMOVUPS(d, at)
	}
}

// fma adds a·b to sum i in the lanes of m, one register after the other.
func (s *sums) fma(i int, m mask, a, b vec) {
	for u := range s.t.unroll {
		if s.t.wide {
			VFMADD231PS(a[u], b[u], m[u], s.regs[i])
			continue
		}
		// Both factors, as the other one may be infinite or NaN.
		at := s.memory.Offset(64*i).Idx(s.half, 1)
		d, e, sum := s.t.register(), s.t.register(), s.t.register()
		s.t.maskedOne(m, a, u, d)
		s.t.maskedOne(m, b, u, e)
		VMOVUPS(at, sum)
		VFMADD231PS(d, e, sum)
		VMOVUPS(sum, at)
	}
}

// fmaAll adds a·b to sum i in all lanes.
func (s *sums) fmaAll(i int, a, b vec) {
	for u := range s.t.unroll {
		if s.t.wide {
			VFMADD231PS(a[u], b[u], s.regs[i])
			continue
		}
		at, sum := s.memory.Offset(64*i).Idx(s.half, 1), s.t.register()
		VMOVUPS(at, sum)
		VFMADD231PS(a[u], b[u], sum)
		VMOVUPS(sum, at)
	}
}

// flush adds the lanes of sum i to 16 float64 numbers in memory.
func (s *sums) flush(i int, at Mem) {
	if s.t.wide {
		high := YMM()
		VEXTRACTF64X4(U8(1), s.regs[i], high)
		for h, part := range []Op{s.regs[i].AsY(), high} {
			d := ZMM()
			VCVTPS2PD(part, d)
			VADDPD(at.Offset(64*h), d, d)
			VMOVUPD(d, at.Offset(64*h))
		}
		return
	}
	for q := range 4 {
		d := YMM()
		VCVTPS2PD(s.memory.Offset(64*i+16*q), d)
		VADDPD(at.Offset(32*q), d, d)
		VMOVUPD(d, at.Offset(32*q))
	}
}

// greater is the mask a > b.
func (t tier) greater(a vec, b value) mask { return t.compare(greaterThan, a, b) }

// equalInts is the mask of the lanes with equal integers.
func (t tier) equalInts(a, b vec) mask {
	return t.eachMask(func(u int, k reg.Register) { VPCMPEQD(a[u], b[u], k) })
}

// isNotClass is the mask of the lanes that differ from an integer.
func (t tier) isNotClass(labels vec, class word) mask {
	if t.wide {
		return t.eachMask(func(u int, k reg.Register) { VPCMPD_BCST(U8(notEqual), class.mem, labels[u], k) })
	}
	is := t.isClass(labels, class)
	return t.eachMask(func(u int, k reg.Register) { VXORPS(litBits(1<<32-1).mem, is[u], k) })
}

// split returns f in [−¼, ½] and k with x = (1+f)·2ᵏ.
func (t tier) split(x vec) (f, k vec) {
	if t.double {
		return t.split64(x)
	}
	const threeQuarters = 0x3f400000
	sub := func(b word, a vec) vec {
		if !t.wide {
			return t.each(func(u int, d reg.VecVirtual) { VPSUBD(b.mem, a[u], d) })
		}
		return t.each(func(u int, d reg.VecVirtual) { VPSUBD_BCST(b.mem, a[u], d) })
	}
	exponent := sub(litBits(threeQuarters), x)
	exponent = t.each(func(u int, d reg.VecVirtual) { VPSRAD(U8(23), exponent[u], d) })
	shifted := t.each(func(u int, d reg.VecVirtual) { VPSLLD(U8(23), exponent[u], d) })
	mantissa := t.each(func(u int, d reg.VecVirtual) { VPSUBD(shifted[u], x[u], d) })
	k = t.each(func(u int, d reg.VecVirtual) { VCVTDQ2PS(exponent[u], d) })
	return t.sub(mantissa, lit(1)), k
}

// split64 is split for float64. AVX2 has no arithmetic shift of 64-bit integers, so the
// exponent keeps its bias until it is a float64.
func (t tier) split64(x vec) (f, k vec) {
	const (
		one      = 1023 << 52
		aQuarter = 1 << 51 // the bits of 1 less those of ¾
		twoTo52  = (1023 + 52) << 52
		unbiased = 1<<52 + 1023
	)
	integer := func(plain, broadcast func(...Op), a vec, b uint64) vec {
		return t.binary(plain, broadcast, a, t.litBits(b))
	}
	biased := integer(VPADDQ, VPADDQ_BCST, x, aQuarter)
	biased = t.each(func(u int, d reg.VecVirtual) { VPSRLQ(U8(52), biased[u], d) })
	shifted := t.each(func(u int, d reg.VecVirtual) { VPSLLQ(U8(52), biased[u], d) })
	mantissa := t.each(func(u int, d reg.VecVirtual) { VPSUBQ(shifted[u], x[u], d) })
	mantissa = integer(VPADDQ, VPADDQ_BCST, mantissa, one)
	k = t.sub(t.or(biased, t.litBits(twoTo52)), t.lit(unbiased))
	return t.sub(mantissa, t.lit(1)), k
}
