package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"github.com/x/afl/internal/cpu/kernel"
)

// parabolasName names the routine for blocks of kernel.ParabolaBlock<<doublings bytes.
func parabolasName(t tier, doublings int) string {
	return fmt.Sprintf("parabolas%dx%d%s", 8*t.size(), kernel.ParabolaBlock<<doublings/t.size(), t.name)
}

// parabolas emits parabolasGo for blocks of kernel.ParabolaBlock<<doublings bytes of dst. It
// leaves a side of a block as soon as the next square is not below any number of the block,
// which it checks before every fourth row.
func parabolas(t tier, doublings int) {
	t.unroll = kernel.ParabolaBlock << doublings / t.bytes()
	name := parabolasName(t, doublings)
	number := fmt.Sprintf("float%d", 8*t.size())
	TEXT(name, NOSPLIT, fmt.Sprintf("func(dst, before, after, squaresBefore, squaresAfter *%s, pitch, n, m, size int)", number))
	Doc(fmt.Sprintf("%s is parabolasGo for blocks of %d numbers, n rows before and m after. pitch and size, that of dst, are in bytes.", name, kernel.ParabolaBlock<<doublings/t.size()))
	Pragma("noescape")
	pitch, at := Load(Param("pitch"), GP64()), GP64()
	XORQ(at, at)
	Label("block")
	lowest := t.fresh(t.lit(math.Inf(1)))
	side := func(name, rows, squares, count string, move func(by, d Op)) {
		row, square, left := Load(Param(rows), GP64()), Load(Param(squares), GP64()), Load(Param(count), GP64())
		ADDQ(at, row)
		add := func(i int) {
			s := t.register()
			t.broadcast(word{mem: Mem{Base: square, Disp: i * t.size()}}, s)
			for u, v := range lowest {
				sum := t.register()
				t.op(VADDPS, VADDPD)(Mem{Base: row, Disp: u * t.bytes()}, s, sum)
				t.op(VMINPS, VMINPD)(sum, v, v)
			}
			move(pitch, row)
		}
		Label(name)
		CMPQ(left, Imm(4))
		JL(LabelRef(name + "Last"))
		t.leaveIfBelow(lowest, word{mem: Mem{Base: square}}, name+"Done")
		for i := range 4 {
			add(i)
		}
		ADDQ(Imm(uint64(4*t.size())), square)
		SUBQ(Imm(4), left)
		JMP(LabelRef(name))
		Label(name + "Last")
		CMPQ(left, Imm(1))
		JL(LabelRef(name + "Done"))
		t.leaveIfBelow(lowest, word{mem: Mem{Base: square}}, name+"Done")
		add(0)
		ADDQ(Imm(uint64(t.size())), square)
		SUBQ(Imm(1), left)
		JMP(LabelRef(name + "Last"))
		Label(name + "Done")
	}
	side("before", "before", "squaresBefore", "n", SUBQ)
	side("after", "after", "squaresAfter", "m", ADDQ)
	t.store(lowest, Mem{Base: Load(Param("dst"), GP64()), Index: at, Scale: 1}, false)
	size := Load(Param("size"), GP64())
	ADDQ(U32(t.unroll*t.bytes()), at)
	CMPQ(at, size)
	JL(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// leaveIfBelow jumps to a label if no lane of v is greater than a word.
func (t tier) leaveIfBelow(v vec, w word, label string) {
	for len(v) > 1 { // to the greatest of the registers
		half := t
		half.unroll = len(v) / 2
		v = half.max(v[:half.unroll], v[half.unroll:])
	}
	t.unroll = 1
	some := t.greater(v, t.load(w))[0]
	if t.wide {
		KORTESTW(some, some)
	} else {
		bits := GP32()
		VMOVMSKPS(some, bits)
		TESTL(bits, bits)
	}
	JEQ(LabelRef(label))
}
