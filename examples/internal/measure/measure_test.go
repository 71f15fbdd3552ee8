package measure

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/segment"
)

// logitsOf builds 1×2×X×Y×Z logits that predict the given foreground: channel
// 1 is +4 in it and -4 outside, channel 0 the opposite.
func logitsOf(foreground []uint8, shape ...int) *tensor.Dense {
	n := len(foreground)
	values := make([]float32, 2*n)
	for i, f := range foreground {
		values[n+i] = 8*float32(f) - 4
		values[i] = -values[n+i]
	}
	return tensor.New(tensor.WithShape(append([]int{1, 2}, shape...)...), tensor.WithBacking(values))
}

func labelOf(label []uint8, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(append([]int{1}, shape...)...), tensor.WithBacking(label))
}

func TestEvaluateCountsAndDistances(t *testing.T) {
	// Along X, 2 mm apart: reference voxels 1, 2 and 7, predicted 2, 3.
	label := []uint8{0, 1, 1, 0, 0, 0, 0, 1}
	prediction := []uint8{0, 0, 1, 1, 0, 0, 0, 0}
	for _, rule := range []afl.PredictionRule{afl.SigmoidChannel1, afl.Argmax} {
		v, err := Logits(logitsOf(prediction, 8, 1, 1), labelOf(label, 8, 1, 1), [3]float64{2, 1, 1}, rule, Everything)
		require.NoError(t, err)
		assert.InDelta(t, 2.0/5, float64(v[outcome.Dice]), 1e-15)
		assert.InDelta(t, 1.0/4, float64(v[outcome.IoU]), 1e-15)
		assert.InDelta(t, 1.0/3, float64(v[outcome.Sensitivity]), 1e-15)
		assert.InDelta(t, 4.0/5, float64(v[outcome.Specificity]), 1e-15)
		// To the prediction: 2, 0 and 8 mm; to the reference: 0 and 2 mm.
		assert.InDelta(t, 7.4, float64(v[outcome.Hausdorff95]), 1e-12)
		assert.InDelta(t, 12.0/5, float64(v[outcome.SurfaceDistance]), 1e-12)
		assert.Equal(t, []outcome.Number{1, 0, 1}, []outcome.Number{v[outcome.LesionTP], v[outcome.LesionFP], v[outcome.LesionFN]})
		assert.InDelta(t, 2.0/3, float64(v[outcome.LesionF1]), 1e-15)
		assert.InDelta(t, 2.0/3, float64(v[outcome.LesionF1IoU]), 1e-15, "an IoU of 1/3")
		assert.InDelta(t, 2.0/5, float64(v[outcome.SurfaceDice]), 1e-15, "the voxel of both; the others are 2 mm away or more")
		// Soft, by the formula, with p = sigmoid(±4).
		p, q := 1/(1+math.Exp(-4)), 1/(1+math.Exp(4))
		dice := func(inter, ref, sq float64) float64 { return (2*inter + 1e-5) / (ref + sq + 1e-5) }
		fg := dice(p+2*q, 3, 2*p*p+6*q*q)
		bg := dice(4*p+q, 5, 6*p*p+2*q*q)
		assert.InDelta(t, (fg+bg)/2, float64(v[outcome.SoftDice]), 1e-6)
		assert.Less(t, float64(v[outcome.SoftIoU]), float64(v[outcome.SoftDice]))
	}
}

func TestEvaluateWithoutATumor(t *testing.T) {
	none, some := make([]uint8, 8), []uint8{0, 0, 0, 1, 0, 0, 0, 0}
	undefined := []outcome.Measure{outcome.Dice, outcome.IoU, outcome.Sensitivity}
	v, err := Logits(logitsOf(none, 2, 2, 2), labelOf(none, 2, 2, 2), [3]float64{1, 1, 1}, afl.SigmoidChannel1, Everything)
	require.NoError(t, err)
	for _, m := range append(undefined, outcome.Hausdorff95, outcome.SurfaceDistance) {
		assert.False(t, v[m].Defined(), m)
	}
	assert.Equal(t, outcome.Number(1), v[outcome.LesionF1])
	assert.Equal(t, outcome.Number(1), v[outcome.Specificity])

	v, err = Logits(logitsOf(some, 2, 2, 2), labelOf(none, 2, 2, 2), [3]float64{1, 1, 1}, afl.SigmoidChannel1, Everything)
	require.NoError(t, err)
	for _, m := range undefined {
		assert.False(t, v[m].Defined(), m)
	}
	assert.True(t, math.IsInf(float64(v[outcome.Hausdorff95]), 1))
	assert.Equal(t, outcome.Number(7.0/8), v[outcome.Specificity])
	assert.Equal(t, outcome.Number(1), v[outcome.LesionFP])
	assert.True(t, v[outcome.SoftDice].Defined())
}

func TestOverlapMeasuresLeaveTheRestUndefined(t *testing.T) {
	v, err := Logits(logitsOf(make([]uint8, 8), 2, 2, 2), labelOf(make([]uint8, 8), 2, 2, 2), [3]float64{1, 1, 1}, afl.Argmax, Overlaps)
	require.NoError(t, err)
	for m := outcome.Hausdorff95; m < outcome.MeasureCount; m++ {
		assert.False(t, v[m].Defined(), m)
	}
}

func TestRuleFollowsFromTheLoss(t *testing.T) {
	softmax := map[string]bool{"ce": true, "dice-ce": true, "unified-focal": true, "boundary": true, "lovasz": true, "topk-ce": true, "exponential-log": true}
	for _, name := range slices.Concat(afl.PaperNames(), afl.SmallLesionNames()) {
		loss, err := afl.ByName(name)
		require.NoError(t, err)
		rule, err := RuleOf(segment.Scheme{}, loss)
		require.NoError(t, err)
		want := afl.SigmoidChannel1
		if softmax[name] {
			want = afl.Argmax
		}
		assert.Equal(t, want, rule, name)
	}
	dice := afl.NewDice()
	dice.Activation = afl.Softmax
	rule, err := RuleOf(segment.Scheme{}, dice)
	require.NoError(t, err)
	assert.Equal(t, afl.Argmax, rule)
	for _, name := range slices.Concat(afl.Names(), afl.SmallLesionNames()) {
		loss, err := afl.ByName(name)
		require.NoError(t, err)
		rule, err := RuleOf(segment.Scheme{}, loss)
		require.NoError(t, err, name)
		assert.NotEmpty(t, InWords(segment.Scheme{}, rule), name)
	}
}

// TestMasksAgreeWithLogits measures the same prediction both ways.
func TestMasksAgreeWithLogits(t *testing.T) {
	label := []uint8{0, 1, 1, 0, 0, 0, 0, 1}
	prediction := []uint8{0, 0, 1, 1, 0, 0, 0, 0}
	mask := func(v []uint8) *tensor.Dense { return tensor.New(tensor.WithShape(2, 4, 1), tensor.WithBacking(v)) }
	spacing := [3]float64{2, 1, 1}
	want, err := Logits(logitsOf(prediction, 2, 4, 1), labelOf(label, 2, 4, 1), spacing, afl.Argmax, Everything)
	require.NoError(t, err)
	got, err := Masks(mask(prediction), mask(label), spacing)
	require.NoError(t, err)
	assert.False(t, got[outcome.SoftDice].Defined())
	assert.False(t, got[outcome.SoftIoU].Defined())
	assert.Equal(t, want[outcome.Dice:], got[outcome.Dice:])

	_, err = Masks(mask(prediction), labelOf(label, 8, 1, 1), spacing)
	assert.Error(t, err)
}
