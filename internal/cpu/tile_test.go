package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/internal/cpu/kernel"
)

// tileOutputs are the arguments that a tile kernel writes, besides its scratch memory.
var tileOutputs = []kernel.RowArg{kernel.ArgGrad, kernel.ArgGrad0, kernel.ArgElements, kernel.ArgElements0}

// tileArgs returns random arguments of a tile kernel.
func tileArgs(r *rand.Rand, logit func() float32, n, offset int) *rowArgs[float32] {
	a := randomRowArgs(r, logit, n, offset)
	a.acc = make([]float64, 2*kernel.RowSums*lanes)
	a.row[kernel.ArgTarget0] = a.row[kernel.ArgTarget][kernel.Tile:][:n]
	a.row[kernel.ArgTarget] = a.row[kernel.ArgTarget][:n:n]
	return a
}

// TestTileKernels compares the tile kernels of every instruction set with plain Go, with
// and without optional arguments, for random and hostile logits.
func TestTileKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(17, 18))
		random := func() float32 { return float32(4 * r.NormFloat64()) }
		awkward := func() float32 { return hostile[r.IntN(len(hostile))] }
		for _, v := range kernel.Tiles() {
			for i, n := range []int{0, block, 3 * block, kernel.Tile, kernel.Tile, kernel.Tile} {
				logit := random
				if i%2 == 1 {
					logit = awkward
				}
				args, hard := tileArgs(r, logit, n, i%3), uint64(i/2%2)
				for _, arg := range []kernel.RowArg{kernel.ArgTarget, kernel.ArgTarget0} {
					for i, t := range args.row[arg] {
						if hard != 0 {
							args.row[arg][i] = float32(math.Round(float64(t)))
						}
					}
				}
				for absent := range 8 {
					if v.Overlap && absent&1 != 0 {
						continue // always has a gradient, or never
					}
					with := *args
					for bit, list := range [][]kernel.RowArg{{kernel.ArgGrad, kernel.ArgGrad0}, {kernel.ArgElements0}, {kernel.ArgElements, kernel.ArgUpstream, kernel.ArgUpstream0}} {
						for _, arg := range list {
							if absent>>bit&1 != 0 {
								with.row[arg] = nil
							}
						}
					}
					what := fmt.Sprintf("%s over %d voxels, without %b", v.TileName(), n, absent)
					want, _ := guardedCopy(&with, i%3)
					got, intact := guardedCopy(&with, i%3)
					want.hard, got.hard = hard, hard
					want.acc, got.acc = slices.Clone(args.acc), slices.Clone(args.acc)
					tileGo(v, want, n)
					impl.tile(v, got, n)
					require.True(t, intact(), "%s wrote past its slices", what)
					if !sameBits(t, want.acc, got.acc, what+": sums") {
						return
					}
					for _, arg := range tileOutputs {
						if !sameBits(t, want.row[arg], got.row[arg], fmt.Sprintf("%s: argument %d", what, arg)) {
							return
						}
					}
				}
			}
		}
	})
}

// TestTileTargets: a target outside [0,1], at any place, is flagged, and nothing is written.
func TestTileTargets(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(21, 22))
		for _, v := range kernel.Tiles() {
			args := tileArgs(r, r.Float32, 2*block, 0)
			targets := []kernel.RowArg{kernel.ArgTarget}
			if v.Pair {
				targets = append(targets, kernel.ArgTarget0)
			}
			for at := range 2 * block {
				for _, arg := range targets {
					a, _ := guardedCopy(args, 0)
					a.row[arg][at] = []float32{-1e-45, 1 + 0x1p-23, -1, 2, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.Copysign(0, -1))}[r.IntN(8)]
					a.acc = slices.Clone(args.acc)
					impl.tile(v, a, 2*block)
					require.EqualValues(t, kernel.FlagBad, a.flags, "%s, voxel %d", v.TileName(), at)
					require.Equal(t, args.acc, a.acc, v.TileName())
					for _, arg := range tileOutputs {
						require.Equal(t, args.row[arg], a.row[arg], v.TileName())
					}
				}
			}
		}
	})
}

