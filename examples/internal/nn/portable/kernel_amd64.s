//go:build !noasm

#include "textflag.h"

// Every product is rounded before it is added (VMULPS and VADDPS instead of a fused
// multiply-add), so that the results are bit-identical to those of the plain Go loops.

// --- AVX-512 ---------------------------------------------------------------

// ROW3 adds the 48 columns in Z24-Z26, multiplied by factor r of this step, to a row.
#define ROW3(r, s0, s1, s2) \
	VBROADCASTSS (4*r)(SI), Z27 \
	VMULPS       Z24, Z27, Z28  \
	VMULPS       Z25, Z27, Z29  \
	VMULPS       Z26, Z27, Z30  \
	VADDPS       Z28, s0, s0    \
	VADDPS       Z29, s1, s1    \
	VADDPS       Z30, s2, s2

#define LOAD3(r, s0, s1, s2) \
	VMOVUPS (192*r)(DI), s0    \
	VMOVUPS (192*r+64)(DI), s1 \
	VMOVUPS (192*r+128)(DI), s2

#define STORE3(r, s0, s1, s2) \
	VMOVUPS s0, (192*r)(DI)    \
	VMOVUPS s1, (192*r+64)(DI) \
	VMOVUPS s2, (192*r+128)(DI)

// func tile8x48AVX512(dst, a, b *float32, off *int, k int)
TEXT ·tile8x48AVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ off+24(FP), CX
	MOVQ k+32(FP), DX
	LOAD3(0, Z0, Z1, Z2)
	LOAD3(1, Z3, Z4, Z5)
	LOAD3(2, Z6, Z7, Z8)
	LOAD3(3, Z9, Z10, Z11)
	LOAD3(4, Z12, Z13, Z14)
	LOAD3(5, Z15, Z16, Z17)
	LOAD3(6, Z18, Z19, Z20)
	LOAD3(7, Z21, Z22, Z23)

step48:
	MOVQ    (CX), R8
	VMOVUPS (BX)(R8*4), Z24
	VMOVUPS 64(BX)(R8*4), Z25
	VMOVUPS 128(BX)(R8*4), Z26
	ROW3(0, Z0, Z1, Z2)
	ROW3(1, Z3, Z4, Z5)
	ROW3(2, Z6, Z7, Z8)
	ROW3(3, Z9, Z10, Z11)
	ROW3(4, Z12, Z13, Z14)
	ROW3(5, Z15, Z16, Z17)
	ROW3(6, Z18, Z19, Z20)
	ROW3(7, Z21, Z22, Z23)
	ADDQ    $8, CX
	ADDQ    $32, SI
	DECQ    DX
	JNZ     step48

	STORE3(0, Z0, Z1, Z2)
	STORE3(1, Z3, Z4, Z5)
	STORE3(2, Z6, Z7, Z8)
	STORE3(3, Z9, Z10, Z11)
	STORE3(4, Z12, Z13, Z14)
	STORE3(5, Z15, Z16, Z17)
	STORE3(6, Z18, Z19, Z20)
	STORE3(7, Z21, Z22, Z23)
	VZEROUPPER
	RET

#define ROW2Z(r, s0, s1) \
	VBROADCASTSS (4*r)(SI), Z18 \
	VMULPS       Z16, Z18, Z19  \
	VMULPS       Z17, Z18, Z20  \
	VADDPS       Z19, s0, s0    \
	VADDPS       Z20, s1, s1

#define LOAD2(r, s0, s1) \
	VMOVUPS (192*r)(DI), s0 \
	VMOVUPS (192*r+64)(DI), s1

#define STORE2(r, s0, s1) \
	VMOVUPS s0, (192*r)(DI) \
	VMOVUPS s1, (192*r+64)(DI)

// func tile8x32AVX512(dst, a, b *float32, off *int, k int)
TEXT ·tile8x32AVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ off+24(FP), CX
	MOVQ k+32(FP), DX
	LOAD2(0, Z0, Z1)
	LOAD2(1, Z2, Z3)
	LOAD2(2, Z4, Z5)
	LOAD2(3, Z6, Z7)
	LOAD2(4, Z8, Z9)
	LOAD2(5, Z10, Z11)
	LOAD2(6, Z12, Z13)
	LOAD2(7, Z14, Z15)

