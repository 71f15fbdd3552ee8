package afl_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// BenchmarkBlob measures the blob loss relative to its inner loss in one process, calls of the
// two in turn: ×inner is the ratio of their shortest times.
func BenchmarkBlob(b *testing.B) {
	for _, test := range []struct {
		name     string
		lesions  int  // of 3×3×3 voxels, or 0: one large irregular component
		double   bool // float64
		weighted bool
		ignored  bool
		channels int  // default 1
		terms    bool // a Sum
	}{
		{name: "1", lesions: 1},
		{name: "50", lesions: 50},
		{name: "2000", lesions: 2000},
		{name: "irregular"},
		{name: "50-float64", lesions: 50, double: true},
		{name: "2000-float64", lesions: 2000, double: true},
		{name: "2000-weighted", lesions: 2000, weighted: true},
		{name: "2000-ignored", lesions: 2000, ignored: true},
		{name: "2000-C3", lesions: 2000, channels: 3},
		{name: "2000-sum", lesions: 2000, terms: true},
	} {
		b.Run(test.name, func(b *testing.B) {
			shape := [3]int{160, 128, 24}
			voxels := shape[0] * shape[1] * shape[2]
			channels := max(test.channels, 1)
			r := rand.New(rand.NewPCG(1, 2))
			label := make([]uint8, voxels)
			at := func(x, y, z int) int { return (x*shape[1]+y)*shape[2] + z }
			cells := [3]int{shape[0] / 6, shape[1] / 6, shape[2] / 6}
			all := cells[0] * cells[1] * cells[2]
			for k := range test.lesions { // in cells of 6×6×6 voxels, evenly over the image
				cell := (2*k + 1) * all / (2 * test.lesions)
				class := uint8(1)
				if channels > 1 {
					class += uint8(k % (channels - 1))
				}
				for i := range 27 {
					label[at(6*(cell/(cells[1]*cells[2]))+1+i/9, 6*(cell/cells[2]%cells[1])+1+i/3%3, 6*(cell%cells[2])+1+i%3)] = class
				}
			}
			if test.lesions == 0 { // 60 % of a ball at random, in which nearly all voxels touch
				for i := range label {
					x, y, z := i/(shape[1]*shape[2])-80, i/shape[2]%shape[1]-64, 4*(i%shape[2]-12)
					if x*x+y*y+z*z < 48*48 && r.IntN(5) < 3 {
						label[i] = 1
					}
				}
			}
			if test.ignored {
				for i := range label {
					if i%97 == 0 {
						label[i] = 255
					}
				}
			}
			x := make([]float32, channels*voxels)
			for i := range x {
				x[i] = float32(r.NormFloat64())
			}
			logits := tensor.New(tensor.WithShape(1, channels, shape[0], shape[1], shape[2]), tensor.WithBacking(x))
			if test.double {
				wide := make([]float64, len(x))
				for i, v := range x {
					wide[i] = float64(v)
				}
				logits = tensor.New(tensor.WithShape(logits.Shape()...), tensor.WithBacking(wide))
			}
			target := tensor.New(tensor.WithShape(1, shape[0], shape[1], shape[2]), tensor.WithBacking(label))
			grad := tensor.New(tensor.Of(logits.Dtype()), tensor.WithShape(logits.Shape()...))
			var opts []afl.EvalOption
			if test.weighted {
				weight := make([]float32, voxels)
				for i := range weight {
					weight[i] = 1 + r.Float32()
				}
				opts = append(opts, afl.WithVoxelWeight(tensor.New(tensor.WithShape(target.Shape()...), tensor.WithBacking(weight))))
			}
			dice, bce := afl.NewDice(), afl.NewBinaryCrossEntropy()
			dice.SquaredPred = false
			var inner afl.Loss = afl.NewCompound(bce, dice)
			blob := afl.NewBlob(inner)
			if test.terms {
				blob.Loss = afl.NewSum(afl.Term{Loss: bce, Weight: 1}, afl.Term{Loss: dice, Weight: 1})
			}
			if test.ignored {
				blob.IgnoreIndex = afl.Ignore(255)
				var err error
				inner, err = afl.SetOptions(inner, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
				require.NoError(b, err)
			}
			reportTimes(b, "inner", "blob", func(l afl.Loss) error {
				_, err := l.Eval(logits, target, grad, opts...)
				return err
			}, inner, blob)
		})
	}
}
