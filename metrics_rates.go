package afl

import "math"

// These metrics, and sensitivity, specificity, precision and the overlaps, are NaN where
// their quotient is 0/0 or a rate that they derive from is NaN, as in MONAI
// (ConfusionMatrixMetric). torchmetrics returns 0 instead, and for Matthews other values
// that depend on the case.

// FalsePositiveRate returns FP/(FP+TN) = 1 − specificity, the fall-out. It is NaN where
// the target covers everything.
func (c Confusion) FalsePositiveRate() float64 { return countRatio(c.FP, c.FP+c.TN) }

// FalseNegativeRate returns FN/(FN+TP) = 1 − sensitivity, the miss rate. It is NaN where
// the target is empty.
func (c Confusion) FalseNegativeRate() float64 { return countRatio(c.FN, c.FN+c.TP) }

// NegativePredictiveValue returns TN/(TN+FN), the share of what the prediction leaves out
// that is right. It is NaN where the prediction covers everything.
func (c Confusion) NegativePredictiveValue() float64 { return countRatio(c.TN, c.TN+c.FN) }

// FalseDiscoveryRate returns FP/(FP+TP) = 1 − precision. It is NaN where the prediction is
// empty.
func (c Confusion) FalseDiscoveryRate() float64 { return countRatio(c.FP, c.FP+c.TP) }

// FalseOmissionRate returns FN/(FN+TN) = 1 − negative predictive value. It is NaN where
// the prediction covers everything.
func (c Confusion) FalseOmissionRate() float64 { return countRatio(c.FN, c.FN+c.TN) }

// Accuracy returns (TP+TN)/(TP+FP+TN+FN). Where tumors are small it is close to 1 for an
// empty prediction; see [Confusion.BalancedAccuracy].
func (c Confusion) Accuracy() float64 { return countRatio(c.TP+c.TN, c.TP+c.FP+c.TN+c.FN) }

// BalancedAccuracy returns (sensitivity + specificity)/2. It is NaN where the target is
// empty or covers everything.
func (c Confusion) BalancedAccuracy() float64 { return (c.Sensitivity() + c.Specificity()) / 2 }

// Informedness returns sensitivity + specificity − 1, Youden's J, from −1 to 1. It is NaN
// where the target is empty or covers everything.
//
// W. J. Youden, "Index for rating diagnostic tests", Cancer 3 (1950) 32–35.
func (c Confusion) Informedness() float64 { return c.Sensitivity() + c.Specificity() - 1 }

// Markedness returns precision + negative predictive value − 1, from −1 to 1. It is NaN
// where the prediction is empty or covers everything.
func (c Confusion) Markedness() float64 { return c.Precision() + c.NegativePredictiveValue() - 1 }

// Matthews returns Matthews' correlation coefficient
//
//	(TP·TN − FP·FN)/√((TP+FP)·(TP+FN)·(TN+FP)·(TN+FN))
//
// from −1 to 1, the geometric mean of informedness and markedness with their sign. It is
// NaN where the prediction or the target is empty or covers everything.
//
// B. W. Matthews, "Comparison of the predicted and observed secondary structure of T4
// phage lysozyme", Biochimica et Biophysica Acta 405 (1975) 442–451.
func (c Confusion) Matthews() float64 {
	tp, fp, tn, fn := float64(c.TP), float64(c.FP), float64(c.TN), float64(c.FN)
	// The root of each factor, as their product may be too large. The products of the
	// numerator are rounded one by one for the same bits everywhere.
	return (float64(tp*tn) - float64(fp*fn)) /
		(math.Sqrt(tp+fp) * math.Sqrt(tp+fn) * math.Sqrt(tn+fp) * math.Sqrt(tn+fn))
}

// FowlkesMallows returns √(precision·sensitivity), from 0 to 1. It is NaN where the
// prediction or the target is empty.
//
// E. B. Fowlkes and C. L. Mallows, "A Method for Comparing Two Hierarchical Clusterings",
// Journal of the American Statistical Association 78 (1983) 553–569.
func (c Confusion) FowlkesMallows() float64 { return math.Sqrt(c.Precision() * c.Sensitivity()) }

// PrevalenceThreshold returns the prevalence below which precision falls fastest,
//
//	(√(TPR·FPR) − FPR)/(TPR − FPR)
//
// from 0 to 1, where TPR is the sensitivity and FPR the false positive rate. It is NaN
// where these are equal, and where the target is empty or covers everything.
//
// J. Balayla, "Prevalence threshold (ϕe) and the geometry of screening curves", PLOS ONE
// 15 (2020) e0240215.
func (c Confusion) PrevalenceThreshold() float64 {
	tpr, fpr := c.Sensitivity(), c.FalsePositiveRate()
	if tpr == fpr {
		return math.NaN()
	}
	return (math.Sqrt(tpr*fpr) - fpr) / (tpr - fpr)
}

// FBeta returns the metric
//
//	F_β = (1+β²)·TP/((1+β²)·TP + β²·FN + FP)
//
// from 0 to 1, which weighs sensitivity β times as much as precision; at 1 it is the Dice
// coefficient. It is NaN where prediction and target are empty (at β = 0, where the
// prediction is). A β that is negative, NaN or so large that β² is not finite is an error.
//
//	f2, err := afl.FBeta(2)
//	…
//	counts.Mean(f2)
//
// C. J. van Rijsbergen, Information Retrieval, 2nd ed., Butterworths 1979, chapter 7.
func FBeta(beta float64) (func(Confusion) float64, error) {
	square := beta * beta
	if !(beta >= 0) || math.IsInf(square, 1) {
		return nil, refuse("beta", beta, "a number of at least 0 whose square is finite")
	}
	// Divided by 1+β², which keeps products with a large β² finite.
	weightFN, weightFP := square/(1+square), 1/(1+square)
	return func(c Confusion) float64 {
		tp := float64(c.TP)
		return tp / (tp + float64(weightFN*float64(c.FN)) + float64(weightFP*float64(c.FP)))
	}, nil
}
