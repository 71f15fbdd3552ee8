package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listing is a kernel with a loop over tiles of eight voxels: two special functions per voxel,
// one float64 sum, a path for unusual tiles around the wide load, and a longer way through the
// loop that a shortest cycle leaves out.
func listing(kernel string) string {
	var b strings.Builder
	at := 0
	line := func(code string) {
		fmt.Fprintf(&b, "        /*%04x*/                   %s ;\n", at, code)
		at += 16
	}
	fmt.Fprintf(&b, ".text.%s:\n", kernel)
	line("S2R R0, SR_TID.X")
	b.WriteString(".L_x_1:\n")
	line("@P0 BRA `(.L_x_2)")
	line("LDG.E.128.CONSTANT R4, desc[UR4][R2.64]")
	line("BRA `(.L_x_3)")
	b.WriteString(".L_x_2:\n")
	line("MUFU.RCP R4, R4")
	b.WriteString(".L_x_3:\n")
	for range tileVoxels {
		line("MUFU.EX2 R5, R4")
		line("MUFU.RCP R6, R5")
	}
	line("@!P1 BRA `(.L_x_4)")
	line("FADD R7, R7, R6")
	line("FADD R7, R7, R5")
	b.WriteString(".L_x_4:\n")
	line("F2F.F64.F32 R8, R7")
	line("DADD R10, R10, R8")
	line("NOP")
	line("@P2 BRA `(.L_x_1)")
	line("EXIT")
	return b.String()
}

func TestRun(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(strings.NewReader("\t.target\tsm_90\n"+listing("afl_classes")+listing("afl_gradient_sigmoid_bf16")), &out))
	// 16 functions, two branches to the load and past it, the load, the branch around the
	// additions, the conversion, the sum and the branch back.
	assert.Equal(t, "| `afl_gradient_sigmoid_bf16` | BCE | 2.9 | 2.1 | 5 | 0.06 |\n", out.String())
}

func TestBytesPerVoxel(t *testing.T) {
	for kernel, want := range map[string]int{
		"afl_gradient_sigmoid_f32": 9, "afl_reduce_sigmoid_f32": 5, "afl_gradient_sigmoid_bf16": 5, "afl_reduce_sigmoid_f16": 3,
		"afl_gradient_softmax2_f32": 17, "afl_reduce_softmax2_f32": 9, "afl_gradient_softmax2_bf16": 9, "afl_reduce_softmax2_bf16": 5,
	} {
		bytes, pair, known := bytesPerVoxel(kernel)
		assert.True(t, known, kernel)
		assert.Equal(t, want, bytes, kernel)
		assert.Equal(t, strings.Contains(kernel, "softmax2"), pair, kernel)
	}
	for _, kernel := range []string{"afl_classes", "afl_gradient_softmax4_f32", "afl_reduce_general_f32", "sigmoid"} {
		_, _, known := bytesPerVoxel(kernel)
		assert.False(t, known, kernel)
	}
}

func TestRefusals(t *testing.T) {
	var out strings.Builder
	assert.ErrorContains(t, run(strings.NewReader("nothing"), &out), "want the output of nvdisasm -c")
	bad := ".text.afl_reduce_sigmoid_f32:\n        /*0000*/                   BRA `(.L_x_9) ;\n"
	assert.EqualError(t, run(strings.NewReader(bad), &out), "afl_reduce_sigmoid_f32: no label .L_x_9")
}