step32:
	MOVQ    (CX), R8
	VMOVUPS (BX)(R8*4), Z16
	VMOVUPS 64(BX)(R8*4), Z17
	ROW2Z(0, Z0, Z1)
	ROW2Z(1, Z2, Z3)
	ROW2Z(2, Z4, Z5)
	ROW2Z(3, Z6, Z7)
	ROW2Z(4, Z8, Z9)
	ROW2Z(5, Z10, Z11)
	ROW2Z(6, Z12, Z13)
	ROW2Z(7, Z14, Z15)
	ADDQ    $8, CX
	ADDQ    $32, SI
	DECQ    DX
	JNZ     step32

	STORE2(0, Z0, Z1)
	STORE2(1, Z2, Z3)
	STORE2(2, Z4, Z5)
	STORE2(3, Z6, Z7)
	STORE2(4, Z8, Z9)
	STORE2(5, Z10, Z11)
	STORE2(6, Z12, Z13)
	STORE2(7, Z14, Z15)
	VZEROUPPER
	RET

// func tile2x48AVX512(dst, a, b *float32, off *int, k int)
TEXT ·tile2x48AVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ off+24(FP), CX
	MOVQ k+32(FP), DX
	LOAD3(0, Z0, Z1, Z2)
	LOAD3(1, Z3, Z4, Z5)

step2x48:
	MOVQ    (CX), R8
	VMOVUPS (BX)(R8*4), Z24
	VMOVUPS 64(BX)(R8*4), Z25
	VMOVUPS 128(BX)(R8*4), Z26
	ROW3(0, Z0, Z1, Z2)
	ROW3(1, Z3, Z4, Z5)
	ADDQ    $8, CX
	ADDQ    $32, SI
	DECQ    DX
	JNZ     step2x48

	STORE3(0, Z0, Z1, Z2)
	STORE3(1, Z3, Z4, Z5)
	VZEROUPPER
	RET

#define ROW1(r, s) \
	VBROADCASTSS (4*r)(SI), Z9 \
	VMULPS       Z8, Z9, Z10   \
	VADDPS       Z10, s, s

// func tile8x16AVX512(dst, a, b *float32, off *int, k int)
TEXT ·tile8x16AVX512(SB), NOSPLIT, $0-40
	MOVQ    dst+0(FP), DI
	MOVQ    a+8(FP), SI
	MOVQ    b+16(FP), BX
	MOVQ    off+24(FP), CX
	MOVQ    k+32(FP), DX
	VMOVUPS (DI), Z0
	VMOVUPS 192(DI), Z1
	VMOVUPS 384(DI), Z2
	VMOVUPS 576(DI), Z3
	VMOVUPS 768(DI), Z4
	VMOVUPS 960(DI), Z5
	VMOVUPS 1152(DI), Z6
	VMOVUPS 1344(DI), Z7

step16:
	MOVQ    (CX), R8
	VMOVUPS (BX)(R8*4), Z8
	ROW1(0, Z0)
	ROW1(1, Z1)
	ROW1(2, Z2)
	ROW1(3, Z3)
	ROW1(4, Z4)
	ROW1(5, Z5)
	ROW1(6, Z6)
	ROW1(7, Z7)
	ADDQ    $8, CX
	ADDQ    $32, SI
	DECQ    DX
	JNZ     step16

	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 192(DI)
	VMOVUPS Z2, 384(DI)
	VMOVUPS Z3, 576(DI)
	VMOVUPS Z4, 768(DI)
	VMOVUPS Z5, 960(DI)
	VMOVUPS Z6, 1152(DI)
	VMOVUPS Z7, 1344(DI)
	VZEROUPPER
	RET

// COL4 adds the products of the column at (q)(AX*1) and the four rows in Z24-Z27.
#define COL4(q, s0, s1, s2, s3) \
	VMOVUPS (q)(AX*1), Z28  \
	VMULPS  Z28, Z24, Z29   \
	VMULPS  Z28, Z25, Z30   \
	VADDPS  Z29, s0, s0     \
	VMULPS  Z28, Z26, Z31   \
	VADDPS  Z30, s1, s1     \
	VMULPS  Z28, Z27, Z29   \
	VADDPS  Z31, s2, s2     \
	VADDPS  Z29, s3, s3

