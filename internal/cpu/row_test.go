package cpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/internal/cpu/kernel"
)

// randomRowArgs returns arguments for row kernels over n voxels: random, or where they
// are exponentials, sums and so on, within the range that they have in a loss. The
// slices are offset from the start of their allocations.
func randomRowArgs[T real](r *rand.Rand, logit func() T, n, offset int) *rowArgs[T] {
	a := &rowArgs[T]{}
	fill := func(n int, value func(i int) T) []T {
		s := make([]T, n+offset)[offset:]
		for i := range s {
			s[i] = value(i)
		}
		return s
	}
	unit := func(int) T { return T(r.Float64()) }
	normal := func(int) T { return T(r.NormFloat64()) }
	for _, arg := range []kernel.RowArg{kernel.ArgGrad, kernel.ArgElements, kernel.ArgUpstream, kernel.ArgDerivative, kernel.ArgAfter, kernel.ArgField, kernel.ArgField0,
		kernel.ArgGrad0, kernel.ArgElements0, kernel.ArgUpstream0} {
		a.row[arg] = fill(n, normal)
	}
	a.row[kernel.ArgX] = fill(n, func(int) T { return logit() })
	a.row[kernel.ArgX0] = fill(n, func(int) T { return logit() })
	a.row[kernel.ArgWeight] = fill(n, func(int) T { return T(r.IntN(3)) * T(r.Float64()) })
	a.row[kernel.ArgTarget] = fill(kernel.Tile+n, func(int) T { return []T{0, 1, T(r.Float64()), 0.5}[r.IntN(4)] })
	a.row[kernel.ArgExp] = fill(n, unit)
	a.row[kernel.ArgBuffer] = fill(kernel.RowBuffer*kernel.Tile, func(i int) T {
		switch i / kernel.Tile {
		case kernel.BufTop:
			return T(r.IntN(3))
		case kernel.BufOthers:
			return T(3 * r.Float64())
		}
		return T(r.Float64())
	})
	a.row[kernel.ArgLogistic] = a.row[kernel.ArgBuffer][r.IntN(2)*3*kernel.Tile:][:3*kernel.Tile]
	a.row[kernel.ArgSums] = fill(2*kernel.RowSums*lanesOf[T](), normal)
	a.row[kernel.ArgCoefficients] = fill(2*kernel.RowCoefs, normal)
	for c := range 2 {
		coef := a.row[kernel.ArgCoefficients][c*kernel.RowCoefs:]
		coef[kernel.CoefChannel] = T(r.IntN(3))
		coef[kernel.CoefGamma] = T(3 * r.Float64())
		coef[kernel.CoefMinusGamma] = -coef[kernel.CoefGamma]
		coef[kernel.CoefMinusGammaNeg] = T(-3 * r.Float64())
		if r.IntN(3) == 0 {
			coef[kernel.CoefUniform] = 0
		}
		coef[kernel.CoefSquare] = T(r.IntN(2))
		coef[kernel.CoefLinear] = 1 - coef[kernel.CoefSquare]
	}
	a.classes = make([]uint8, n+offset)[offset:]
	for i := range a.classes {
		a.classes[i] = []uint8{0, 1, 2, noClass}[r.IntN(4)]
	}
	a.class, a.add = uint64(r.IntN(3)), uint64(r.IntN(2))
	return a
}

// guardedCopy returns a copy of the arguments with canaries around every slice, and a
// check that they are intact.
func guardedCopy[T real](a *rowArgs[T], offset int) (c *rowArgs[T], intact func() bool) {
	const margin = 64
	c = &rowArgs[T]{classes: a.classes, class: a.class, add: a.add}
	var all [][]T
	for arg, s := range a.row {
		if s == nil || arg == int(kernel.ArgLogistic) {
			continue
		}
		whole := make([]T, margin+offset+len(s)+margin)
		for i := range whole {
			whole[i] = canary
		}
		c.row[arg] = whole[margin+offset:][:len(s):len(s)]
		copy(c.row[arg], s)
		all = append(all, whole)
	}
	// The logistic rows stay rows of the buffer.
	at := (cap(a.row[kernel.ArgBuffer]) - cap(a.row[kernel.ArgLogistic]))
	c.row[kernel.ArgLogistic] = c.row[kernel.ArgBuffer][at:][:3*kernel.Tile]
	return c, func() bool {
		for _, whole := range all {
			for i, v := range whole {
				if (i < margin+offset || i >= len(whole)-margin) && v != canary {
					return false
				}
			}
		}
		return true
	}
}

