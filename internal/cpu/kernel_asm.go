//go:build (amd64 || arm64) && !noasm

package cpu

import (
	"unsafe"

	"github.com/x/afl/internal/cpu/kernel"
)

// logisticRoutine is an assembly routine. It does not check what its pointers point
// to.
type logisticRoutine func(x0, x1, g0, g1 *float32, y *uint8, acc *float64, k *uint32, buf *float32, n int, stream bool)

// logisticBy returns the kernel that calls the variant's routine of a table.
func logisticBy(table *[kernel.Variants]logisticRoutine) func(kernel.Variant, []float32, []float32, []float32, []float32, []uint8, []float64, *logisticCoef, []float32, bool) {
	return func(v kernel.Variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef, buf []float32, stream bool) {
		n := len(y)
		if n == 0 {
			return
		}
		// Panic if a slice is too short, as the plain kernel would.
		_, _, _ = x1[n-1], acc[kernel.Sums*lanes-1], buf[kernel.LogisticBuffer-1]
		if n%block != 0 || n > stripVoxels {
			panic("cpu: not a strip of whole blocks")
		}
		var p0, q0, q1 *float32
		if v.Pair {
			_, p0 = x0[n-1], &x0[0]
		}
		if v.Grad || v.Cached {
			_, q1 = g1[n-1], &g1[0]
			stream = stream && aligned(q1)
			if v.Grad && v.Pair {
				_, q0 = g0[n-1], &g0[0]
				stream = stream && aligned(q0)
			}
		}
		table[v.Index()](p0, &x1[0], q0, q1, &y[0], &acc[0], &k.class, &buf[0], n, stream)
	}
}

// labelsBy returns the kernel that calls a routine for whole vectors of 32 bytes and
// the plain kernel for the rest.
func labelsBy(routine func(dst, src, r *uint8, n int) uint32) func(dst, src []uint8, r *labelRules) bool {
	return func(dst, src []uint8, r *labelRules) bool {
		n := len(src) / 32 * 32
		_ = dst[:n]
		ok := true
		if n > 0 {
			ok = routine(&dst[0], &src[0], &r.ignore, n) == 0
		}
		return labelsGo(dst[n:], src[n:], r) && ok
	}
}

// softmaxRoutine is an assembly routine; pitch is in bytes.
type softmaxRoutine func(x, g *float32, pitch int, y *uint8, sums *float32, k *uint32, buf *float32, c, n int, stream bool)

// softmaxBy returns the kernel that calls the variant's routine of a table.
func softmaxBy(table *[kernel.Variants]softmaxRoutine) func(kernel.Variant, []float32, []float32, int, []uint8, []float32, []softmaxCoef, []float32, bool) {
	return func(v kernel.Variant, x, g []float32, pitch int, y []uint8, sums []float32, k []softmaxCoef, e []float32, stream bool) {
		n := len(y)
		if n == 0 {
			return
		}
		if n%block != 0 {
			panic("cpu: not whole blocks")
		}
		if v.Above && n > kernel.Part {
			panic("cpu: more than a part")
		}
		last := (len(k)-1)*pitch + n - 1
		_, _, _ = x[last], sums[(1+3*len(k))*lanes-1], e[kernel.SoftmaxBuffer(len(k))-1]
		var g0 *float32
		if v.Grad {
			_, g0 = g[last], &g[0]
			stream = stream && aligned(g0) && 4*pitch%cacheLine == 0
		}
		table[v.Index()](&x[0], g0, 4*pitch, &y[0], &sums[0], &k[0].class, &e[0], len(k), n, stream)
	}
}

// rowsBy returns the kernel that calls a routine for whole blocks.
func rowsBy(routine func(dst, src *float32, n int)) func(dst, src []float32) {
	return func(dst, src []float32) {
		n := len(src)
		if n == 0 {
			return
		}
		if n%block != 0 {
			panic("cpu: not whole blocks")
		}
		_ = dst[n-1]
		routine(&dst[0], &src[0], n)
	}
}

// foregroundBy returns the kernel that calls a routine for whole words and the plain
// kernel for the rest.
func foregroundBy(routine func(fore, ignored *uint64, src, r *uint8, words int) uint32) func(fore, ignored []uint64, src []uint8, r *labelRules) bool {
	return func(fore, ignored []uint64, src []uint8, r *labelRules) bool {
		words := len(src) / 64
		ok := true
		if words > 0 {
			_ = fore[words-1]
			var p *uint64
			if ignored != nil {
				_, p = ignored[words-1], &ignored[0]
			}
			ok = routine(&fore[0], p, &src[0], &r.ignore, words) == 0
		}
		return foregroundGo(fore[words:], tail(ignored, words), src[64*words:], r) && ok
	}
}

