package afl_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
)

// TestRatesByHand: the values are those of MONAI 1.6's compute_confusion_matrix_metric and
// of torchmetrics for the same counts.
func TestRatesByHand(t *testing.T) {
	c := afl.Confusion{TP: 6, FP: 2, TN: 9, FN: 3}
	f2, err := afl.FBeta(2)
	require.NoError(t, err)
	for name, test := range map[string]struct{ want, got float64 }{
		"fpr":                  {2.0 / 11, c.FalsePositiveRate()},
		"fnr":                  {3.0 / 9, c.FalseNegativeRate()},
		"npv":                  {9.0 / 12, c.NegativePredictiveValue()},
		"fdr":                  {2.0 / 8, c.FalseDiscoveryRate()},
		"for":                  {3.0 / 12, c.FalseOmissionRate()},
		"accuracy":             {15.0 / 20, c.Accuracy()},
		"balanced accuracy":    {(6.0/9 + 9.0/11) / 2, c.BalancedAccuracy()},
		"informedness":         {6.0/9 + 9.0/11 - 1, c.Informedness()},
		"markedness":           {6.0/8 + 9.0/12 - 1, c.Markedness()},
		"Matthews":             {(6*9 - 2*3) / math.Sqrt(8*9*11*12), c.Matthews()},
		"Fowlkes-Mallows":      {math.Sqrt(6.0 / 8 * 6.0 / 9), c.FowlkesMallows()},
		"prevalence threshold": {(math.Sqrt(6.0/9*2.0/11) - 2.0/11) / (6.0/9 - 2.0/11), c.PrevalenceThreshold()},
		"F2":                   {5 * 6.0 / (5*6 + 4*3 + 2), f2(c)},
	} {
		assert.InDelta(t, test.want, test.got, 1e-15, name)
	}
}

func TestRatesAreNaNWhereNothingIsMeasured(t *testing.T) {
	f1, err := afl.FBeta(1)
	require.NoError(t, err)
	emptyTarget, fullTarget := afl.Confusion{FP: 2, TN: 3}, afl.Confusion{TP: 2, FN: 3}
	emptyPrediction, fullPrediction := afl.Confusion{FN: 2, TN: 3}, afl.Confusion{TP: 2, FP: 3}
	none := afl.Confusion{}
	for name, test := range map[string]struct {
		metric func(afl.Confusion) float64
		nan    []afl.Confusion
	}{
		"fpr":                  {afl.Confusion.FalsePositiveRate, []afl.Confusion{fullTarget, none}},
		"fnr":                  {afl.Confusion.FalseNegativeRate, []afl.Confusion{emptyTarget, none}},
		"npv":                  {afl.Confusion.NegativePredictiveValue, []afl.Confusion{fullPrediction, none}},
		"fdr":                  {afl.Confusion.FalseDiscoveryRate, []afl.Confusion{emptyPrediction, none}},
		"for":                  {afl.Confusion.FalseOmissionRate, []afl.Confusion{fullPrediction, none}},
		"accuracy":             {afl.Confusion.Accuracy, []afl.Confusion{none}},
		"balanced accuracy":    {afl.Confusion.BalancedAccuracy, []afl.Confusion{emptyTarget, fullTarget, none}},
		"informedness":         {afl.Confusion.Informedness, []afl.Confusion{emptyTarget, fullTarget, none}},
		"markedness":           {afl.Confusion.Markedness, []afl.Confusion{emptyPrediction, fullPrediction, none}},
		"Matthews":             {afl.Confusion.Matthews, []afl.Confusion{emptyTarget, fullTarget, emptyPrediction, fullPrediction, none}},
		"Fowlkes-Mallows":      {afl.Confusion.FowlkesMallows, []afl.Confusion{emptyTarget, emptyPrediction, none}},
		"prevalence threshold": {afl.Confusion.PrevalenceThreshold, []afl.Confusion{emptyTarget, fullTarget, emptyPrediction, fullPrediction, none}},
		"F1":                   {f1, []afl.Confusion{none}},
	} {
		for _, c := range []afl.Confusion{emptyTarget, fullTarget, emptyPrediction, fullPrediction, none} {
			assert.Equal(t, slices.Contains(test.nan, c), math.IsNaN(test.metric(c)), "%s of %+v", name, c)
		}
	}
	large, err := afl.FBeta(1e154) // sensitivity alone
	require.NoError(t, err)
	assert.InDelta(t, 0.25, large(afl.Confusion{TP: 1e12, FP: 1e12, FN: 3e12}), 1e-15)
	for _, beta := range []float64{-1, math.NaN(), math.Inf(1), 1e200} {
		_, err := afl.FBeta(beta)
		var refused *afl.ArgumentError
		assert.ErrorAs(t, err, &refused)
	}
}

