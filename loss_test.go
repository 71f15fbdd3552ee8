package afl_test

import (
	"math"
	"reflect"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// TestLosses is the CPU's part of what every backend has to pass.
func TestLosses(t *testing.T) { losstest.Run(t, losstest.CPU{}) }

func TestGoldenLosses(t *testing.T) { losstest.Golden(t, losstest.CPU{}) }

func FuzzLosses(f *testing.F) { losstest.Fuzz(f, losstest.CPU{}) }

// TestGrad: the ways to evaluate a loss return the same bits.
func TestGrad(t *testing.T) {
	shape := []int{2, 2, 5, 7, 3}
	target := losstest.RandomLabels(shape, 2, 1)
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		logits := losstest.RandomLogits(dt, shape, 1)
		for _, name := range afl.Names() {
			l, err := afl.ByName(name)
			require.NoError(t, err)
			scalar, grad, err := losstest.CPU{}.Eval(t, l, losstest.Call{Logits: logits, Target: target, WantGrad: true})
			require.NoError(t, err)
			want := scalar.ScalarValue()
			got, err := afl.Value(l, logits, target)
			require.NoError(t, err)
			assert.Equal(t, want, got, name)
			got, into, err := afl.Grad(l, logits, target)
			require.NoError(t, err)
			assert.Equal(t, want, got, name)
			assert.Equal(t, logits.Shape(), into.Shape(), name)
			assert.Equal(t, grad.Data(), into.Data(), name)
			into = losstest.NaNs(dt, shape...)
			got, err = afl.GradInto(l, logits, target, into)
			require.NoError(t, err)
			assert.Equal(t, want, got, name)
			assert.Equal(t, grad.Data(), into.Data(), name)
		}
	}
}

// TestAllocation: with a gradient to reuse, a call's memory does not grow with
// the image.
func TestAllocation(t *testing.T) {
	allocated := func(l afl.Loss, side int, enough float64) float64 {
		shape := []int{1, 2, side, side, side}
		logits, labels := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
		grad := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
		// The least of several calls, until it is enough: a garbage collection, and the
		// race detector at random, empty the pools of the workers' buffers.
		least := math.Inf(1)
		for try := 0; try < 12 || try < 100 && least >= enough; try++ {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := afl.GradInto(l, logits, labels, grad)
			require.NoError(t, err)
			runtime.ReadMemStats(&after)
			least = min(least, float64(after.TotalAlloc-before.TotalAlloc))
		}
		return least
	}
	for _, name := range afl.Names() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		small := allocated(l, 24, math.Inf(1))
		large := allocated(l, 48, small+20e3)
		// The larger image has 194 KB more labels and 1.5 MB more logits.
		assert.Less(t, large-small, 20e3, "%s allocates %.0f bytes a call at 24³ and %.0f at 48³", name, small, large)
	}
}

func TestRegistry(t *testing.T) {
	assert.Equal(t, []string{"tversky", "ce", "iou", "dice", "dice-ce", "dice-focal", "fl", "afl"}, afl.PaperNames())
	for _, n := range afl.Names() {
		l, err := afl.ByName(n)
		require.NoError(t, err)
		shape := []int{1, 2, 3, 4}
		_, err = afl.Value(l, losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1))
		assert.NoError(t, err, n)
		title, err := afl.Title(n)
		assert.NoError(t, err)
		assert.NotEmpty(t, title)
	}
	for name, want := range map[string]string{
		"focal": "fl", "FL": "fl", "cross_entropy": "ce", "DiceFocal": "dice-focal", "dice ce": "dice-ce", "Jaccard": "iou",
		"DiceFocalLoss": "dice-focal", "A-FL": "afl", "adaptive-focal": "afl", "afl-dice": "dice-afl",
	} {
		got, err := afl.CanonicalName(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, got, name)
		l, err := afl.ByName(name)
		require.NoError(t, err)
		same, err := afl.ByName(want)
		require.NoError(t, err)
		assert.Equal(t, same, l)
	}
	for name, nearest := range map[string]string{"dise": "dice", "forcal": "focal", "tverski": "tversky", "generalised-dice": "generalized-dice",
		"focal_dice": "dice-focal", "weighted-dice": "dice", "cross": "cross-entropy, dice-cross-entropy, binary-cross-entropy or topk-cross-entropy", "log": "log-hausdorff, log-cosh-dice or exponential-log"} {
		_, err := afl.ByName(name)
		assert.ErrorContains(t, err, `name of the loss is "`+name+`", want one of tversky, ce,`)
		assert.ErrorContains(t, err, "; did you mean "+nearest+"?")
	}
	_, err := afl.ByName("hinge")
	assert.ErrorContains(t, err, `"hinge", want one of tversky`)
	for _, name := range []string{"", "q", "zz", "abcdefgh"} {
		_, err := afl.ByName(name)
		assert.ErrorContains(t, err, "want one of tversky", name)
		assert.NotContains(t, err.Error(), "did you mean")
	}
	for _, of := range []func(string) (string, error){afl.Title, afl.CanonicalName} {
		_, err := of("")
		assert.ErrorContains(t, err, `name of the loss is ""`)
	}
}

