package afl_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// LogCoshDice is the log-cosh Dice loss (Jadon, "A survey of loss functions for
// semantic segmentation", 2020), as a user of the package writes it on top of Dice:
// log cosh f of every group's Dice loss f, then the reduction. It reads the groups in
// Go memory.
type LogCoshDice struct {
	afl.Dice
}

// Eval implements [afl.Loss].
func (l LogCoshDice) Eval(logits, target, grad *tensor.Dense, opts ...afl.EvalOption) (*tensor.Dense, error) {
	cfg, err := afl.NewEvalConfig(opts...)
	if err != nil {
		return nil, err
	}
	dice := l.Dice
	dice.Reduction = afl.ReduceNone
	groups, err := dice.Eval(logits, target, nil, slices.Concat(opts, []afl.EvalOption{afl.WithUpstream(nil)})...)
	if err != nil {
		return nil, err
	}
	if !groups.IsNativelyAccessible() {
		return nil, fmt.Errorf("log-cosh Dice: logits on %v, want Go memory", logits.Engine())
	}
	f := groups.Data().([]float64)
	each := 1.0 // ∂L/∂(log cosh f)
	switch l.Reduction {
	case afl.ReduceMean:
		each /= float64(len(f))
	case afl.ReduceSum, afl.ReduceNone:
	default:
		return nil, fmt.Errorf("log-cosh Dice: reduction %v, want mean, sum or none", l.Reduction)
	}
	upstream := slices.Repeat([]float64{1}, len(f))
	if cfg.Upstream != nil {
		given, ok := cfg.Upstream.Data().([]float64)
		if l.Reduction != afl.ReduceNone || !ok || !cfg.Upstream.Shape().Eq(groups.Shape()) {
			return nil, fmt.Errorf("log-cosh Dice: an upstream gradient of shape %v and %v, want none but with reduction none: %v and float64",
				cfg.Upstream.Shape(), cfg.Upstream.Dtype(), groups.Shape())
		}
		upstream = given
	}
	value, slope, sum := make([]float64, len(f)), make([]float64, len(f)), 0.0
	for i, x := range f {
		value[i] = math.Log1p(2 * math.Pow(math.Sinh(x/2), 2)) // log cosh x
		slope[i] = upstream[i] * each * math.Tanh(x)
		sum += each * value[i]
	}
	if grad != nil {
		pullback := afl.WithUpstream(tensor.New(tensor.WithShape(groups.Shape()...), tensor.WithBacking(slope)))
		if _, err := dice.Eval(logits, target, grad, slices.Concat(opts, []afl.EvalOption{pullback})...); err != nil {
			return nil, err
		}
	}
	if l.Reduction == afl.ReduceNone {
		return tensor.New(tensor.WithShape(groups.Shape()...), tensor.WithBacking(value)), nil
	}
	return tensor.New(tensor.FromScalar(sum)), nil
}