// packBy returns the kernel that calls a routine.
func packBy(routine func(dst *uint64, src *uint8, words int, class uint8)) func(dst []uint64, src []uint8, class uint8) {
	return func(dst []uint64, src []uint8, class uint8) {
		if n := len(dst); n > 0 {
			_ = src[64*n-1]
			routine(&dst[0], &src[0], n, class)
		}
	}
}

// packMapBy returns the kernel that calls a routine.
func packMapBy(routine func(dst *uint64, src *float32, words int) uint32) func(dst []uint64, src []float32) (hard bool) {
	return func(dst []uint64, src []float32) (hard bool) {
		n := len(dst)
		if n == 0 {
			return true
		}
		_ = src[64*n-1]
		return routine(&dst[0], &src[0], n) == 0
	}
}

// unpackBy returns the kernel that calls a routine.
func unpackBy(routine func(dst *uint8, src *uint64, words int)) func(dst []uint8, src []uint64) {
	return func(dst []uint8, src []uint64) {
		if n := len(src); n > 0 {
			_ = dst[64*n-1]
			routine(&dst[0], &src[0], n)
		}
	}
}

// packAboveBy returns the kernel that calls a routine.
func packAboveBy[T real](routine func(above, within *uint64, of, limits *T, words int)) func(above, within []uint64, of []T, limits *[2]T) {
	return func(above, within []uint64, of []T, limits *[2]T) {
		if n := len(above); n > 0 {
			_, _ = within[n-1], of[64*n-1]
			routine(&above[0], &within[0], &of[0], &limits[0], n)
		}
	}
}

// keepFromBy returns the kernel that calls a routine for whole blocks.
func keepFromBy[T real](routine func(dst, of, limit *T, n int)) func(dst, of []T, limit *T) {
	return func(dst, of []T, limit *T) {
		n := len(dst)
		if n == 0 {
			return
		}
		if n%block != 0 {
			panic("cpu: not whole blocks")
		}
		_ = of[n-1]
		routine(&dst[0], &of[0], limit, n)
	}
}

// widenBy returns the kernel that calls a routine for a multiple of sumLanes64 values
// and the plain kernel for the rest.
func widenBy(routine func(dst *float64, src *float32, sums *float64, n int) uint32) func(dst []float64, src []float32, sums *[sumLanes64]float64) bool {
	return func(dst []float64, src []float32, sums *[sumLanes64]float64) bool {
		n := len(src) / sumLanes64 * sumLanes64
		_ = dst[:n]
		ok := true
		if n > 0 {
			ok = routine(&dst[0], &src[0], &sums[0], n) == 0
		}
		return widenGo(dst[n:], src[n:], sums) && ok
	}
}

// sumMapBy returns the kernel that calls a routine for a multiple of sumLanes64 values and the
// plain kernel for the rest.
func sumMapBy(routine func(src *float32, sums *float64, n int) uint32) func(src []float32, sums *[sumLanes64]float64) bool {
	return func(src []float32, sums *[sumLanes64]float64) bool {
		n := len(src) / sumLanes64 * sumLanes64
		ok := true
		if n > 0 {
			ok = routine(&src[0], &sums[0], n) == 0
		}
		return sumMapGo(src[n:], sums) && ok
	}
}

// magnitudesBy returns the kernel that calls a routine for a multiple of 4 voxels and the
// plain kernel for the rest.
func magnitudesBy(routine func(dst, around, left, right, up, down, steps *float64, n int)) func(dst, around, left, right, up, down []float64, steps *[2]float64) {
	return func(dst, around, left, right, up, down []float64, steps *[2]float64) {
		n := len(dst) / 4 * 4
		_, _, _, _, _ = around[:n+2], left[:n], right[:n], up[:n], down[:n]
		if n > 0 {
			routine(&dst[0], &around[0], &left[0], &right[0], &up[0], &down[0], &steps[0], n)
		}
		magnitudesGo(dst[n:], around[n:], left[n:], right[n:], up[n:], down[n:], steps)
	}
}

// softMagnitudesBy returns the kernel that calls a routine for a multiple of 16 voxels and the
// plain kernel for the rest.
func softMagnitudesBy(routine func(around, left, right, up, down *float32, ends *uint8, steps *float32, sums *float64, boundary *uint32, n int)) func(around, left, right, up, down []float32, ends []uint8, steps *[2]float32, sums *[sumLanes64]float64) int {
	return func(around, left, right, up, down []float32, ends []uint8, steps *[2]float32, sums *[sumLanes64]float64) (boundary int) {
		n := len(ends) / 16 * 16
		_, _, _, _, _ = around[:n+2], left[:n], right[:n], up[:n], down[:n]
		if n > 0 {
			var parts [16]uint32
			routine(&around[0], &left[0], &right[0], &up[0], &down[0], &ends[0], &steps[0], &sums[0], &parts[0], n)
			for _, part := range parts {
				boundary += int(part)
			}
		}
		return boundary + softMagnitudesGo(around[n:], left[n:], right[n:], up[n:], down[n:], ends[n:], steps, sums)
	}
}

