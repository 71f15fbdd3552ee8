package afl_test

import (
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// one returns two voxels of one channel that the logits get wrong by 20.
func one(dt tensor.Dtype) (logits, target *tensor.Dense) {
	return losstest.Floats(dt, []int{1, 1, 1, 2}, func(i int) float64 { return []float64{10, -10}[i] }),
		losstest.Bytes([]int{1, 1, 2}, func(i int) uint8 { return uint8(i) })
}

// TestOneChannelSoftmax: of one channel a softmax is 1 whatever the logit. The
// compounds read it as a sigmoid, other losses refuse it, and MONAI's reading has a
// name.
func TestOneChannelSoftmax(t *testing.T) {
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		logits, target := one(dt)
		right := losstest.Floats(dt, []int{1, 1, 1, 2}, func(i int) float64 { return []float64{-10, 10}[i] })
		wrong, err := afl.Value(afl.NewDiceCE(), logits, target)
		require.NoError(t, err)
		sigma := 1 / (1 + math.Exp(10.0)) // of the logit −10
		bce, dice := 10+math.Log1p(math.Exp(-10)), 1-(2*sigma+1e-5)/(1+sigma+(1-sigma)+1e-5)
		assert.InEpsilon(t, bce+dice, wrong, 1e-6)
		v, grad, err := afl.Grad(afl.NewDiceCE(), right, target)
		require.NoError(t, err)
		assert.True(t, v > 0 && v < 1e-3, "the loss has a lower bound: %v", v)
		assert.NotZero(t, losstest.Numbers(t, grad)[0])

		for _, name := range []string{"ce", "dice", "iou", "tversky", "focal-tversky", "generalized-dice", "fl", "afl-paper", "afl-balanced", "afl-multiclass"} {
			l, err := afl.ByName(name)
			require.NoError(t, err)
			set := func(a afl.Activation) afl.Loss { return withActivation(l, a) }
			_, err = afl.Value(set(afl.Softmax), logits, target)
			var refused *afl.ArgumentError
			require.ErrorAs(t, err, &refused, name)
			assert.Equal(t, "Activation", refused.Argument, name)
			assert.Contains(t, refused.Want, "sigmoid", name)
			monai, grad, err := afl.Grad(set(afl.SoftmaxMONAI), logits, target)
			require.NoError(t, err, name)
			switch name {
			case "ce", "fl", "afl-paper", "afl-balanced", "afl-multiclass":
				assert.Zero(t, monai, name)
				assert.Equal(t, []float64{0, 0}, losstest.Numbers(t, grad), name)
			default:
				identity, err := afl.Value(set(afl.Identity), logits, target)
				require.NoError(t, err)
				assert.Equal(t, identity, monai, name)
			}
		}
	}
}

// withActivation returns a loss with another activation.
func withActivation(l afl.Loss, a afl.Activation) afl.Loss {
	v := reflect.New(reflect.TypeOf(l)).Elem()
	v.Set(reflect.ValueOf(l))
	v.FieldByName("Activation").Set(reflect.ValueOf(a))
	return v.Interface().(afl.Loss)
}

// TestSingleChannelWeight: where one channel takes part a class weight has no
// effect, unless it is asked for.
func TestSingleChannelWeight(t *testing.T) {
	for _, channels := range []int{1, 2} { // one in all, and one that is not background
		shape := []int{2, channels, 5, 7}
		logits, target := losstest.RandomLogits(tensor.Float64, shape, 1), losstest.RandomLabels(shape, 2, 1)
		for _, name := range []string{"ce", "bce", "fl", "afl-paper", "dice", "iou", "tversky", "focal-tversky", "generalized-dice", "dice-ce", "dice-focal"} {
			l, err := afl.ByName(name)
			require.NoError(t, err)
			if channels == 1 && name == "ce" {
				continue
			}
			value := func(set func(*afl.Options)) float64 {
				changed, err := afl.SetOptions(l, func(o *afl.Options) {
					o.ExcludeBackground, o.Reduction = true, afl.ReduceSum
					set(o)
				})
				require.NoError(t, err)
				v, err := afl.Value(changed, logits, target)
				require.NoError(t, err, name)
				return v
			}
			plain := value(func(*afl.Options) {})
			assert.Equal(t, plain, value(func(o *afl.Options) { o.Weight = []float64{3} }), "%s, C=%d", name, channels)
			weighted := value(func(o *afl.Options) { o.Weight, o.SingleChannelWeight = []float64{3}, true })
			if name != "generalized-dice" { // a ratio over all classes, in which the weight of one cancels
				assert.InEpsilon(t, 3*plain, weighted, 1e-12, "%s, C=%d", name, channels)
			}
		}
	}
}

// TestFocalTverskyPerfect: at a perfect prediction an exponent below 1 has the
// gradient's limit, 0, and close to it no infinite one.
func TestFocalTverskyPerfect(t *testing.T) {
	l := afl.NewFocalTversky()
	l.Gamma = []float64{0.75}
	l.SmoothNr, l.SmoothDr = 0, 0
	target := losstest.Bytes([]int{1, 1, 4}, func(i int) uint8 { return uint8(i % 2) })
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, x := range []float64{1e4, 700, 104, 40, 37, 36, 20, 5} {
			logits := losstest.Floats(dt, []int{1, 1, 1, 4}, func(i int) float64 { return x * float64(2*(i%2)-1) })
			v, grad, err := afl.Grad(l, logits, target)
			require.NoError(t, err)
			assert.False(t, math.IsNaN(v) || v < 0 || v > 0.1, "logits ±%v: %v", x, v)
			for _, g := range losstest.Numbers(t, grad) {
				assert.True(t, math.Abs(g) < 0.1, "logits ±%v: gradient %v", x, g)
			}
			if x == 1e4 {
				assert.Zero(t, v)
				assert.Zero(t, losstest.Numbers(t, grad)[1])
			}
		}
	}
}

