package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A NEON routine is described like the AVX2 one, as instructions on virtual
// registers. They are lowered one by one: a vector of 8 lanes becomes two of 4.

// A register of a lowered routine: a vector or a general one, not yet allocated.
type register int

const none register = -1

// step is an instruction of arm64, a label, or both a label and nothing else.
type step struct {
	label    string
	defs     []register
	uses     []register // those of defs that are read first are here too
	moves    bool       // copies uses[0] to defs[0]
	constant int        // 1 + the offset in the table that defs[0] is loaded from, or 0
	target   string     // of a jump
	ends     bool       // does not go on to the next step
	// text is the instruction; r gives the numbers of allocated registers.
	text func(r func(register) int) string
}

// lowering lowers one routine.
type lowering struct {
	name    string
	steps   []step
	vectors []bool // by register: whether it is a vector
	// general, low and high are the registers of avo's.
	general   map[reg.ID]register
	low, high map[reg.ID]register
	writes    map[reg.ID]int       // instructions that write it
	whole     map[reg.ID]bool      // a mask whose lanes are all ones or all zeros
	addresses map[indexed]register // base + index·scale, in this basic block
	loaded    map[int]register     // constants, in this basic block, by their offset
	number    map[reg.ID]bool      // a broadcast constant that is neither 0 nor NaN
	table     register             // address of the constants
	locals    register             // address of the local variables
	localSize int
}

// The table of constants begins with the weights that collect the sign bits of 16 bytes
// of 8 words and of 4 double words.
const (
	byteWeights   = 0
	wordWeights   = 16
	doubleWeights = 48
	firstConstant = 80
)

// indexed is an address of two registers.
type indexed struct {
	base, index register
	scale       uint8
}

// lower lowers a routine.
func lower(f *ir.Function) *lowering {
	l := &lowering{name: f.Name, general: map[reg.ID]register{}, low: map[reg.ID]register{}, high: map[reg.ID]register{},
		writes: map[reg.ID]int{}, whole: map[reg.ID]bool{}, addresses: map[indexed]register{}, loaded: map[int]register{}, number: map[reg.ID]bool{}, localSize: f.LocalSize}
	for _, i := range f.Instructions() {
		for _, r := range i.OutputRegisters() {
			l.writes[r.ID()]++
		}
	}
	for _, i := range f.Instructions() {
		if len(i.Operands) == 0 {
			continue
		}
		d, isRegister := i.Operands[len(i.Operands)-1].(reg.Register)
		if !isRegister {
			continue
		}
		switch i.Opcode {
		case "VCMPPS", "VCMPPD", "VPCMPEQD", "VPCMPGTD", "VPCMPEQB", "VPCMPEQQ":
			l.whole[d.ID()] = l.writes[d.ID()] == 1
		case "VXORPS", "VXORPD": // of two masks, or a mask and ones
			a, _ := i.Operands[0].(reg.Register)
			b, _ := i.Operands[1].(reg.Register)
			_, isMem := i.Operands[0].(operand.Mem)
			l.whole[d.ID()] = l.writes[d.ID()] == 1 && b != nil && l.whole[b.ID()] && (isMem || a != nil && l.whole[a.ID()])
		}
	}
	l.table, l.locals = l.newGeneral(), l.newGeneral()
	for _, n := range f.Nodes {
		switch n := n.(type) {
		case ir.Label:
			clear(l.addresses)
			clear(l.loaded)
			l.emit(step{label: string(n)})
		case *ir.Instruction:
			l.instruction(n)
		}
	}
	l.first(l.table, "MOVD $constants<>(SB), R%d")
	l.first(l.locals, "ADD $16, RSP, R%d")
	return l
}

// first sets a register at the start of the routine, if it is used.
func (l *lowering) first(d register, format string) {
	for _, s := range l.steps {
		if slices.Contains(s.uses, d) {
			l.steps = slices.Insert(l.steps, 0, step{defs: []register{d}, text: func(r func(register) int) string {
				return fmt.Sprintf(format, r(d))
			}})
			return
		}
	}
}

func (l *lowering) emit(s step) {
	l.steps = append(l.steps, s)
	for _, d := range s.defs {
		for k := range l.addresses {
			if k.base == d || k.index == d {
				delete(l.addresses, k)
			}
		}
	}
	if s.target != "" {
		clear(l.addresses)
		clear(l.loaded)
	}
}