// rowCase compares an implementation with the plain kernel.
func rowCase[T real](t *testing.T, kernels *rowKernels[T], which kernel.Row, args *rowArgs[T], n, offset int) bool {
	t.Helper()
	what := fmt.Sprintf("%s over %d voxels of %T", which.Name(), n, T(0))
	want, _ := guardedCopy(args, offset)
	plain := plainRows[T]()
	plain[which](want, n)
	got, intact := guardedCopy(args, offset)
	kernels[which](got, n)
	good := assert.True(t, intact(), "%s wrote past its slices", what)
	good = good && assert.Equal(t, want.flags, got.flags, what)
	for arg := range want.row {
		good = good && sameBits(t, want.row[arg], got.row[arg], fmt.Sprintf("%s: argument %d", what, arg))
	}
	return good
}

func eachRow(t *testing.T, test32 func(*testing.T, *rowKernels[float32]), test64 func(*testing.T, *rowKernels[float64])) {
	eachImplementation(t, func(t *testing.T, k kernels) {
		t.Run("float32", func(t *testing.T) { test32(t, &k.rows32) })
		t.Run("float64", func(t *testing.T) { test64(t, &k.rows64) })
	})
}

func TestRowKernels(t *testing.T) { eachRow(t, testRowKernels[float32], testRowKernels[float64]) }

func testRowKernels[T real](t *testing.T, kernels *rowKernels[T]) {
	r := rand.New(rand.NewPCG(11, 12))
	awkward := func() T { return T(hostile[r.IntN(len(hostile))]) }
	random := func() T { return T(4 * r.NormFloat64()) }
	for which := range kernel.Row(kernel.Rows) {
		for _, n := range []int{0, block, 3 * block, kernel.Tile} {
			for offset := range 3 {
				for _, logit := range []func() T{random, awkward} {
					args := randomRowArgs(r, logit, n, offset)
					if which == kernel.RowSoftmaxExp {
						largestOf(args)
					}
					if !rowCase(t, kernels, which, args, n, offset) {
						return
					}
					// Without optional outputs.
					for _, arg := range []kernel.RowArg{kernel.ArgGrad, kernel.ArgElements, kernel.ArgDerivative, kernel.ArgGrad0, kernel.ArgElements0} {
						if which == kernel.RowLabelGrad || which == kernel.RowOverlapGrad {
							continue // it has no other output
						}
						if which.Exponent() != kernel.NoPointwise || which >= kernel.RowDistance {
							args.row[arg] = nil
						}
					}
					if !rowCase(t, kernels, which, args, n, offset) {
						return
					}
				}
			}
		}
	}
}

// TestRowSequences runs the kernels of a loss one after the other, so that each gets
// the intermediates of hostile logits.
func TestRowSequences(t *testing.T) {
	eachRow(t, testRowSequences[float32], testRowSequences[float64])
}

