package afl_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// TestBlobByDefinition: a lesion of many tiles among small ones, each evaluated by itself with
// the voxels of the others ignored.
func TestBlobByDefinition(t *testing.T) {
	const rows, voxels = 24, 24 * 24 * 24
	label := make([]uint8, voxels)
	lesion := make([]int, voxels) // counted from 1
	count := 0
	add := func(list ...int) {
		count++
		for _, at := range list {
			label[at], lesion[at] = 1, count
		}
	}
	var large []int
	for at := 2 * rows * rows; at < 12*rows*rows; at++ { // 5760 voxels
		large = append(large, at)
	}
	add(0, 1)
	add(large...)
	for i := range 20 {
		at := (14+i/10*3)*rows*rows + 3*(i%7)*rows + 4*(i/7)
		add(at, at+rows)
	}
	r := rand.New(rand.NewPCG(7, 8))
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		shape := []int{1, 1, rows, rows, rows}
		logits := losstest.Floats(dt, shape, func(int) float64 { return 2 * r.NormFloat64() })
		weight := losstest.Floats(tensor.Float32, []int{1, rows, rows, rows}, func(int) float64 { return float64(r.IntN(3)) })
		for _, opts := range [][]afl.EvalOption{nil, {afl.WithVoxelWeight(weight)}} {
			inner := afl.NewCompound(afl.NewFocal(), afl.NewDice())
			ignoring, err := afl.SetOptions(inner, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
			require.NoError(t, err)
			want, gradient := 0.0, make([]float64, voxels)
			for k := 1; k <= count; k++ {
				own := make([]uint8, voxels)
				for i, of := range lesion {
					if own[i] = label[i]; of != 0 && of != k {
						own[i] = 255
					}
				}
				grad := losstest.NaNs(dt, shape...)
				v, err := afl.GradInto(ignoring, logits, tensor.New(tensor.WithShape(1, rows, rows, rows), tensor.WithBacking(own)), grad, opts...)
				require.NoError(t, err)
				want += v / float64(count)
				for i, g := range losstest.Numbers(t, grad) {
					gradient[i] += g / float64(count)
				}
			}
			blob := afl.NewBlob(inner)
			blob.Alpha = 0
			grad := losstest.NaNs(dt, shape...)
			got, err := afl.GradInto(blob, logits, tensor.New(tensor.WithShape(1, rows, rows, rows), tensor.WithBacking(label)), grad, opts...)
			require.NoError(t, err)
			tolerance := map[tensor.Dtype]float64{tensor.Float32: 2e-5, tensor.Float64: 1e-12}[dt]
			what := fmt.Sprintf("%v, %d options", dt, len(opts))
			require.InEpsilon(t, want, got, tolerance, what)
			losstest.Near(t, what, gradient, losstest.Numbers(t, grad), losstest.Tolerance{Relative: tolerance, Absolute: 1e-320, Largest: tolerance / 10})
		}
	}
}

// TestBlobSameBits: lesions of one voxel to many chunks give the same bits with the kernels of every
// instruction set and with any number of goroutines.
func TestBlobSameBits(t *testing.T) {
	shape := []int{1, 1, 37, 41, 67}
	const voxels = 37 * 41 * 67
	r := rand.New(rand.NewPCG(9, 10))
	label, x := make([]uint8, voxels), make([]float32, voxels)
	for i := range label {
		if r.IntN(12) == 0 || i > voxels/2 && i < voxels*2/3 {
			label[i] = 1
		}
		x[i] = float32(3 * r.NormFloat64())
	}
	dice := afl.NewDice()
	dice.SquaredPred = false
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, inner := range []afl.Loss{afl.NewCompound(afl.NewBinaryCrossEntropy(), dice), afl.NewCompound(afl.NewFocal(), afl.NewDice())} {
		blob := afl.NewBlob(inner)
		blob.Connectivity = afl.Connectivity6 // hundreds of lesions
		var want []uint64
		for _, e := range forcedEngines(t) {
			for procs := range 3 {
				runtime.GOMAXPROCS(1 + procs)
				got := bits(t, blob, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x), tensor.WithEngine(e)),
					tensor.New(tensor.WithShape(shape[1:]...), tensor.WithBacking(label), tensor.WithEngine(e)))
				if want == nil {
					want = got
				}
				require.Equal(t, want, got, "%s, %d goroutines", e.backend.Tier(), 1+procs)
			}
		}
	}
}