func (l *lowering) newGeneral() register {
	l.vectors = append(l.vectors, false)
	return register(len(l.vectors) - 1)
}

func (l *lowering) newVector() register {
	l.vectors = append(l.vectors, true)
	return register(len(l.vectors) - 1)
}

func (l *lowering) gp(r reg.Register) register {
	g, ok := l.general[r.ID()]
	if !ok {
		g = l.newGeneral()
		l.general[r.ID()] = g
	}
	return g
}

// pair returns the registers of 8 lanes.
func (l *lowering) pair(r reg.Register) [2]register {
	id := r.ID()
	if _, ok := l.low[id]; !ok {
		l.low[id], l.high[id] = l.newVector(), l.newVector()
	}
	return [2]register{l.low[id], l.high[id]}
}

// plainText emits an instruction of general registers, in Go's syntax: %d stands for
// a register's number, of defs and then of uses.
func (l *lowering) plainText(format string, defs, uses []register) {
	all := append(append([]register{}, defs...), uses...)
	l.emit(step{defs: defs, uses: uses, text: func(r func(register) int) string {
		numbers := make([]any, len(all))
		for i, v := range all {
			numbers[i] = r(v)
		}
		return fmt.Sprintf(format, numbers...)
	}})
}

// coded emits an encoded instruction.
func (l *lowering) coded(s step, encode func(r func(register) int) word32) {
	s.text = func(r func(register) int) string {
		return encode(r).text()
	}
	l.emit(s)
}

// op emits an instruction of vectors.
func (l *lowering) op(f form, d, n, m register) {
	s := step{defs: []register{d}, uses: []register{n}}
	if m != none {
		s.uses = append(s.uses, m)
	}
	if f.accumulates {
		s.uses = append(s.uses, d)
	}
	l.coded(s, func(r func(register) int) word32 {
		if m == none {
			return f.encode(r(d), r(n), 0)
		}
		return f.encode(r(d), r(n), r(m))
	})
}

func (l *lowering) move(d, n register) {
	l.coded(step{defs: []register{d}, uses: []register{n}, moves: true}, func(r func(register) int) word32 { return encodeMove(r(d), r(n)) })
}

func (l *lowering) shift(encode func(d, n, by int) word32, d, n register, by int) {
	l.coded(step{defs: []register{d}, uses: []register{n}}, func(r func(register) int) word32 { return encode(r(d), r(n), by) })
}

// at returns a register and an offset that make up an address; align is that of the
// offset, and of an offset to come.
func (l *lowering) at(m operand.Mem, align int) (base register, offset int) {
	switch m.Base {
	case reg.StaticBase:
		return l.table, firstConstant + m.Disp/2 // amd64's table holds each eight times
	case reg.StackPointer:
		base = l.locals
	default:
		base = l.gp(m.Base)
	}
	if m.Index != nil && m.Scale != 0 {
		k := indexed{base, l.gp(m.Index), m.Scale}
		sum, ok := l.addresses[k]
		if !ok {
			sum = l.newGeneral()
			shift := map[uint8]int{1: 0, 4: 2, 8: 3}[m.Scale]
			l.plainText(fmt.Sprintf("ADD R%%[3]d<<%d, R%%[2]d, R%%[1]d", shift), []register{sum}, []register{k.base, k.index})
			l.addresses[k] = sum
		}
		base = sum
	}
	if m.Disp < 0 || m.Disp%align != 0 || m.Disp > largestOffset-64 {
		panic(fmt.Sprintf("%s: address %s", l.name, m.Asm()))
	}
	return base, m.Disp
}

// exact returns a register that holds an address.
func (l *lowering) exact(m operand.Mem) register {
	base, offset := l.at(m, 1)
	if offset == 0 {
		return base
	}
	d := l.newGeneral()
	l.plainText(fmt.Sprintf("ADD $%d, R%%[2]d, R%%[1]d", offset), []register{d}, []register{base})
	return d
}

func (l *lowering) load(d, base register, offset int) {
	s := step{defs: []register{d}, uses: []register{base}}
	if base == l.table {
		s.constant = 1 + offset
	}
	l.coded(s, func(r func(register) int) word32 { return encodeLoad(r(d), r(base), offset) })
}

