//go:build !noasm

package cpu

import (
	"unsafe"

	"golang.org/x/sys/cpu"

	"github.com/x/afl/internal/cpu/kernel"
)

// tiers returns the kernels that this machine can run, the fastest first.
func tiers() []kernels {
	var t []kernels
	if x := cpu.X86; x.HasAVX2 && x.HasFMA {
		if x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL {
			t = append(t, kernels{
				name:     "avx512",
				logistic: logisticBy(&logisticAVX512), softmax: softmaxBy(&softmaxAVX512), fence: storeFence,
				rows32: rowKernelsBy[float32](&rows32AVX512), rows64: rowKernelsBy[float64](&rows64AVX512),
				exp: rowsBy(expAVX512), log1p: rowsBy(log1pAVX512),
				labels: labelsBy(labelsAVX2), pack: packBy(packAVX2), packMap: packMapWords,
			})
		}
		t = append(t, kernels{
			name:     "avx2",
			logistic: logisticBy(&logisticAVX2), softmax: softmaxBy(&softmaxAVX2), fence: storeFence,
			rows32: rowKernelsBy[float32](&rows32AVX2), rows64: rowKernelsBy[float64](&rows64AVX2),
			exp: rowsBy(expAVX2), log1p: rowsBy(log1pAVX2),
			labels: labelsBy(labelsAVX2), pack: packBy(packAVX2), packMap: packMapWords,
		})
	}
	return append(t, plain)
}

// packMapWords runs packMapAVX2.
func packMapWords(dst []uint64, src []float32) (hard bool) {
	n := len(dst)
	if n == 0 {
		return true
	}
	_ = src[64*n-1]
	return packMapAVX2(&dst[0], &src[0], n) == 0
}

// rowRoutine is an assembly routine; args points to a rowArgs.
type rowRoutine func(args *byte, n int)

// rowKernelsBy returns the kernels that call the routines of a table.
func rowKernelsBy[T real](table *[kernel.Rows]rowRoutine) rowKernels[T] {
	var all rowKernels[T]
	for i, routine := range table {
		channels := 1
		if r := kernel.Row(i); r >= kernel.RowDifference && r <= kernel.RowPairGrad {
			channels = 2
		}
		all[i] = func(a *rowArgs[T], n int) {
			if n == 0 {
				return
			}
			a.check(n, channels)
			routine((*byte)(unsafe.Pointer(a)), n)
		}
	}
	return all
}

// check panics if a slice is too short, as a plain kernel would. A kernel that needs
// a slice that is nil faults.
func (a *rowArgs[T]) check(n, channels int) {
	if n%block != 0 || n > kernel.Tile {
		panic("cpu: not a tile of whole blocks")
	}
	for i := range kernel.ArgBuffer {
		if uint(len(a.row[i])-1) < uint(n-1) { // not if it is nil
			panic("cpu: a row is too short")
		}
	}
	if uint(len(a.classes)-1) < uint(n-1) {
		panic("cpu: too few classes")
	}
	least := func(arg kernel.RowArg, n int) {
		if uint(len(a.row[arg])-1) < uint(n-1) {
			panic("cpu: a slice is too short")
		}
	}
	least(kernel.ArgTarget, (channels-1)*kernel.Tile+n)
	least(kernel.ArgBuffer, kernel.RowBuffer*kernel.Tile)
	least(kernel.ArgLogistic, 3*kernel.Tile)
	least(kernel.ArgSums, channels*kernel.RowSums*lanesOf[T]())
	least(kernel.ArgCoefficients, channels*kernel.RowCoefs)
}