// TestTilesAndRows: a tile kernel computes what the row kernels of its terms do, but for
// rounding.
func TestTilesAndRows(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	rows := plainRows[float32]()
	for _, v := range kernel.Tiles() {
		const n = kernel.Tile
		args := tileArgs(r, func() float32 { return float32(4 * r.NormFloat64()) }, n, 0)
		for c := range 2 {
			coef := args.row[kernel.ArgCoefficients][c*kernel.RowCoefs:]
			switch v.Exponent {
			case kernel.GammaZero:
				coef[kernel.CoefGamma] = 0
			case kernel.GammaTwo:
				coef[kernel.CoefGamma] = 2
			}
			coef[kernel.CoefMinusGamma], coef[kernel.CoefTwiceGamma] = -coef[kernel.CoefGamma], 2*coef[kernel.CoefGamma]
			coef[kernel.CoefScale] = 0.7 // of both channels
			coef[kernel.CoefOffset] = 0
		}
		tiled, _ := guardedCopy(args, 0)
		tiled.acc = slices.Clone(args.acc)
		tileGo(v, tiled, n)

		a, _ := guardedCopy(args, 0)
		a.add = 0
		a.row[kernel.ArgLogistic] = a.row[kernel.ArgBuffer][:3*kernel.Tile]
		clear(a.row[kernel.ArgElements])
		clear(a.row[kernel.ArgElements0])
		run := func(list ...kernel.Row) {
			for _, which := range list {
				rows[which](a, n)
			}
		}
		focal := func(zero kernel.Row) kernel.Row { return zero + kernel.Row(v.Exponent-kernel.GammaZero) }
		sums, grad := kernel.RowSumsSigmoid, kernel.RowGradSigmoid
		if v.Pair {
			sums, grad = kernel.RowPairSums, kernel.RowPairGrad
			a.row[kernel.ArgTarget] = append(append(make([]float32, 0, 2*n), args.row[kernel.ArgTarget0]...), args.row[kernel.ArgTarget]...)
			run(kernel.RowDifference)
			a.row[kernel.ArgX] = a.buffer(kernel.ArgBuffer, kernel.BufDifference, n)
			run(kernel.RowExp, kernel.RowLog, kernel.RowPairPower)
			if v.Exponent != kernel.NoPointwise {
				run(focal(kernel.RowPairFocalZero))
				a.add = 1
			}
		} else {
			run(kernel.RowExp, kernel.RowLog)
			if v.Exponent != kernel.NoPointwise {
				a.row[kernel.ArgLogistic] = a.row[kernel.ArgBuffer][kernel.BufScaledExp*kernel.Tile:][:3*kernel.Tile]
				run(kernel.RowScaledExp, kernel.RowLog, kernel.RowPower, focal(kernel.RowFocalZero))
				a.add = 1
			}
		}
		if v.Overlap && v.Grad {
			run(grad)
		} else if v.Overlap {
			run(sums)
		}
		var outputs []kernel.RowArg
		if v.Grad {
			outputs = append(outputs, kernel.ArgGrad)
			if v.Pair {
				outputs = append(outputs, kernel.ArgGrad0)
			}
			if v.Exponent != kernel.NoPointwise {
				outputs = append(outputs, kernel.ArgElements)
				if v.Pair {
					outputs = append(outputs, kernel.ArgElements0)
				}
			}
		}
		if !v.Overlap || !v.Grad {
			for c := range 2 {
				for _, sum := range []int{kernel.RowSumPointwise, kernel.RowSumI, kernel.RowSumP, kernel.RowSumG} {
					for lane := range lanes {
						at := (c*kernel.RowSums+sum)*lanes + lane
						assert.InDelta(t, a.row[kernel.ArgSums][at]-args.row[kernel.ArgSums][at], tiled.acc[at], 1e-4, "%s: sum %d of channel %d", v.TileName(), sum, c)
					}
				}
			}
		}
		for _, arg := range outputs {
			assert.InDeltaSlice(t, a.row[arg], tiled.row[arg], 2e-4, "%s: argument %d", v.TileName(), arg)
		}
	}
}