func (l *lowering) store(d, base register, offset int) {
	l.coded(step{uses: []register{d, base}}, func(r func(register) int) word32 { return encodeStore(r(d), r(base), offset) })
}

// operand returns an operand as two vectors; memory is loaded.
func (l *lowering) operand(o operand.Op) [2]register {
	m, ok := o.(operand.Mem)
	if !ok {
		return l.pair(o.(reg.Register))
	}
	base, offset := l.at(m, 16)
	if m.Base == reg.StaticBase {
		v, ok := l.loaded[offset]
		if !ok {
			v = l.newVector()
			l.load(v, base, offset)
			l.loaded[offset] = v
		}
		return [2]register{v, v}
	}
	v, high := l.newVector(), l.newVector()
	l.load(v, base, offset)
	l.load(high, base, offset+16)
	return [2]register{v, high}
}

// broadcast loads a word, or a byte, into every lane.
func (l *lowering) broadcast(o operand.Op, d reg.Register, encode func(d, base int) word32) {
	m := o.(operand.Mem)
	if l.writes[d.ID()] == 1 { // both halves are one register
		if _, ok := l.low[d.ID()]; !ok {
			v := l.newVector()
			l.low[d.ID()], l.high[d.ID()] = v, v
		}
	}
	to := l.pair(d)
	halves := to[:]
	if to[0] == to[1] {
		halves = to[:1]
	}
	if m.Base == reg.StaticBase {
		base, offset := l.at(m, 16)
		for _, v := range halves {
			l.load(v, base, offset)
		}
		constant := constants.list[(offset-firstConstant)/16].float64()
		l.number[d.ID()] = l.writes[d.ID()] == 1 && !math.IsNaN(constant) && constant != 0
		return
	}
	if m.Base == reg.FramePointer { // a byte
		value := l.newGeneral()
		l.plainText("MOVBU "+parameterName(m)+", R%d", []register{value}, nil)
		for _, v := range halves {
			l.coded(step{defs: []register{v}, uses: []register{value}}, func(r func(register) int) word32 { return encodeCopyByte(r(v), r(value)) })
		}
		return
	}
	base := l.exact(m)
	for _, v := range halves {
		l.coded(step{defs: []register{v}, uses: []register{base}}, func(r func(register) int) word32 { return encode(r(v), r(base)) })
	}
}

// parameterName returns how Go's assembler writes a parameter.
func parameterName(m operand.Mem) string {
	return fmt.Sprintf("%s+%d(FP)", m.Symbol.Name, m.Disp)
}

// value returns a general operand in a register.
func (l *lowering) value(o operand.Op) register {
	switch o := o.(type) {
	case operand.Mem:
		d := l.newGeneral()
		l.plainText("MOVD "+parameterName(o)+", R%d", []register{d}, nil)
		return d
	case reg.Register:
		return l.gp(o)
	}
	panic(fmt.Sprintf("%s: operand %s", l.name, o.Asm()))
}

// immediate returns a constant operand.
func immediate(o operand.Op) (int, bool) {
	switch o := o.(type) {
	case operand.U8:
		return int(o), true
	case operand.U32:
		return int(o), true
	case operand.U64:
		return int(o), true
	case operand.I32:
		return int(o), true
	}
	return 0, false
}

// straight are the instructions of two operands and a result that have a counterpart.
// Go's assembly for amd64 names the second operand first.
var straight = map[string]form{
	"VADDPS": fadd, "VSUBPS": fsub, "VMULPS": fmul, "VDIVPS": fdiv,
	"VADDPD": fadd.double(), "VSUBPD": fsub.double(), "VMULPD": fmul.double(), "VDIVPD": fdiv.double(),
	"VANDPS": and, "VORPS": orr, "VXORPS": eor, "VPOR": orr, "VANDPD": and, "VORPD": orr, "VXORPD": eor,
	"VPCMPGTD": cmgt, "VPCMPEQD": cmeq, "VPCMPEQB": cmeqByte, "VPADDD": add, "VPSUBD": sub,
	"VPCMPEQQ": cmeqTwo, "VPADDQ": addTwo, "VPSUBQ": subTwo,
	"VPMINUB": uminByte, "VPMAXUB": umaxByte, "VPMAXUD": umax,
}

