package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tier is an instruction set. Its methods emit one operation on a vector of
// float32 and return the register of the result. A product is never fused with
// a sum, so that all tiers and the plain Go kernels round alike.
type tier struct {
	name string
	wide bool // AVX-512: 16 lanes and mask registers; else AVX2: 8 lanes
}

var tiers = []tier{{"AVX512", true}, {"AVX2", false}}

type vec = reg.VecVirtual

// mask is a predicate by lane: a mask register, or a vector of which each lane's
// top bit counts.
type mask = reg.Register

// word is a 4-byte constant in memory, the same for every lane.
type word struct {
	mem      Mem
	repeated bool // eight times in a row, for AVX2 to use in place
}

// lit is a float32 constant, litBits one by its bits.
func lit(v float32) word { return litBits(math.Float32bits(v)) }

func litBits(bits uint32) word {
	at, known := constants.at[bits]
	if !known {
		at = len(constants.list)
		constants.at[bits] = at
		constants.list = append(constants.list, bits)
	}
	return word{NewDataAddr(Symbol{Name: "constants", Static: true}, at*32), true}
}

var constants = struct {
	at   map[uint32]int
	list []uint32
}{at: map[uint32]int{}}

func emitConstants() {
	GLOBL("constants", RODATA|NOPTR)
	for i, bits := range constants.list {
		for lane := range 8 {
			DATA(32*i+4*lane, U32(bits))
		}
	}
}

func (t tier) new() vec {
	if t.wide {
		return ZMM()
	}
	return YMM()
}

func (t tier) newMask() mask {
	if t.wide {
		return K()
	}
	return YMM()
}

// bytes is the size of a vector.
func (t tier) bytes() int {
	if t.wide {
		return 64
	}
	return 32
}

// load returns a register that holds an operand in every lane.
func (t tier) load(o Op) vec {
	w, ok := o.(word)
	if !ok {
		return o.(vec)
	}
	d := t.new()
	VBROADCASTSS(w.mem, d)
	return d
}

func (w word) Asm() string { return w.mem.Asm() }

// binary emits d = a∘b. Assembly lists b first.
func (t tier) binary(plain, broadcast func(...Op), a, b Op) vec {
	first := t.load(a)
	d := t.new()
	w, ok := b.(word)
	switch {
	case !ok:
		plain(b, first, d)
	case t.wide:
		broadcast(w.mem, first, d)
	case w.repeated:
		plain(w.mem, first, d)
	default:
		plain(t.load(b), first, d)
	}
	return d
}

func (t tier) add(a, b Op) vec { return t.binary(VADDPS, VADDPS_BCST, a, b) }
func (t tier) sub(a, b Op) vec { return t.binary(VSUBPS, VSUBPS_BCST, a, b) }
func (t tier) mul(a, b Op) vec { return t.binary(VMULPS, VMULPS_BCST, a, b) }
func (t tier) div(a, b Op) vec { return t.binary(VDIVPS, VDIVPS_BCST, a, b) }
func (t tier) or(a, b Op) vec  { return t.binary(VORPS, VORPS_BCST, a, b) }
func (t tier) xor(a, b Op) vec { return t.binary(VXORPS, VXORPS_BCST, a, b) }

// max is a > b ? a : b, so b where one is NaN.
func (t tier) max(a, b Op) vec { return t.binary(VMAXPS, VMAXPS_BCST, a, b) }

// min is a < b ? a : b, so b where one is NaN.
func (t tier) min(a, b Op) vec { return t.binary(VMINPS, VMINPS_BCST, a, b) }

// blend is m ? yes : no.
func (t tier) blend(m mask, yes, no Op) vec {
	base := t.load(no)
	d := t.new()
	w, isWord := yes.(word)
	switch {
	case t.wide && isWord:
		VBLENDMPS_BCST(w.mem, base, m, d)
	case t.wide:
		VBLENDMPS(yes, base, m, d)
	case isWord && w.repeated:
		VBLENDVPS(m, w.mem, base, d)
	default:
		VBLENDVPS(m, t.load(yes), base, d)
	}
	return d
}

// keep is m ? v : 0.
func (t tier) keep(m mask, v Op) vec {
	d := t.new()
	w, isWord := v.(word)
	switch {
	case t.wide && isWord:
		VBROADCASTSS_Z(w.mem, m, d)
	case t.wide:
		VMOVAPS_Z(v, m, d)
	case isWord && w.repeated:
		VANDPS(w.mem, m.(vec), d)
	default:
		VANDPS(t.load(v), m.(vec), d)
	}
	return d
}