// rowRoutine is an assembly routine; args points to a rowArgs.
type rowRoutine func(args *byte, n int)

// rowKernelsBy returns the kernels that call the routines of a table.
func rowKernelsBy[T real](table *[kernel.Rows]rowRoutine) rowKernels[T] {
	var all rowKernels[T]
	for i, routine := range table {
		r := kernel.Row(i)
		targets, channels := 1, 1
		if r > kernel.RowDifference && r <= kernel.RowPairGrad {
			targets = 2
			if r != kernel.RowPairClass { // has no constants and sums
				channels = 2
			}
		}
		all[i] = func(a *rowArgs[T], n int) {
			if n == 0 {
				return
			}
			a.check(n, channels)
			if uint(len(a.row[kernel.ArgTarget])-1) < uint((targets-1)*kernel.Tile+n-1) {
				panic("cpu: a target is too short")
			}
			routine((*byte)(unsafe.Pointer(a)), n)
		}
	}
	return all
}

// tileBy returns the kernel that calls the variant's routine of a table.
func tileBy(table *[kernel.TileVariants]rowRoutine) func(v kernel.Variant, a *rowArgs[float32], n int) {
	return func(v kernel.Variant, a *rowArgs[float32], n int) {
		if n == 0 {
			return
		}
		channels := 1
		if v.Pair {
			channels = 2
		}
		a.checkRows(n)
		_, _ = a.acc[channels*kernel.RowSums*lanes-1], a.row[kernel.ArgBuffer][kernel.RowBuffer*kernel.Tile-1]
		_ = a.row[kernel.ArgCoefficients][channels*kernel.RowCoefs-1]
		table[v.Index()]((*byte)(unsafe.Pointer(a)), n)
	}
}

// check panics if a slice is too short, as a plain kernel would. A kernel that needs
// a slice that is nil faults.
func (a *rowArgs[T]) check(n, channels int) {
	a.checkRows(n)
	if uint(len(a.classes)-1) < uint(n-1) {
		panic("cpu: too few classes")
	}
	least := func(arg kernel.RowArg, n int) {
		if uint(len(a.row[arg])-1) < uint(n-1) {
			panic("cpu: a slice is too short")
		}
	}
	least(kernel.ArgBuffer, kernel.RowBuffer*kernel.Tile)
	least(kernel.ArgLogistic, 3*kernel.Tile)
	least(kernel.ArgSums, channels*kernel.RowSums*lanesOf[T]())
	least(kernel.ArgCoefficients, channels*kernel.RowCoefs)
}

// checkRows is check for the slices that have a number for each voxel.
func (a *rowArgs[T]) checkRows(n int) {
	if n%block != 0 || n > kernel.Tile {
		panic("cpu: not a tile of whole blocks")
	}
	for i := range kernel.ArgBuffer {
		if uint(len(a.row[i])-1) < uint(n-1) { // not if it is nil
			panic("cpu: a row is too short")
		}
	}
}

// parabolasRoutine is an assembly routine; pitch and size are in bytes.
type parabolasRoutine[T real] func(dst, before, after, squaresBefore, squaresAfter *T, pitch, n, m, size int)

// parabolasBy returns the kernel that calls the routines of a table, those for the largest
// blocks first.
func parabolasBy[T real](table *[kernel.ParabolaBlocks]parabolasRoutine[T]) func(dst []T, p *Parabolas[T]) {
	return func(dst []T, p *Parabolas[T]) {
		p.check(len(dst))
		n, m := len(p.SquaresBefore), len(p.SquaresAfter)
		size := int(unsafe.Sizeof(dst[0]))
		var squaresBefore, squaresAfter, before, after *T
		if n > 0 {
			squaresBefore = &p.SquaresBefore[0]
		}
		if m > 0 {
			squaresAfter = &p.SquaresAfter[0]
		}
		at := 0
		for i := kernel.ParabolaBlocks - 1; i >= 0; i-- {
			block := ParabolaBlock[T]() << i
			lines := (len(dst) - at) &^ (block - 1) // a power of two
			if lines == 0 {
				continue
			}
			if n > 0 {
				before = &p.Heights[p.Row*p.Pitch+at]
			}
			if m > 0 {
				after = &p.Heights[(p.Row+1)*p.Pitch+at]
			}
			table[i](&dst[at], before, after, squaresBefore, squaresAfter, p.Pitch*size, n, m, lines*size)
			at += lines
		}
	}
}
