package main

import (
	"fmt"
	"strings"
)

// Go's assembler for arm64 lacks most vector instructions, so they are encoded here.
// Each function returns the instruction word and its mnemonic.

// word32 is an encoded instruction.
type word32 struct {
	bits     uint32
	mnemonic string
}

// text is the instruction in Go's assembly.
func (w word32) text() string { return fmt.Sprintf("WORD $0x%08x // %s", w.bits, w.mnemonic) }

// form is how the registers of an instruction are written.
type form struct {
	name        string
	d, n, m     string // arrangements
	bits        uint32
	accumulates bool // reads its destination
}

// Instructions with three registers, or with two where m is empty.
var (
	fadd     = form{"fadd", "4s", "4s", "4s", 0x4e20d400, false}
	fsub     = form{"fsub", "4s", "4s", "4s", 0x4ea0d400, false}
	fmul     = form{"fmul", "4s", "4s", "4s", 0x6e20dc00, false}
	fdiv     = form{"fdiv", "4s", "4s", "4s", 0x6e20fc00, false}
	fmax     = form{"fmax", "4s", "4s", "4s", 0x4e20f400, false}
	fmin     = form{"fmin", "4s", "4s", "4s", 0x4ea0f400, false}
	fmla     = form{"fmla", "4s", "4s", "4s", 0x4e20cc00, true}
	fmls     = form{"fmls", "4s", "4s", "4s", 0x4ea0cc00, true}
	fcmge    = form{"fcmge", "4s", "4s", "4s", 0x6e20e400, false}
	fcmgt    = form{"fcmgt", "4s", "4s", "4s", 0x6ea0e400, false}
	fcmeq    = form{"fcmeq", "4s", "4s", "4s", 0x4e20e400, false}
	cmgt     = form{"cmgt", "4s", "4s", "4s", 0x4ea03400, false}
	cmeq     = form{"cmeq", "4s", "4s", "4s", 0x6ea08c00, false}
	add      = form{"add", "4s", "4s", "4s", 0x4ea08400, false}
	sub      = form{"sub", "4s", "4s", "4s", 0x6ea08400, false}
	cmeqTwo  = form{"cmeq", "2d", "2d", "2d", 0x6ee08c00, false}
	addTwo   = form{"add", "2d", "2d", "2d", 0x4ee08400, false}
	subTwo   = form{"sub", "2d", "2d", "2d", 0x6ee08400, false}
	cmeqByte = form{"cmeq", "16b", "16b", "16b", 0x6e208c00, false}
	uminByte = form{"umin", "16b", "16b", "16b", 0x6e206c00, false}
	umaxByte = form{"umax", "16b", "16b", "16b", 0x6e206400, false}
	umax     = form{"umax", "4s", "4s", "4s", 0x6ea06400, false}
	addpByte = form{"addp", "16b", "16b", "16b", 0x4e20bc00, false}
	and      = form{"and", "16b", "16b", "16b", 0x4e201c00, false}
	bic      = form{"bic", "16b", "16b", "16b", 0x4e601c00, false}
	orr      = form{"orr", "16b", "16b", "16b", 0x4ea01c00, false}
	eor      = form{"eor", "16b", "16b", "16b", 0x6e201c00, false}
	bsl      = form{"bsl", "16b", "16b", "16b", 0x6e601c00, true}
	frintn   = form{"frintn", "4s", "4s", "", 0x4e218800, false}
	frintm   = form{"frintm", "4s", "4s", "", 0x4e219800, false}
	not      = form{"mvn", "16b", "16b", "", 0x6e205800, false}
	fcvtns   = form{"fcvtns", "4s", "4s", "", 0x4e21a800, false}
	scvtf    = form{"scvtf", "4s", "4s", "", 0x4e21d800, false}
	fsqrt    = form{"fsqrt", "4s", "4s", "", 0x6ea1f800, false}
	fsqrtTwo = form{"fsqrt", "2d", "2d", "", 0x6ee1f800, false}
	fcvtl    = form{"fcvtl", "2d", "2s", "", 0x0e617800, false}
	fcvtl2   = form{"fcvtl2", "2d", "4s", "", 0x4e617800, false}
	uxtl8    = form{"uxtl", "8h", "8b", "", 0x2f08a400, false}
	uxtl16   = form{"uxtl", "4s", "4h", "", 0x2f10a400, false}
	uxtl16Hi = form{"uxtl2", "4s", "8h", "", 0x6f10a400, false}
	uxtl32   = form{"uxtl", "2d", "2s", "", 0x2f20a400, false}
	uxtl32Hi = form{"uxtl2", "2d", "4s", "", 0x6f20a400, false}
)

// double is the instruction on float64 of one on float32.
func (f form) double() form {
	f.d, f.n, f.bits = "2d", "2d", f.bits|1<<22
	if f.m != "" {
		f.m = "2d"
	}
	return f
}

// of is the instruction on the elements of one of amd64: float64 if it ends in PD.
func (f form) of(opcode string) form {
	if strings.HasSuffix(opcode, "PD") {
		return f.double()
	}
	return f
}

// encode encodes an instruction of registers; m is not used by one of two.
func (f form) encode(d, n, m int) word32 {
	text := fmt.Sprintf("%s v%d.%s, v%d.%s", f.name, d, f.d, n, f.n)
	bits := f.bits | uint32(d) | uint32(n)<<5
	if f.m != "" {
		text += fmt.Sprintf(", v%d.%s", m, f.m)
		bits |= uint32(m) << 16
	}
	return word32{bits, text}
}

func encodeMove(d, n int) word32 {
	return word32{orr.encode(d, n, n).bits, fmt.Sprintf("mov v%d.16b, v%d.16b", d, n)}
}