// keepAt loads m ? memory : 0.
func (t tier) keepAt(m mask, at Mem) vec {
	d := t.new()
	if t.wide {
		VMOVUPS_Z(at, m, d)
	} else {
		VANDPS(at, m.(vec), d)
	}
	return d
}

// signs is the mask of the lanes whose sign bit is set.
func (t tier) signs(v vec) mask {
	if !t.wide {
		return v
	}
	k := t.newMask()
	VPMOVD2M(v, k)
	return k
}

// atLeast is the mask a ≥ b.
func (t tier) atLeast(a vec, b word) mask {
	const greaterOrEqual = 0x1d // ordered, quiet
	k := t.newMask()
	if t.wide {
		VCMPPS_BCST(U8(greaterOrEqual), b.mem, a, k)
	} else {
		VCMPPS(U8(greaterOrEqual), b.mem, a, k)
	}
	return k
}

// labels loads classes of consecutive voxels as 32-bit integers.
func (t tier) labels(at Mem) vec {
	d := t.new()
	VPMOVZXBD(at, d)
	return d
}

// isClass is the mask of the lanes that equal an integer.
func (t tier) isClass(labels vec, class word) mask {
	k := t.newMask()
	if t.wide {
		VPCMPEQD_BCST(class.mem, labels, k)
	} else {
		VPCMPEQD(t.load(class), labels, k)
	}
	return k
}

// isBelow is the mask of the lanes below an integer.
func (t tier) isBelow(labels vec, limit word) mask {
	k := t.newMask()
	if t.wide {
		const lessThan = 1
		VPCMPD_BCST(U8(lessThan), limit.mem, labels, k)
	} else {
		VPCMPGTD(labels, t.load(limit), k)
	}
	return k
}

// round is the nearest whole number, of two the even one.
func (t tier) round(v vec) vec {
	d := t.new()
	if t.wide {
		VRNDSCALEPS(U8(0), v, d)
	} else {
		VROUNDPS(U8(0), v, d)
	}
	return d
}

// scale is v·2ⁿ for a whole number n, rounded once.
func (t tier) scale(v, n vec) vec {
	if t.wide {
		d := t.new()
		VSCALEFPS(n, v, d)
		return d
	}
	k, half := t.new(), t.new()
	VCVTPS2DQ(n, k)
	VPSRAD(U8(1), k, half)
	rest := t.new()
	VPSUBD(half, k, rest)
	return t.mul(t.mul(v, t.powerOfTwo(half)), t.powerOfTwo(rest))
}

func (t tier) powerOfTwo(n vec) vec {
	d := t.new()
	VPADDD(litBits(127).mem, n, d)
	VPSLLD(U8(23), d, d)
	return d
}

// sums are running sums by lane: in registers where there are plenty, else on
// the stack, 16 lanes each.
type sums struct {
	t      tier
	regs   []vec
	memory Mem
	half   reg.GPVirtual // byte offset of the half that AVX2 is at
}

func (t tier) newSums(n int, half reg.GPVirtual) *sums {
	s := &sums{t: t, half: half}
	if n == 0 {
		return s
	}
	if t.wide {
		for range n {
			v := t.new()
			VPXORD(v, v, v)
			s.regs = append(s.regs, v)
		}
		return s
	}
	s.memory = AllocLocal(64 * n)
	zero := t.new()
	VXORPS(zero, zero, zero)
	for i := range 2 * n {
		VMOVUPS(zero, s.memory.Offset(32*i))
	}
	return s
}

// add adds v to sum i in the lanes of m.
func (s *sums) add(i int, m mask, v Op) {
	if s.t.wide {
		if w, ok := v.(word); ok {
			VADDPS_BCST(w.mem, s.regs[i], m, s.regs[i])
		} else {
			VADDPS(v, s.regs[i], m, s.regs[i])
		}
		return
	}
	at := s.memory.Offset(64*i).Idx(s.half, 1)
	d := s.t.keep(m, v)
	VADDPS(at, d, d)
	VMOVUPS(d, at)
}

// flush adds sum i to 16 float64 lanes in memory.
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

// without is a and not b, where b lies within a.
func (t tier) without(a, b mask) mask {
	d := t.newMask()
	if t.wide {
		KXORW(a, b, d)
	} else {
		VXORPS(a, b, d)
	}
	return d
}