// TestRatesLaws checks how the metrics hang together.
func TestRatesLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	f1, err := afl.FBeta(1)
	require.NoError(t, err)
	f0, err := afl.FBeta(0)
	require.NoError(t, err)
	for range 1000 {
		c := afl.Confusion{TP: 1 + rng.Int64N(1e12), FP: 1 + rng.Int64N(1e12), TN: 1 + rng.Int64N(1e12), FN: 1 + rng.Int64N(1e12)}
		for name, test := range map[string][2]float64{
			"fpr":       {1 - c.Specificity(), c.FalsePositiveRate()},
			"fnr":       {1 - c.Sensitivity(), c.FalseNegativeRate()},
			"fdr":       {1 - c.Precision(), c.FalseDiscoveryRate()},
			"for":       {1 - c.NegativePredictiveValue(), c.FalseOmissionRate()},
			"Youden":    {2*c.BalancedAccuracy() - 1, c.Informedness()},
			"Matthews":  {c.Matthews() * c.Matthews(), c.Informedness() * c.Markedness()},
			"F1":        {c.Dice(), f1(c)},
			"F0":        {c.Precision(), f0(c)},
			"threshold": {math.Sqrt(c.FalsePositiveRate()) / (math.Sqrt(c.FalsePositiveRate()) + math.Sqrt(c.Sensitivity())), c.PrevalenceThreshold()},
		} {
			assert.InDelta(t, test[0], test[1], 1e-9, name)
		}
		swapped := afl.Confusion{TP: c.FP, FP: c.TP, TN: c.FN, FN: c.TN} // of the opposite target
		assert.InDelta(t, -c.Matthews(), swapped.Matthews(), 1e-12)
	}
}

func TestAverages(t *testing.T) {
	counts := afl.Confusions{
		{{TP: 4, FP: 1, TN: 5, FN: 0}, {TP: 1, FP: 2, TN: 5, FN: 2}, {TN: 10}},
		{{TP: 3, FP: 1, TN: 5, FN: 1}, {TP: 0, FP: 2, TN: 8, FN: 0}, {TN: 10}},
	}
	recall := afl.Confusion.Sensitivity
	assert.Equal(t, []afl.Confusion{{TP: 7, FP: 2, TN: 10, FN: 1}, {TP: 1, FP: 4, TN: 13, FN: 2}, {TN: 20}}, counts.Pooled())
	assert.InDelta(t, 8.0/11, counts.Micro(recall), 1e-15)
	assert.InDelta(t, (7.0/8+1.0/3)/2, counts.Macro(recall), 1e-15, "the third class has no voxel")
	assert.InDelta(t, (8*7.0/8+3*1.0/3)/11, counts.Weighted(recall), 1e-15)
	assert.InDelta(t, ((1+1.0/3)/2+3.0/4)/2, counts.Mean(recall), 1e-15, "over samples")
	assert.Equal(t, 3, afl.CountDefined(counts.Values(recall)))
	empty := afl.Confusions{{{TN: 3}}}
	for _, mean := range []func(func(afl.Confusion) float64) float64{empty.Micro, empty.Macro, empty.Weighted, afl.Confusions{}.Macro, afl.Confusions{}.Weighted} {
		assert.True(t, math.IsNaN(mean(recall)))
	}
	assert.Empty(t, afl.Confusions{}.Pooled())
}

func TestGeneralizedDiceScores(t *testing.T) {
	counts := afl.Confusions{
		{{TP: 40, FP: 2, TN: 57, FN: 1}, {TP: 3, FP: 1, TN: 95, FN: 2}},
		{{TP: 40, FP: 2, TN: 57, FN: 1}, {FP: 3, TN: 97}},
		{{TN: 5}, {TN: 5}},
		{{FP: 1, TN: 5}, {TN: 5}},
	}
	square := func(v float64) float64 { return 1 / (v * v) }
	for weighting, weight := range map[afl.ClassWeighting]func(float64) float64{
		afl.WeightSquare:  square,
		afl.WeightSimple:  func(v float64) float64 { return 1 / v },
		afl.WeightUniform: func(float64) float64 { return 1 },
	} {
		got, err := counts.GeneralizedDiceScores(weighting)
		require.NoError(t, err)
		a, b := weight(41), weight(5)
		assert.InDelta(t, (80*a+6*b)/(83*a+9*b), got[0], 1e-15)
		assert.InDelta(t, 80*a/(83*a+3*a), got[1], 1e-15, "a class without volume has the largest weight")
		assert.Equal(t, 1.0, got[2], "nothing anywhere")
		assert.Equal(t, 0.0, got[3], "a false positive alone")
	}
	_, err := counts.GeneralizedDiceScores(7)
	assert.ErrorContains(t, err, "weighting is ")
}