// unary are those of one operand.
var unary = map[string]form{"VCVTPS2DQ": fcvtns, "VCVTDQ2PS": scvtf, "VSQRTPS": fsqrt, "VSQRTPD": fsqrtTwo}

// comparisons are the predicates of comparisons, in terms of those that arm64 has.
var comparisons = map[int]struct {
	form             form
	swapped, negated bool
}{
	equal:          {form: fcmeq},
	notEqual:       {form: fcmeq, negated: true},
	greaterThan:    {form: fcmgt},
	greaterOrEqual: {form: fcmge},
	notLess:        {form: fcmgt, swapped: true, negated: true},
	notAtLeast:     {form: fcmge, negated: true},
	atMost:         {form: fcmge, swapped: true},
	notAtMost:      {form: fcmge, swapped: true, negated: true},
}

var jumps = map[string]string{"JZ": "BEQ", "JE": "BEQ", "JL": "BLT", "JLE": "BLE", "JNZ": "BNE", "JNE": "BNE", "JEQ": "BEQ", "JMP": "B"}

// instruction lowers an instruction.
func (l *lowering) instruction(i *ir.Instruction) {
	o := i.Operands
	at := func(k int) reg.Register { return o[k].(reg.Register) }
	if f, ok := straight[i.Opcode]; ok {
		d := at(2)
		a, isRegister := o[0].(reg.Register)
		if equal := f == cmeq || f == cmeqByte || f == cmeqTwo; isRegister && reg.Equal(a, at(1)) && (equal || f == eor) {
			encode := encodeZero
			if equal {
				encode = encodeOnes
			}
			for _, v := range l.pair(d) {
				l.coded(step{defs: []register{v}}, func(r func(register) int) word32 { return encode(r(v)) })
			}
			return
		}
		second, first := l.operand(o[0]), l.pair(at(1))
		for h, v := range l.pair(d) {
			l.op(f, v, first[h], second[h])
		}
		return
	}
	if f, ok := unary[i.Opcode]; ok {
		from := l.pair(o[len(o)-2].(reg.Register))
		for h, v := range l.pair(o[len(o)-1].(reg.Register)) {
			l.op(f, v, from[h], none)
		}
		return
	}
	if jump, ok := jumps[i.Opcode]; ok {
		target := string(o[0].(operand.LabelRef))
		l.emit(step{target: target, ends: i.Opcode == "JMP", text: func(func(register) int) string { return jump + " " + target }})
		return
	}
	switch i.Opcode {
	case "VROUNDPS", "VROUNDPD":
		f := map[int]form{0: frintn, 1: frintm}[must(immediate(o[0]))].of(i.Opcode)
		from := l.pair(at(1))
		for h, v := range l.pair(at(2)) {
			l.op(f, v, from[h], none)
		}
	case "VFMADD231PS", "VFNMADD231PS", "VFMADD231PD", "VFNMADD231PD":
		f := fmla.of(i.Opcode)
		if strings.HasPrefix(i.Opcode, "VFN") {
			f = fmls.of(i.Opcode)
		}
		b, a := l.operand(o[0]), l.pair(at(1))
		for h, v := range l.pair(at(2)) {
			l.op(f, v, a[h], b[h])
		}
	case "VMAXPS", "VMINPS", "VMAXPD", "VMINPD":
		b, a := l.operand(o[0]), l.pair(at(1))
		larger := strings.HasPrefix(i.Opcode, "VMAX")
		if l.number[at(1).ID()] {
			// The two processors differ for NaN first and for two zeros only.
			f := fmin
			if larger {
				f = fmax
			}
			for h, v := range l.pair(at(2)) {
				l.op(f.of(i.Opcode), v, a[h], b[h])
			}
			return
		}
		for h, v := range l.pair(at(2)) {
			m := l.newVector()
			if larger {
				l.op(fcmgt.of(i.Opcode), m, a[h], b[h])
			} else {
				l.op(fcmgt.of(i.Opcode), m, b[h], a[h])
			}
			l.op(bsl, m, a[h], b[h])
			l.move(v, m)
		}
	case "VCMPPS", "VCMPPD":
		b, a := l.operand(o[1]), l.pair(at(2))
		c, ok := comparisons[must(immediate(o[0]))]
		if !ok {
			panic(fmt.Sprintf("%s: predicate %s", l.name, o[0].Asm()))
		}
		if c.swapped {
			a, b = b, a
		}
		for h, v := range l.pair(at(3)) {
			m := v
			if c.negated {
				m = l.newVector()
			}
			l.op(c.form.of(i.Opcode), m, a[h], b[h])
			if c.negated {
				l.op(not, v, m, none)
			}
		}
	case "VBLENDVPS", "VBLENDVPD", "VPBLENDVB":
		yes, no := l.operand(o[1]), l.pair(at(2))
		for h, from := range l.pair(at(0)) {
			m := l.newVector()
			switch {
			case l.whole[at(0).ID()]:
				l.move(m, from)
			case i.Opcode == "VBLENDVPS":
				l.shift(encodeShiftRight, m, from, 31)
			case i.Opcode == "VBLENDVPD":
				l.shift(encodeShiftRightTwo, m, from, 63)
			default:
				l.shift(encodeShiftBytes, m, from, 7)
			}
			l.op(bsl, m, yes[h], no[h])
			l.move(l.pair(at(3))[h], m)
		}
	case "VPANDN":
		b, a := l.operand(o[0]), l.pair(at(1))
		for h, v := range l.pair(at(2)) {
			l.op(bic, v, b[h], a[h])
		}
	case "VPXOR":
		if !reg.Equal(at(0), at(1)) {
			panic(l.name + ": VPXOR of two")
		}
		for _, v := range l.pair(at(2)) {
			l.coded(step{defs: []register{v}}, func(r func(register) int) word32 { return encodeZero(r(v)) })
		}
	case "VPSRAD", "VPSLLD", "VPSLLQ", "VPSRLQ":
		encode := map[string]func(d, n, by int) word32{"VPSRAD": encodeShiftRight, "VPSLLD": encodeShiftLeft,
			"VPSLLQ": encodeShiftLeftTwo, "VPSRLQ": encodeUnsignedShiftRightTwo}[i.Opcode]
		from := l.pair(at(1))
		for h, v := range l.pair(at(2)) {
			l.shift(encode, v, from[h], must(immediate(o[0])))
		}
	case "VBROADCASTSS", "VPBROADCASTD":
		l.broadcast(o[0], at(1), encodeRepeat)
	case "VBROADCASTSD", "VPBROADCASTQ":
		l.broadcast(o[0], at(1), encodeRepeatTwo)
	case "VPMOVZXBQ":
		base, offset := l.at(o[0].(operand.Mem), 4)
		bytes, quarters, halves := l.newVector(), l.newVector(), l.newVector()
		l.coded(step{defs: []register{bytes}, uses: []register{base}}, func(r func(register) int) word32 {
			return encodeLoadQuarter(r(bytes), r(base), offset)
		})
		l.op(uxtl8, quarters, bytes, none)
		l.op(uxtl16, halves, quarters, none)
		d := l.pair(at(1))
		l.op(uxtl32, d[0], halves, none)
		l.op(uxtl32Hi, d[1], halves, none)
	case "VPTEST": // followed by a jump if all bits are 0
		b, a := l.operand(o[0]), l.pair(at(1))
		low, high, some, largest, bits := l.newVector(), l.newVector(), l.newVector(), l.newVector(), l.newGeneral()
		l.op(and, low, a[0], b[0])
		l.op(and, high, a[1], b[1])
		l.op(orr, some, low, high)
		l.coded(step{defs: []register{largest}, uses: []register{some}}, func(r func(register) int) word32 { return encodeLargest(r(largest), r(some)) })
		l.coded(step{defs: []register{bits}, uses: []register{largest}}, func(r func(register) int) word32 { return encodeFirst(r(bits), r(largest)) })
		l.plainText("CMPW $0, R%d", nil, []register{bits})
	case "VPBROADCASTB":
		l.broadcast(o[0], at(1), encodeRepeatByte)
	case "VPMOVZXBD":
		base, offset := l.at(o[0].(operand.Mem), 8)
		bytes := l.newVector()
		l.coded(step{defs: []register{bytes}, uses: []register{base}}, func(r func(register) int) word32 {
			return encodeLoadHalf(r(bytes), r(base), offset)
		})
		halves := l.newVector()
		l.op(uxtl8, halves, bytes, none)
		d := l.pair(at(1))
		l.op(uxtl16, d[0], halves, none)
		l.op(uxtl16Hi, d[1], halves, none)
	case "VCVTPS2PD":
		base, offset := l.at(o[0].(operand.Mem), 16)
		v := l.newVector()
		l.load(v, base, offset)
		d := l.pair(at(1))
		l.op(fcvtl, d[0], v, none)
		l.op(fcvtl2, d[1], v, none)
	case "VMOVUPS", "VMOVUPD", "VMOVDQU", "VMOVAPS":
		to, isMem := o[1].(operand.Mem)
		if isMem {
			from := l.pair(at(0))
			base, offset := l.at(to, 16)
			l.store(from[0], base, offset)
			l.store(from[1], base, offset+16)
			return
		}
		d := l.pair(at(1))
		if from, isMem := o[0].(operand.Mem); isMem {
			base, offset := l.at(from, 16)
			l.load(d[0], base, offset)
			l.load(d[1], base, offset+16)
			return
		}
		from := l.pair(at(0))
		l.move(d[0], from[0])
		l.move(d[1], from[1])
	case "VPMOVMSKB", "VMOVMSKPS", "VMOVMSKPD":
		l.signs(i.Opcode, l.pair(at(0)), l.gp(at(1)))
	case "PREFETCHT0":
		base, offset := l.at(o[0].(operand.Mem), 8)
		l.plainText(fmt.Sprintf("PRFM %d(R%%d), PLDL1KEEP", offset), nil, []register{base})
	case "VZEROUPPER":
	case "RET":
		l.emit(step{ends: true, text: func(func(register) int) string { return "RET" }})
	default:
		l.generalInstruction(i)
	}
}