func testRowSequences[T real](t *testing.T, kernels *rowKernels[T]) {
	r := rand.New(rand.NewPCG(13, 14))
	sequences := [][]kernel.Row{
		{kernel.RowExp, kernel.RowLog, kernel.RowPower, kernel.RowFocal, kernel.RowSumsSigmoid, kernel.RowGradSigmoid},
		{kernel.RowScaledExp, kernel.RowLog, kernel.RowFocalTwo},
		{kernel.RowExp, kernel.RowLog, kernel.RowFocalZero, kernel.RowSumsNone, kernel.RowGradNone},
		{kernel.RowExp, kernel.RowLog, kernel.RowBinaryPower, kernel.RowBinaryFocal, kernel.RowLogPower, kernel.RowLogFocal, kernel.RowErrors},
		{kernel.RowExp, kernel.RowDistance, kernel.RowField, kernel.RowFieldSquare},
		{kernel.RowDifference, kernel.RowExp, kernel.RowLog, kernel.RowPairPower, kernel.RowPairFocal, kernel.RowPairSums, kernel.RowPairGrad},
		{kernel.RowLargest, kernel.RowSoftmaxExp, kernel.RowSoftmaxSum, kernel.RowSoftmaxPower, kernel.RowSoftmaxFocal, kernel.RowAfter, kernel.RowPullback},
		{kernel.RowLargest, kernel.RowSoftmaxExp, kernel.RowSoftmaxSum, kernel.RowSoftmaxFocalTwo, kernel.RowGradSoftmax, kernel.RowAfter, kernel.RowPullback},
		{kernel.RowLargest, kernel.RowSoftmaxExp, kernel.RowSoftmaxSum, kernel.RowLabel, kernel.RowLabelPower, kernel.RowLabelSums, kernel.RowLabelGrad, kernel.RowPullback},
		{kernel.RowLargest, kernel.RowSoftmaxExp, kernel.RowSoftmaxSum, kernel.RowSoftmaxField, kernel.RowSoftmaxFieldSquare, kernel.RowAfter, kernel.RowPullback},
		{kernel.RowExp, kernel.RowOverlapElements, kernel.RowOverlapGrad},
		{kernel.RowLargest, kernel.RowSoftmaxExp, kernel.RowSoftmaxSum, kernel.RowSumsSoftmax, kernel.RowSoftmaxFocalZero, kernel.RowPullback},
	}
	plain := plainRows[T]()
	for range 20 {
		for _, sequence := range sequences {
			args := randomRowArgs(r, func() T { return T(hostile[r.IntN(len(hostile))]) }, kernel.Tile, 1)
			want, _ := guardedCopy(args, 1)
			got, intact := guardedCopy(args, 1)
			if slices.Contains(sequence, kernel.RowLargest) {
				for _, a := range []*rowArgs[T]{want, got} {
					for i := range kernel.Tile {
						a.buffer(kernel.ArgBuffer, kernel.BufLargest, kernel.Tile)[i] = T(math.Inf(-1))
						a.buffer(kernel.ArgBuffer, kernel.BufOthers, kernel.Tile)[i] = T(i % 2)
					}
				}
			}
			if sequence[0] == kernel.RowDifference {
				for _, a := range []*rowArgs[T]{want, got} {
					a.row[kernel.ArgLogistic] = a.row[kernel.ArgBuffer][:3*kernel.Tile]
				}
			}
			for i, which := range sequence {
				if i == 1 && sequence[0] == kernel.RowDifference {
					for _, a := range []*rowArgs[T]{want, got} {
						a.row[kernel.ArgX] = a.buffer(kernel.ArgBuffer, kernel.BufDifference, kernel.Tile)
					}
				}
				plain[which](want, kernel.Tile)
				kernels[which](got, kernel.Tile)
				for arg := range want.row {
					if !sameBits(t, want.row[arg], got.row[arg], fmt.Sprintf("%v of %v: argument %d", which.Name(), sequence, arg)) {
						return
					}
				}
			}
			require.True(t, intact())
		}
	}
}

// TestRowChecks: the flags of targets and weights at and next to their limits, one bad
// number at every place.
func TestRowChecks(t *testing.T) { eachRow(t, testRowChecks[float32], testRowChecks[float64]) }