// func dot4x6AVX512(acc, p *float32, pitch int, q *float32, off *int, n int)
//
// The sums of row r and column c are in Z(4c+r).
TEXT ·dot4x6AVX512(SB), NOSPLIT, $0-48
	MOVQ acc+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ pitch+16(FP), R15
	MOVQ q+24(FP), BX
	MOVQ off+32(FP), CX
	MOVQ n+40(FP), DX

	VMOVUPS (64*0)(DI), Z0
	VMOVUPS (64*6)(DI), Z1
	VMOVUPS (64*12)(DI), Z2
	VMOVUPS (64*18)(DI), Z3
	VMOVUPS (64*1)(DI), Z4
	VMOVUPS (64*7)(DI), Z5
	VMOVUPS (64*13)(DI), Z6
	VMOVUPS (64*19)(DI), Z7
	VMOVUPS (64*2)(DI), Z8
	VMOVUPS (64*8)(DI), Z9
	VMOVUPS (64*14)(DI), Z10
	VMOVUPS (64*20)(DI), Z11
	VMOVUPS (64*3)(DI), Z12
	VMOVUPS (64*9)(DI), Z13
	VMOVUPS (64*15)(DI), Z14
	VMOVUPS (64*21)(DI), Z15
	VMOVUPS (64*4)(DI), Z16
	VMOVUPS (64*10)(DI), Z17
	VMOVUPS (64*16)(DI), Z18
	VMOVUPS (64*22)(DI), Z19
	VMOVUPS (64*5)(DI), Z20
	VMOVUPS (64*11)(DI), Z21
	VMOVUPS (64*17)(DI), Z22
	VMOVUPS (64*23)(DI), Z23

	MOVQ 0(CX), R8
	LEAQ (BX)(R8*4), R8
	MOVQ 8(CX), R9
	LEAQ (BX)(R9*4), R9
	MOVQ 16(CX), R10
	LEAQ (BX)(R10*4), R10
	MOVQ 24(CX), R11
	LEAQ (BX)(R11*4), R11
	MOVQ 32(CX), R12
	LEAQ (BX)(R12*4), R12
	MOVQ 40(CX), R13
	LEAQ (BX)(R13*4), R13

	LEAQ (SI)(R15*4), BX // rows 1, 2, 3 of p
	LEAQ (BX)(R15*4), CX
	LEAQ (CX)(R15*4), R15
	SHLQ $2, DX
	XORQ AX, AX

stepDot:
	VMOVUPS (SI)(AX*1), Z24
	VMOVUPS (BX)(AX*1), Z25
	VMOVUPS (CX)(AX*1), Z26
	VMOVUPS (R15)(AX*1), Z27
	COL4(R8, Z0, Z1, Z2, Z3)
	COL4(R9, Z4, Z5, Z6, Z7)
	COL4(R10, Z8, Z9, Z10, Z11)
	COL4(R11, Z12, Z13, Z14, Z15)
	COL4(R12, Z16, Z17, Z18, Z19)
	COL4(R13, Z20, Z21, Z22, Z23)
	ADDQ    $64, AX
	CMPQ    AX, DX
	JLT     stepDot

	VMOVUPS Z0, (64*0)(DI)
	VMOVUPS Z1, (64*6)(DI)
	VMOVUPS Z2, (64*12)(DI)
	VMOVUPS Z3, (64*18)(DI)
	VMOVUPS Z4, (64*1)(DI)
	VMOVUPS Z5, (64*7)(DI)
	VMOVUPS Z6, (64*13)(DI)
	VMOVUPS Z7, (64*19)(DI)
	VMOVUPS Z8, (64*2)(DI)
	VMOVUPS Z9, (64*8)(DI)
	VMOVUPS Z10, (64*14)(DI)
	VMOVUPS Z11, (64*20)(DI)
	VMOVUPS Z12, (64*3)(DI)
	VMOVUPS Z13, (64*9)(DI)
	VMOVUPS Z14, (64*15)(DI)
	VMOVUPS Z15, (64*21)(DI)
	VMOVUPS Z16, (64*4)(DI)
	VMOVUPS Z17, (64*10)(DI)
	VMOVUPS Z18, (64*16)(DI)
	VMOVUPS Z19, (64*22)(DI)
	VMOVUPS Z20, (64*5)(DI)
	VMOVUPS Z21, (64*11)(DI)
	VMOVUPS Z22, (64*17)(DI)
	VMOVUPS Z23, (64*23)(DI)
	VZEROUPPER
	RET

// --- AVX2 ------------------------------------------------------------------

#define ROW2(r, s0, s1) \
	VBROADCASTSS (4*r)(SI), Y10 \
	VMULPS       Y8, Y10, Y11   \
	VMULPS       Y9, Y10, Y12   \
	VADDPS       Y11, s0, s0    \
	VADDPS       Y12, s1, s1

