package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEncoding compares every instruction, with several registers, with what a real
// disassembler reads.
func TestEncoding(t *testing.T) {
	const objdump = "aarch64-linux-gnu-objdump"
	if _, err := exec.LookPath(objdump); err != nil {
		t.Skip(objdump + " is not there (Debian: binutils-aarch64-linux-gnu)")
	}
	var list []word32
	for _, r := range [][3]int{{0, 1, 2}, {31, 30, 29}, {7, 16, 7}, {21, 10, 5}} {
		d, n, m := r[0], r[1], r[2]
		for _, f := range []form{fadd, fsub, fmul, fdiv, fmax, fmin, fmla, fmls, fcmge, fcmgt, cmgt, cmeq, fcmeq, add, sub, addTwo, subTwo, cmeqTwo, cmeqByte, uminByte, umaxByte, umax, addpByte, fsqrt, fsqrtTwo,
			and, bic, orr, eor, bsl, not, frintn, frintm, fcvtns, scvtf, fcvtl, fcvtl2, uxtl8, uxtl16, uxtl16Hi, uxtl32, uxtl32Hi} {
			list = append(list, f.encode(d, n, m))
		}
		for _, f := range []form{fadd, fsub, fmul, fdiv, fmax, fmin, fmla, fmls, fcmge, fcmgt, fcmeq, frintn, frintm} {
			list = append(list, f.double().encode(d, n, m))
		}
		base := n
		list = append(list, encodeMove(d, n), encodeShiftRight(d, n, 1), encodeShiftRight(d, n, 31), encodeShiftLeft(d, n, 23), encodeCopyByte(d, n), encodeShiftBytes(d, n, 7), encodeZero(d), encodeOnes(d),
			encodeLoad(d, base, 0), encodeLoad(d, base, largestOffset), encodeStore(d, base, 16), encodeStore(d, base, 4096),
			encodeLoadHalf(d, base, 0), encodeLoadHalf(d, base, 8), encodeRepeat(d, base), encodeRepeatByte(d, base), encodeFirst(m, n), encodeSum(d, n),
			encodeLargest(d, n), encodeRepeatTwo(d, base), encodeLoadQuarter(d, base, 0), encodeLoadQuarter(d, base, 4),
			encodeShiftLeftTwo(d, n, 52), encodeShiftRightTwo(d, n, 63), encodeUnsignedShiftRightTwo(d, n, 52))
	}
	var code []byte
	for _, w := range list {
		code = binary.LittleEndian.AppendUint32(code, w.bits)
	}
	file := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(file, code, 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(objdump, "-D", "-b", "binary", "-m", "aarch64", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^\s*[0-9a-f]+:\s+[0-9a-f]{8}\s+(.*)$`)
	var got []string
	for l := range bytes.Lines(out) {
		if m := line.FindSubmatch(bytes.TrimSpace(l)); m != nil {
			got = append(got, strings.Join(strings.Fields(string(m[1])), " "))
		}
	}
	if len(got) != len(list) {
		t.Fatalf("%d of %d instructions were read", len(got), len(list))
	}
	for i, w := range list {
		if got[i] != w.mnemonic {
			t.Errorf("%#08x is %q, want %q", w.bits, got[i], w.mnemonic)
		}
	}
}