func testRowChecks[T real](t *testing.T, kernels *rowKernels[T]) {
	next := func(v T, to float64) T {
		if isFloat32[T]() {
			return T(math.Nextafter32(float32(v), float32(to)))
		}
		return T(math.Nextafter(float64(v), to))
	}
	low, high := T(-kernel.MapSlack), T(1+kernel.MapSlack)
	nan, inf := T(math.NaN()), T(math.Inf(1))
	tiny := next(0, 1)
	within := func(v T) bool { return float64(v) >= -kernel.MapSlack && float64(v) <= 1+kernel.MapSlack }
	flags := func(which kernel.Row, v T, at int) uint64 {
		a := &rowArgs[T]{}
		x := make([]T, block)
		x[at] = v
		a.row[kernel.ArgX] = x
		a.row[kernel.ArgTarget], a.row[kernel.ArgWeight] = make([]T, block), make([]T, block)
		kernels[which](a, block)
		return a.flags
	}
	for at := range block {
		for _, v := range []T{0, 1, low, high, next(low, -1), next(low, 1), next(high, 0), next(high, 2), -tiny, tiny, 0.5, nan, inf, -inf} {
			var want uint64
			if !within(v) {
				want |= kernel.FlagBad
			}
			if v > 0 && v < 1 {
				want |= kernel.FlagSpecial
			}
			require.Equal(t, want, flags(kernel.RowMap, v, at), "target %v at %d", v, at)
		}
		for _, v := range []T{0, 1, -tiny, tiny, kernel.SmallestWeight, next(kernel.SmallestWeight, 0), kernel.LargestWeight, next(kernel.LargestWeight, math.Inf(1)), nan, inf, -inf, -1} {
			var want uint64
			if !(v >= 0 && v < inf) {
				want |= kernel.FlagBad
			}
			if v != 0 && !(v >= kernel.SmallestWeight && v <= kernel.LargestWeight) {
				want |= kernel.FlagSpecial
			}
			require.Equal(t, want, flags(kernel.RowWeight, v, at), "weight %v at %d", v, at)
		}
	}
	for at := range block {
		a := &rowArgs[T]{classes: make([]uint8, block), class: 1}
		a.row[kernel.ArgTarget] = make([]T, block)
		kernels[kernel.RowClass](a, block)
		require.Zero(t, a.flags)
		a.classes[at] = 2
		kernels[kernel.RowClass](a, block)
		require.EqualValues(t, kernel.FlagBad, a.flags)
	}
}

// FuzzRowKernels compares every implementation with plain Go on arbitrary logits.
func FuzzRowKernels(f *testing.F) {
	f.Add(uint8(3), uint64(1), []byte("some logits"))
	f.Add(uint8(21), uint64(2), []byte{0xff, 0xff, 0x7f, 0x7f, 0, 0, 0xc0, 0x7f})
	f.Fuzz(func(t *testing.T, which uint8, seed uint64, data []byte) {
		r := kernel.Row(int(which) % kernel.Rows)
		for _, impl := range available {
			fuzzRow(t, &impl.rows32, r, seed, data, func(bits uint64) float32 { return math.Float32frombits(uint32(bits)) })
			fuzzRow(t, &impl.rows64, r, seed, data, math.Float64frombits)
		}
	})
}

func fuzzRow[T real](t *testing.T, kernels *rowKernels[T], which kernel.Row, seed uint64, data []byte, number func(uint64) T) {
	r, at := rand.New(rand.NewPCG(seed, 15)), 0
	args := randomRowArgs(r, func() T {
		var b [8]byte
		for i := range b {
			if len(data) > 0 {
				b[i] = data[at%len(data)]
			}
			at++
		}
		return number(binary.LittleEndian.Uint64(b[:]))
	}, 2*block, int(seed%5))
	if which == kernel.RowSoftmaxExp {
		largestOf(args)
	}
	rowCase(t, kernels, which, args, 2*block, int(seed%5))
}

// largestOf makes BufLargest what it is in a loss: no logit exceeds it.
func largestOf[T real](a *rowArgs[T]) {
	for i, v := range a.row[kernel.ArgX] {
		at := &a.row[kernel.ArgBuffer][kernel.BufLargest*kernel.Tile+i]
		*at = largerOf(v, *at)
	}
}
