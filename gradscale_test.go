package afl_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// A gradient scale multiplies the gradient of every loss of the registry, also of those that
// are evaluated in Go memory alone, and of several outputs.
func TestGradScale(t *testing.T) {
	const scale = 3000
	scaled := func(t *testing.T, dt tensor.Dtype, want, got *tensor.Dense) {
		t.Helper()
		x := losstest.Numbers(t, want)
		for i := range x {
			x[i] *= scale
		}
		tolerance := losstest.Tolerance{Relative: 1e-12, Largest: 1e-13}
		if dt == tensor.Float32 {
			tolerance = losstest.Tolerance{Relative: 1e-5, Largest: 1e-6}
		}
		losstest.Near(t, "gradient", x, losstest.Numbers(t, got), tolerance)
	}
	boundary, hausdorff := afl.NewBoundary(), afl.NewLogHausdorffDT()
	boundary.Reduction, hausdorff.Reduction = afl.ReduceNone, afl.ReduceNone
	semimetric := afl.NewDice()
	semimetric.Semimetric = true
	losses := map[string]afl.Loss{"un-reduced boundary": boundary, "un-reduced Hausdorff": hausdorff, "semimetric Dice": semimetric}
	for _, name := range append(afl.Names(), afl.SmallLesionNames()...) {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		losses[name] = l
	}
	for name, l := range losses {
		t.Run(name, func(t *testing.T) {
			for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				shape := []int{2, 2, 5, 9}
				logits, target := losstest.RandomLogits(dt, shape, 1), losstest.RandomLabels(shape, 2, 1)
				if name == "semimetric Dice" {
					target = losstest.Floats(dt, shape, func(i int) float64 { return float64(i%5) / 4 })
				}
				want, got := losstest.NaNs(dt, shape...), losstest.NaNs(dt, shape...)
				value, err := l.Eval(logits, target, want)
				require.NoError(t, err)
				again, err := l.Eval(logits, target, got, afl.WithGradScale(scale))
				require.NoError(t, err)
				assert.Equal(t, value.Data(), again.Data())
				scaled(t, dt, want, got)
			}
		})
	}
	t.Run("deep supervision", func(t *testing.T) {
		outputs := []*tensor.Dense{losstest.RandomLogits(tensor.Float64, []int{1, 2, 4, 6}, 1), losstest.RandomLogits(tensor.Float64, []int{1, 2, 2, 3}, 2)}
		target := losstest.RandomLabels([]int{1, 2, 4, 6}, 2, 1)
		d := afl.DeepSupervision{Loss: afl.NewDiceCE()}
		_, want, err := d.Grad(outputs, target)
		require.NoError(t, err)
		_, got, err := d.Grad(outputs, target, afl.WithGradScale(scale))
		require.NoError(t, err)
		for i := range want {
			scaled(t, tensor.Float64, want[i], got[i])
		}
	})
}

// Gradients are scaled before they are rounded: those below the smallest float32 are kept.
func TestGradScaleBeforeRounding(t *testing.T) {
	shape := []int{1, 2, 3, 4}
	logits, target := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	for _, l := range []afl.Loss{afl.NewBinaryCrossEntropy(), afl.NewDice(), afl.NewDiceFocal()} {
		_, want, err := afl.Grad(l, logits, target)
		require.NoError(t, err)
		tiny, err := afl.SetOptions(l, func(o *afl.Options) { o.Weight = []float64{0x1p-140} })
		require.NoError(t, err)
		_, lost, err := afl.Grad(tiny, logits, target)
		require.NoError(t, err)
		_, kept, err := afl.Grad(tiny, logits, target, afl.WithGradScale(0x1p60))
		require.NoError(t, err)
		x := losstest.Numbers(t, want)
		for i := range x {
			x[i] = math.Ldexp(x[i], -80)
		}
		losstest.Near(t, "gradient", x, losstest.Numbers(t, kept), losstest.Tolerance{Relative: 1e-5, Largest: 1e-6})
		least := math.Inf(1)
		for _, v := range losstest.Numbers(t, lost) {
			least = min(least, math.Abs(v))
		}
		assert.Less(t, least, 0x1p-140)
	}
}