// func tile4x16AVX2(dst, a, b *float32, off *int, k int)
TEXT ·tile4x16AVX2(SB), NOSPLIT, $0-40
	MOVQ    dst+0(FP), DI
	MOVQ    a+8(FP), SI
	MOVQ    b+16(FP), BX
	MOVQ    off+24(FP), CX
	MOVQ    k+32(FP), DX
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VMOVUPS 192(DI), Y2
	VMOVUPS 224(DI), Y3
	VMOVUPS 384(DI), Y4
	VMOVUPS 416(DI), Y5
	VMOVUPS 576(DI), Y6
	VMOVUPS 608(DI), Y7

step4x16:
	MOVQ    (CX), R8
	VMOVUPS (BX)(R8*4), Y8
	VMOVUPS 32(BX)(R8*4), Y9
	ROW2(0, Y0, Y1)
	ROW2(1, Y2, Y3)
	ROW2(2, Y4, Y5)
	ROW2(3, Y6, Y7)
	ADDQ    $8, CX
	ADDQ    $32, SI
	DECQ    DX
	JNZ     step4x16

	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 192(DI)
	VMOVUPS Y3, 224(DI)
	VMOVUPS Y4, 384(DI)
	VMOVUPS Y5, 416(DI)
	VMOVUPS Y6, 576(DI)
	VMOVUPS Y7, 608(DI)
	VZEROUPPER
	RET

// DOT3 adds the products of a row with the three columns in Y12-Y14.
#define DOT3(p, s0, s1, s2) \
	VMULPS (p)(AX*1), Y12, Y15 \
	VADDPS Y15, s0, s0         \
	VMULPS (p)(AX*1), Y13, Y15 \
	VADDPS Y15, s1, s1         \
	VMULPS (p)(AX*1), Y14, Y15 \
	VADDPS Y15, s2, s2

// func dot4x3AVX2(acc, p *float32, pitch int, q *float32, off *int, n int)
TEXT ·dot4x3AVX2(SB), NOSPLIT, $0-48
	MOVQ acc+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ pitch+16(FP), R15
	MOVQ q+24(FP), BX
	MOVQ off+32(FP), CX
	MOVQ n+40(FP), DX

	VMOVUPS (64*0)(DI), Y0
	VMOVUPS (64*1)(DI), Y1
	VMOVUPS (64*2)(DI), Y2
	VMOVUPS (64*6)(DI), Y3
	VMOVUPS (64*7)(DI), Y4
	VMOVUPS (64*8)(DI), Y5
	VMOVUPS (64*12)(DI), Y6
	VMOVUPS (64*13)(DI), Y7
	VMOVUPS (64*14)(DI), Y8
	VMOVUPS (64*18)(DI), Y9
	VMOVUPS (64*19)(DI), Y10
	VMOVUPS (64*20)(DI), Y11

	MOVQ 0(CX), R8
	LEAQ (BX)(R8*4), R8
	MOVQ 8(CX), R9
	LEAQ (BX)(R9*4), R9
	MOVQ 16(CX), R10
	LEAQ (BX)(R10*4), R10

	LEAQ (SI)(R15*4), BX // rows 1, 2, 3 of p
	LEAQ (BX)(R15*4), CX
	LEAQ (CX)(R15*4), R15
	SHLQ $2, DX
	XORQ AX, AX

stepDot3:
	VMOVUPS (R8)(AX*1), Y12
	VMOVUPS (R9)(AX*1), Y13
	VMOVUPS (R10)(AX*1), Y14
	DOT3(SI, Y0, Y1, Y2)
	DOT3(BX, Y3, Y4, Y5)
	DOT3(CX, Y6, Y7, Y8)
	DOT3(R15, Y9, Y10, Y11)
	ADDQ    $64, AX
	CMPQ    AX, DX
	JLT     stepDot3

	VMOVUPS Y0, (64*0)(DI)
	VMOVUPS Y1, (64*1)(DI)
	VMOVUPS Y2, (64*2)(DI)
	VMOVUPS Y3, (64*6)(DI)
	VMOVUPS Y4, (64*7)(DI)
	VMOVUPS Y5, (64*8)(DI)
	VMOVUPS Y6, (64*12)(DI)
	VMOVUPS Y7, (64*13)(DI)
	VMOVUPS Y8, (64*14)(DI)
	VMOVUPS Y9, (64*18)(DI)
	VMOVUPS Y10, (64*19)(DI)
	VMOVUPS Y11, (64*20)(DI)
	VZEROUPPER
	RET