// encodeShiftRight is an arithmetic shift of 32-bit integers.
func encodeShiftRight(d, n, by int) word32 {
	return word32{0x4f000400 | uint32(64-by)<<16 | uint32(n)<<5 | uint32(d), fmt.Sprintf("sshr v%d.4s, v%d.4s, #%d", d, n, by)}
}

// encodeShiftRightTwo is an arithmetic shift of 64-bit integers.
func encodeShiftRightTwo(d, n, by int) word32 {
	return word32{0x4f000400 | uint32(128-by)<<16 | uint32(n)<<5 | uint32(d), fmt.Sprintf("sshr v%d.2d, v%d.2d, #%d", d, n, by)}
}

// encodeUnsignedShiftRightTwo is a logical shift of 64-bit integers.
func encodeUnsignedShiftRightTwo(d, n, by int) word32 {
	return word32{0x6f000400 | uint32(128-by)<<16 | uint32(n)<<5 | uint32(d), fmt.Sprintf("ushr v%d.2d, v%d.2d, #%d", d, n, by)}
}

// encodeShiftLeftTwo is a shift of 64-bit integers.
func encodeShiftLeftTwo(d, n, by int) word32 {
	return word32{0x4f005400 | uint32(64+by)<<16 | uint32(n)<<5 | uint32(d), fmt.Sprintf("shl v%d.2d, v%d.2d, #%d", d, n, by)}
}

// encodeShiftBytes is an arithmetic shift of bytes.
func encodeShiftBytes(d, n, by int) word32 {
	return word32{0x4f000400 | uint32(16-by)<<16 | uint32(n)<<5 | uint32(d), fmt.Sprintf("sshr v%d.16b, v%d.16b, #%d", d, n, by)}
}

// encodeShiftLeft is a shift of 32-bit integers.
func encodeShiftLeft(d, n, by int) word32 {
	return word32{0x4f005400 | uint32(32+by)<<16 | uint32(n)<<5 | uint32(d), fmt.Sprintf("shl v%d.4s, v%d.4s, #%d", d, n, by)}
}

func encodeZero(d int) word32 {
	return word32{0x6f00e400 | uint32(d), fmt.Sprintf("movi v%d.2d, #0x0", d)}
}

func encodeOnes(d int) word32 {
	return word32{0x6f07e7e0 | uint32(d), fmt.Sprintf("movi v%d.2d, #0xffffffffffffffff", d)}
}

// encodeLoad loads 16 bytes from a general register plus an offset, a multiple of 16
// up to largestOffset.
func encodeLoad(d, base, offset int) word32 {
	return word32{0x3dc00000 | uint32(offset/16)<<10 | uint32(base)<<5 | uint32(d), "ldr q" + address(d, base, offset)}
}

// encodeStore is the inverse of encodeLoad.
func encodeStore(d, base, offset int) word32 {
	return word32{0x3d800000 | uint32(offset/16)<<10 | uint32(base)<<5 | uint32(d), "str q" + address(d, base, offset)}
}

// encodeLoadHalf loads 8 bytes; the offset is a multiple of 8.
func encodeLoadHalf(d, base, offset int) word32 {
	return word32{0xfd400000 | uint32(offset/8)<<10 | uint32(base)<<5 | uint32(d), "ldr d" + address(d, base, offset)}
}

// encodeLoadQuarter loads 4 bytes; the offset is a multiple of 4.
func encodeLoadQuarter(d, base, offset int) word32 {
	return word32{0xbd400000 | uint32(offset/4)<<10 | uint32(base)<<5 | uint32(d), "ldr s" + address(d, base, offset)}
}

const largestOffset = 16 * (1<<12 - 1)

func address(d, base, offset int) string {
	if offset == 0 {
		return fmt.Sprintf("%d, [x%d]", d, base)
	}
	return fmt.Sprintf("%d, [x%d, #%d]", d, base, offset)
}

// encodeRepeat loads a 4-byte word into every lane.
func encodeRepeat(d, base int) word32 {
	return word32{0x4d40c800 | uint32(base)<<5 | uint32(d), fmt.Sprintf("ld1r {v%d.4s}, [x%d]", d, base)}
}

// encodeRepeatTwo loads an 8-byte word into both halves.
func encodeRepeatTwo(d, base int) word32 {
	return word32{0x4d40cc00 | uint32(base)<<5 | uint32(d), fmt.Sprintf("ld1r {v%d.2d}, [x%d]", d, base)}
}

// encodeRepeatByte loads a byte into every byte.
func encodeRepeatByte(d, base int) word32 {
	return word32{0x4d40c000 | uint32(base)<<5 | uint32(d), fmt.Sprintf("ld1r {v%d.16b}, [x%d]", d, base)}
}

// encodeCopyByte copies the last byte of a general register into every byte.
func encodeCopyByte(d, n int) word32 {
	return word32{0x4e010c00 | uint32(n)<<5 | uint32(d), fmt.Sprintf("dup v%d.16b, w%d", d, n)}
}

// encodeFirst moves the first 32-bit integer to a general register.
func encodeFirst(d, n int) word32 {
	return word32{0x0e043c00 | uint32(n)<<5 | uint32(d), fmt.Sprintf("mov w%d, v%d.s[0]", d, n)}
}

// encodeSum adds up the four 32-bit integers.
func encodeSum(d, n int) word32 {
	return word32{0x4eb1b800 | uint32(n)<<5 | uint32(d), fmt.Sprintf("addv s%d, v%d.4s", d, n)}
}

// encodeLargest is the largest of the four unsigned 32-bit integers.
func encodeLargest(d, n int) word32 {
	return word32{0x6eb0a800 | uint32(n)<<5 | uint32(d), fmt.Sprintf("umaxv s%d, v%d.4s", d, n)}
}