// TestCustomLoss: a loss written outside the package does what those inside do. It
// sees the voxel weight and the upstream gradient, has the shared options, wraps a
// loss and is wrapped.
func TestCustomLoss(t *testing.T) {
	shape := []int{2, 3, 5, 4, 3}
	logits, target := losstest.RandomLogits(tensor.Float64, shape, 1), losstest.RandomLabels(shape, 3, 1)
	target.Data().([]uint8)[7] = 255
	weight := losstest.Floats(tensor.Float64, losstest.PerVoxel(shape), func(i int) float64 { return float64(i % 3) })
	configured, err := afl.SetOptions(LogCoshDice{afl.NewDice()}, func(o *afl.Options) { o.IgnoreIndex, o.ExcludeBackground = afl.Ignore(255), true })
	require.NoError(t, err)
	l := configured.(LogCoshDice)

	// By definition, from the groups of Dice.
	for _, reduction := range []afl.Reduction{afl.ReduceMean, afl.ReduceSum, afl.ReduceNone} {
		l.Reduction = reduction
		none := l.Dice
		none.Reduction = afl.ReduceNone
		groups, err := none.Eval(logits, target, nil, afl.WithVoxelWeight(weight))
		require.NoError(t, err)
		var want []float64
		total := 0.0
		for _, f := range losstest.Numbers(t, groups) {
			want = append(want, math.Log(math.Cosh(f)))
			total += want[len(want)-1]
		}
		got, err := l.Eval(logits, target, nil, afl.WithVoxelWeight(weight))
		require.NoError(t, err)
		switch reduction {
		case afl.ReduceMean:
			want = []float64{total / float64(len(want))}
		case afl.ReduceSum:
			want = []float64{total}
		}
		assert.InDeltaSlice(t, want, losstest.Numbers(t, got), 1e-15)
	}

	// Gradients by central differences: reduced, as the pullback of an upstream
	// gradient, and as a term of a sum.
	l.Reduction = afl.ReduceNone
	upstream := losstest.Floats(tensor.Float64, []int{2, 2, 1, 1, 1}, func(i int) float64 { return float64(i) - 1.3 })
	pullback := func(grad *tensor.Dense) float64 {
		v, err := l.Eval(logits, target, grad, afl.WithVoxelWeight(weight), afl.WithUpstream(upstream))
		require.NoError(t, err)
		total := 0.0
		for i, x := range losstest.Numbers(t, v) {
			total += x * upstream.Data().([]float64)[i]
		}
		return total
	}
	checkGradient(t, logits, pullback)
	mean := l
	mean.Reduction = afl.ReduceMean
	ignoring, err := afl.SetOptions(afl.NewCrossEntropy(), func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
	require.NoError(t, err)
	for _, loss := range []afl.Loss{mean, afl.NewSum(afl.Term{Weight: 2, Loss: mean}, afl.Term{Weight: 0.5, Loss: ignoring})} {
		checkGradient(t, logits, func(grad *tensor.Dense) float64 {
			v, err := afl.GradInto(loss, logits, target, grad, afl.WithVoxelWeight(weight))
			require.NoError(t, err)
			return v
		})
	}

	_, err = afl.Value(LogCoshDice{}, logits, target)
	assert.ErrorContains(t, err, "want a value made by NewDice")
	voxelMean := l
	voxelMean.Reduction = afl.ReduceSpatialMeanSum
	_, err = afl.Value(voxelMean, logits, target)
	assert.ErrorContains(t, err, "reduction spatial-mean-sum, want")
	mean = LogCoshDice{afl.NewDice()}
	_, err = mean.Eval(logits, losstest.RandomLabels(shape, 3, 1), nil, afl.WithUpstream(upstream))
	assert.ErrorContains(t, err, "an upstream gradient")

	// What a loss of another package may leave to its caller is checked by the package.
	for _, loss := range []afl.Loss{constant{}, afl.NewSum(afl.Term{Weight: 1, Loss: constant{}})} {
		_, err = afl.Value(loss, nil, target)
		assert.ErrorContains(t, err, "logits is nil")
		_, err = afl.Value(loss, logits, nil)
		assert.ErrorContains(t, err, "target is nil")
		_, err = afl.GradInto(loss, logits, target, losstest.NaNs(tensor.Float32, shape...))
		assert.ErrorContains(t, err, "type of grad is float32")
		_, err = afl.GradInto(loss, logits, target, losstest.NaNs(tensor.Float64, 1, 3, 5, 4, 3))
		assert.ErrorContains(t, err, "shape of grad")
		_, err = afl.GradInto(loss, logits, target, logits)
		assert.ErrorContains(t, err, "grad is in the memory of logits")
	}
}

// checkGradient compares the gradient that f stores with central differences of its
// value.
func checkGradient(t *testing.T, logits *tensor.Dense, f func(grad *tensor.Dense) float64) {
	t.Helper()
	grad := losstest.NaNs(tensor.Float64, logits.Shape()...)
	f(grad)
	x, g := logits.Data().([]float64), grad.Data().([]float64)
	for i := 0; i < len(x); i += 7 {
		const h = 1e-4
		old := x[i]
		x[i] = old + h
		hi := f(nil)
		x[i] = old - h
		lo := f(nil)
		x[i] = old
		assert.InDelta(t, (hi-lo)/(2*h), g[i], 1e-8, "entry %d", i)
	}
}
