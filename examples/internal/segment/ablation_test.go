package segment

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// TestAblationsReplaceOnePart computes each ablation from the focal loss by its definition,
// with the statistics of the label and with given ones.
func TestAblationsReplaceOnePart(t *testing.T) {
	logits, labels := volume(2)
	values := make([]uint8, len(labels))
	for i, l := range labels {
		values[i] = uint8(min(l, 1))
	}
	label := tensor.New(tensor.WithShape(1, 3, 2, 2), tensor.WithBacking(values))
	other := tensor.New(tensor.WithShape(3, 2, 2), tensor.WithBacking([]uint8{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}))
	whole, err := afl.StatsOf(other, afl.IgnoreIndex{})
	require.NoError(t, err)
	for _, opts := range [][]afl.EvalOption{nil, {afl.WithStats(whole)}} {
		parameters, err := afl.NewAdaptiveFocal().Parameters(logits, label, opts...)
		require.NoError(t, err)
		of := parameters[0]
		boundary := afl.NewAdaptiveFocal()
		boundary.Smoothness = afl.SmoothnessBoundary
		focal := func(gamma, weight []float64) afl.Focal {
			l := afl.NewFocal()
			l.Gamma, l.Weight = gamma, weight
			return l
		}
		shares := []float64{1 - of.GammaVa, of.GammaVa}
		for name, want := range map[string]afl.Loss{
			"afl-boundary-smoothness": boundary,
			"afl-gamma-0":             focal([]float64{0}, shares),
			"afl-gamma-2":             focal([]float64{2}, shares),
			"afl-unweighted":          focal(of.Gamma, []float64{1, 1}),
		} {
			loss, title, err := Scheme{}.Loss(name)
			require.NoError(t, err)
			assert.Contains(t, title, "A-FL, ")
			v, g, err := afl.Grad(loss, logits, label, opts...)
			require.NoError(t, err)
			wantV, wantG, err := afl.Grad(want, logits, label, opts...)
			require.NoError(t, err)
			assert.InDelta(t, wantV, v, 1e-12, name)
			assert.InDeltaSlice(t, wantG.Data(), g.Data(), 1e-9, name)
		}
		// With nothing replaced it is A-FL itself.
		v, g, err := afl.Grad(ablation{}, logits, label, opts...)
		require.NoError(t, err)
		wantV, wantG, err := afl.Grad(afl.NewAdaptiveFocal(), logits, label, opts...)
		require.NoError(t, err)
		assert.InDelta(t, wantV, v, 1e-9)
		assert.InDeltaSlice(t, wantG.Data(), g.Data(), 1e-8)
	}
}

func TestAblationNames(t *testing.T) {
	for _, name := range AblationNames() {
		got, err := CanonicalName(" " + name)
		require.NoError(t, err)
		assert.Equal(t, name, got)
		_, err = afl.CanonicalName(name)
		assert.Error(t, err, "package afl does not know it")
	}
	got, err := CanonicalName("DiceFocalLoss")
	require.NoError(t, err)
	assert.Equal(t, "dice-focal", got)
	_, err = CanonicalName("afl-gamma-3")
	assert.Error(t, err)

	classes, err := ParseClasses("1,2,4", nil)
	require.NoError(t, err)
	_, _, err = classes.Loss("afl-gamma-0")
	assert.EqualError(t, err, "segment: the loss afl-gamma-0 is an ablation of the released A-FL, which has no form for classes")
}