// TestCompoundBinarizes: the labels that A-FL reads as 0 and 1 are those for its
// companion too.
func TestCompoundBinarizes(t *testing.T) {
	shape := []int{1, 2, 4, 5}
	logits := losstest.RandomLogits(tensor.Float64, shape, 1)
	labels := losstest.RandomLabels(shape, 4, 1)
	binary := losstest.Bytes([]int{1, 4, 5}, func(i int) uint8 { return min(labels.Data().([]uint8)[i], 1) })
	l := afl.NewDiceAdaptiveFocal()
	want, err := afl.Value(l, logits, binary)
	require.NoError(t, err)
	got, err := afl.Value(l, logits, labels)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	l.Pointwise.Binarize = false
	_, err = afl.Value(l, logits, labels)
	assert.ErrorContains(t, err, "want a class index from 0 to 1")
}

func TestSetOptions(t *testing.T) {
	ignore := func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(7) }
	for _, name := range afl.Names() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		same, err := afl.ByName(name)
		require.NoError(t, err)
		changed, err := afl.SetOptions(l, ignore)
		require.NoError(t, err)
		assert.Equal(t, same, l, "the loss itself is not changed")
		count := 0
		_, err = afl.SetOptions(changed, func(o *afl.Options) {
			assert.Equal(t, afl.Ignore(7), o.IgnoreIndex, name)
			count++
		})
		require.NoError(t, err)
		isCompound := reflect.ValueOf(l).FieldByName("Overlap").IsValid()
		assert.Equal(t, map[bool]int{true: 2, false: 1}[isCompound], count, name)
	}
	dice := afl.NewDice()
	sum := afl.NewSum(afl.Term{Weight: 1, Loss: &dice}, afl.Term{Weight: 2, Loss: afl.NewDiceCE()})
	changed, err := afl.SetOptions(sum, ignore)
	require.NoError(t, err)
	assert.Equal(t, afl.NewDice(), dice)
	assert.Equal(t, afl.NewDiceCE(), sum.Terms[1].Loss)
	assert.Equal(t, afl.Ignore(7), changed.(afl.Sum).Terms[0].Loss.(*afl.Dice).IgnoreIndex)
	assert.Equal(t, afl.Ignore(7), changed.(afl.Sum).Terms[1].Loss.(diceCELoss).Pointwise.IgnoreIndex)

	_, err = afl.SetOptions(afl.NewSum(afl.Term{Weight: 1, Loss: dice}, afl.Term{Weight: 1, Loss: constant{}}), ignore)
	assert.ErrorContains(t, err, "term 1 of the sum: afl: loss is a afl_test.constant, want one with Options")
	_, err = afl.SetOptions(nil, ignore)
	assert.ErrorContains(t, err, "loss is nil")
	_, err = afl.SetOptions(dice, nil)
	assert.ErrorContains(t, err, "set is nil")
	_, err = afl.SetOptions(constant{}, ignore)
	assert.ErrorContains(t, err, "loss is a afl_test.constant, want one with Options")
}

// constant is a loss of another package without options.
type constant struct{}

func (constant) Eval(_, _, grad *tensor.Dense, _ ...afl.EvalOption) (*tensor.Dense, error) {
	if grad != nil {
		grad.Zero()
	}
	return tensor.New(tensor.FromScalar(float32(2.5))), nil
}

// TestSum: the sum of a loss, a negative one and one of another package.
func TestSum(t *testing.T) {
	shape := []int{2, 2, 33, 65, 33} // two goroutines' worth of gradient
	target := losstest.RandomLabels(shape, 2, 1)
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		logits := losstest.RandomLogits(dt, shape, 1)
		weight := losstest.Floats(dt, losstest.PerVoxel(shape), func(i int) float64 { return float64(i%3) / 2 })
		opts := []afl.EvalOption{afl.WithVoxelWeight(weight)}
		a, ga, err := afl.Grad(afl.NewDice(), logits, target, opts...)
		require.NoError(t, err)
		b, gb, err := afl.Grad(afl.NewFocal(), logits, target, opts...)
		require.NoError(t, err)
		sum := afl.NewSum(afl.Term{Weight: 0.5, Loss: afl.NewDice()}, afl.Term{Weight: -2, Loss: afl.NewFocal()}, afl.Term{Weight: 3, Loss: constant{}})
		value, err := afl.Value(sum, logits, target, opts...)
		require.NoError(t, err)
		v, grad, err := afl.Grad(sum, logits, target, opts...)
		require.NoError(t, err)
		assert.Equal(t, value, v)
		assert.InDelta(t, 0.5*a-2*b+3*2.5, v, 1e-14)
		tolerance := map[tensor.Dtype]float64{tensor.Float32: 1e-7, tensor.Float64: 1e-15}[dt]
		want, other, got := losstest.Numbers(t, ga), losstest.Numbers(t, gb), losstest.Numbers(t, grad)
		largest := 0.0
		for i := range want {
			largest = max(largest, math.Abs(0.5*want[i]-2*other[i]-got[i])/(math.Abs(0.5*want[i])+math.Abs(2*other[i])+1e-300))
		}
		assert.LessOrEqual(t, largest, 4*tolerance)
	}
}