// signs collects the sign bits of bytes, of words, or of the lower halves of double words,
// which are masks.
func (l *lowering) signs(opcode string, v [2]register, d register) {
	bytes := opcode == "VPMOVMSKB"
	var part [2]register
	for h := range v {
		full := v[h]
		if !bytes {
			full = l.newVector()
			l.shift(encodeShiftRight, full, v[h], 31)
		}
		weights := l.newVector()
		switch {
		case bytes:
			l.load(weights, l.table, byteWeights)
		case opcode == "VMOVMSKPD":
			l.load(weights, l.table, doubleWeights+16*h)
		default:
			l.load(weights, l.table, wordWeights+16*h)
		}
		part[h] = l.newVector()
		l.op(and, part[h], full, weights)
	}
	sum := l.newVector()
	if bytes { // which are 0 or 255
		l.op(addpByte, sum, part[0], part[1])
		for range 2 {
			next := l.newVector()
			l.op(addpByte, next, sum, sum)
			sum = next
		}
	} else {
		l.op(add, sum, part[0], part[1])
		total := l.newVector()
		l.coded(step{defs: []register{total}, uses: []register{sum}}, func(r func(register) int) word32 { return encodeSum(r(total), r(sum)) })
		sum = total
	}
	l.coded(step{defs: []register{d}, uses: []register{sum}}, func(r func(register) int) word32 { return encodeFirst(r(d), r(sum)) })
}