// TestLiterals: a loss that is not made by its constructor is refused by an error
// that names it, whatever else is set.
func TestLiterals(t *testing.T) {
	shape := []int{1, 2, 3, 4}
	logits, target := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	for _, name := range afl.Names() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		literal := reflect.New(reflect.TypeOf(l)).Elem()
		_, err = afl.Value(literal.Interface().(afl.Loss), logits, target)
		var refused *afl.ArgumentError
		require.ErrorAs(t, err, &refused, name)
		assert.Equal(t, "loss", refused.Argument, name)
		assert.Contains(t, refused.Want, "New", name)
		// Also where every exported option is that of the constructor.
		for i := range literal.NumField() {
			if f := literal.Field(i); f.CanSet() && literal.Type().Field(i).Name != "Tversky" {
				f.Set(reflect.ValueOf(l).Field(i))
			}
		}
		_, err = afl.Value(literal.Interface().(afl.Loss), logits, target)
		assert.ErrorAs(t, err, &refused, name)
	}
	_, err := afl.AdaptiveFocal{}.Parameters(logits, target)
	assert.ErrorContains(t, err, "loss is an afl.AdaptiveFocal literal")

	// The zero value of Options holds the defaults.
	l := afl.NewDice()
	want, err := afl.Value(l, logits, target)
	require.NoError(t, err)
	l.Options = afl.Options{}
	got, err := afl.Value(l, logits, target)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// TestTransposedTensors: tensors whose elements were moved by a transposition are what
// they look like, although gorgonia keeps them marked as transposed.
func TestTransposedTensors(t *testing.T) {
	shape := []int{2, 3, 4, 5}
	logits, target := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 3, 1)
	thereAndBack := func(d *tensor.Dense, there, back []int) *tensor.Dense {
		moved, err := tensor.Transpose(d, there...)
		require.NoError(t, err)
		moved, err = tensor.Transpose(moved, back...)
		require.NoError(t, err)
		require.True(t, moved.DataOrder().IsTransposed())
		return moved.(*tensor.Dense)
	}
	x := thereAndBack(logits, []int{0, 2, 3, 1}, []int{0, 3, 1, 2})
	y := thereAndBack(target, []int{2, 0, 1}, []int{1, 2, 0})
	want, wantGrad, err := afl.Grad(afl.NewDiceCE(), logits, target)
	require.NoError(t, err)
	got, grad, err := afl.Grad(afl.NewDiceCE(), x, y)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.Equal(t, wantGrad.Data(), grad.Data())
	assert.Equal(t, tensor.Shape(shape), grad.Shape())
}

// TestEnginesOfTheOtherType: results of logits that have gorgonia's engine for another
// type, which makes no tensors of theirs.
func TestEnginesOfTheOtherType(t *testing.T) {
	shape := []int{1, 2, 3, 4}
	target := losstest.RandomLabels(shape, 2, 1)
	focal := afl.NewFocal()
	focal.Reduction = afl.ReduceNone
	for dtype, engine := range map[tensor.Dtype]tensor.Engine{tensor.Float32: tensor.Float64Engine{}, tensor.Float64: tensor.Float32Engine{}} {
		logits := losstest.RandomLogits(dtype, shape, 1)
		other := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(logits.Data()), tensor.WithEngine(engine))
		_, want, err := afl.Grad(afl.NewDice(), logits, target)
		require.NoError(t, err)
		_, got, err := afl.Grad(afl.NewDice(), other, target)
		require.NoError(t, err)
		assert.Equal(t, want.Data(), got.Data())
		elements, err := focal.Eval(other, target, nil)
		require.NoError(t, err)
		assert.Equal(t, tensor.Shape(shape), elements.Shape())
	}
}