// generalInstruction lowers an instruction of general registers. Go's assembly for
// arm64 names the second operand first, too.
func (l *lowering) generalInstruction(i *ir.Instruction) {
	o := i.Operands
	two := func(name string) { // d = d∘o, where o is a register, a parameter or a constant
		d := l.gp(o[1].(reg.Register))
		if n, ok := immediate(o[0]); ok {
			l.plainText(fmt.Sprintf("%s $%d, R%%[2]d, R%%[1]d", name, n), []register{d}, []register{d})
			return
		}
		v := l.value(o[0])
		l.plainText(name+" R%[3]d, R%[2]d, R%[1]d", []register{d}, []register{d, v})
	}
	one := func(format string) {
		d := l.gp(o[0].(reg.Register))
		l.plainText(format, []register{d}, []register{d})
	}
	switch i.Opcode {
	case "MOVQ", "MOVL":
		if m, ok := o[1].(operand.Mem); ok {
			v := l.gp(o[0].(reg.Register))
			if m.Base == reg.FramePointer {
				name := map[string]string{"MOVQ": "MOVD", "MOVL": "MOVW"}[i.Opcode]
				l.plainText(name+" R%d, "+parameterName(m), nil, []register{v})
				return
			}
			l.plainText("MOVD R%d, (R%d)", nil, []register{v, l.exact(m)})
			return
		}
		d := l.gp(o[1].(reg.Register))
		if n, ok := immediate(o[0]); ok {
			l.plainText(fmt.Sprintf("MOVD $%d, R%%d", n), []register{d}, nil)
			return
		}
		if m, ok := o[0].(operand.Mem); ok {
			if m.Base != reg.FramePointer {
				l.plainText(fmt.Sprintf("MOVD %d(R%%[2]d), R%%[1]d", m.Disp), []register{d}, []register{l.gp(m.Base)})
				return
			}
			l.plainText("MOVD "+parameterName(m)+", R%d", []register{d}, nil)
			return
		}
		l.plainText("MOVD R%[2]d, R%[1]d", []register{d}, []register{l.gp(o[0].(reg.Register))})
	case "LEAQ":
		m := o[0].(operand.Mem)
		d := l.gp(o[1].(reg.Register))
		l.plainText(fmt.Sprintf("ADD $%d, R%%[2]d, R%%[1]d", m.Disp), []register{d}, []register{l.gp(m.Base)})
	case "XORQ":
		d := l.gp(o[1].(reg.Register))
		if a, ok := o[0].(reg.Register); ok && l.gp(a) == d {
			l.plainText("MOVD $0, R%d", []register{d}, nil)
			return
		}
		two("EOR")
	case "ADDQ":
		two("ADD")
	case "ORQ":
		if m, ok := o[1].(operand.Mem); ok {
			base, v := l.gp(m.Base), l.newGeneral()
			l.plainText(fmt.Sprintf("MOVD %d(R%%[2]d), R%%[1]d", m.Disp), []register{v}, []register{base})
			l.plainText(fmt.Sprintf("ORR $%d, R%%[2]d, R%%[1]d", must(immediate(o[0]))), []register{v}, []register{v})
			l.plainText(fmt.Sprintf("MOVD R%%d, %d(R%%d)", m.Disp), nil, []register{v, base})
			return
		}
		two("ORR")
	case "TESTQ", "TESTL":
		if a := l.gp(o[0].(reg.Register)); a == l.gp(o[1].(reg.Register)) {
			l.plainText(map[string]string{"TESTQ": "CMP", "TESTL": "CMPW"}[i.Opcode]+" $0, R%d", nil, []register{a})
			return
		}
		panic(l.name + ": a test of two registers")
	case "CMPB":
		m := o[0].(operand.Mem)
		v := l.newGeneral()
		l.plainText(fmt.Sprintf("MOVBU %d(R%%[2]d), R%%[1]d", m.Disp), []register{v}, []register{l.gp(m.Base)})
		l.plainText(fmt.Sprintf("CMP $%d, R%%d", must(immediate(o[1]))), nil, []register{v})
	case "ANDL":
		two("AND")
	case "SHLQ":
		two("LSL")
	case "SUBQ":
		m, ok := o[1].(operand.Mem)
		if !ok {
			two("SUBS")
			return
		}
		left := l.newGeneral()
		l.plainText("MOVD "+parameterName(m)+", R%d", []register{left}, nil)
		l.plainText("SUBS R%[3]d, R%[2]d, R%[1]d", []register{left}, []register{left, l.gp(o[0].(reg.Register))})
		l.plainText("MOVD R%d, "+parameterName(m), nil, []register{left})
	case "DECQ":
		one("SUBS $1, R%[2]d, R%[1]d")
	case "INCQ":
		one("ADD $1, R%[2]d, R%[1]d")
	case "CMPQ", "CMPL":
		a := l.value(o[0])
		if n, ok := immediate(o[1]); ok {
			l.plainText(fmt.Sprintf("CMP $%d, R%%d", n), nil, []register{a})
			return
		}
		l.plainText("CMP R%[2]d, R%[1]d", nil, []register{a, l.value(o[1])})
	case "CMOVQGT":
		d := l.gp(o[1].(reg.Register))
		l.plainText("CSEL GT, R%[3]d, R%[2]d, R%[1]d", []register{d}, []register{d, l.value(o[0])})
	default:
		panic(fmt.Sprintf("%s: %s is not lowered", l.name, i.Opcode))
	}
}

func must(v int, ok bool) int {
	if !ok {
		panic("not a constant")
	}
	return v
}
