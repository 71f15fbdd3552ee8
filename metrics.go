package afl

import "math"

// Confusion counts the voxels of one class in one sample by whether the prediction
// and the target contain them. The counts are exact for any size and any number of
// threads. [CountLogits], [CountLabels] and [CountMasks] make them.
type Confusion struct {
	TP int64 // in both prediction and target
	FP int64 // in the prediction only
	TN int64 // in neither
	FN int64 // in the target only
}

// Dice returns the Dice coefficient 2·TP/(2·TP+FP+FN), from 0 to 1 for equal masks.
// Where the target is empty (TP+FN = 0) it is NaN, as in MONAI by default, so that
// [Confusions.Mean] leaves the sample out; see [Confusion.DiceEmptyOK].
//
// L. R. Dice, "Measures of the amount of ecologic association between species",
// Ecology 26 (1945) 297–302.
func (c Confusion) Dice() float64 {
	if c.TP+c.FN == 0 {
		return math.NaN()
	}
	return c.DiceEmptyOK()
}

// DiceEmptyOK returns the Dice coefficient 2·TP/(2·TP+FP+FN), and 1 where both
// masks are empty. Where only the target is empty it is 0. It is MONAI's Dice with
// ignore_empty=False.
func (c Confusion) DiceEmptyOK() float64 {
	if c.TP+c.FP+c.FN == 0 {
		return 1
	}
	return countRatio(2*c.TP, 2*c.TP+c.FP+c.FN)
}

// IoU returns the intersection over union, or Jaccard index, TP/(TP+FP+FN), from 0
// to 1 for equal masks. Where the target is empty it is NaN; see [Confusion.Dice].
// The two determine each other: Dice = 2·IoU/(1+IoU).
//
// P. Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 11
// (1912) 37–50.
func (c Confusion) IoU() float64 {
	if c.TP+c.FN == 0 {
		return math.NaN()
	}
	return c.IoUEmptyOK()
}

// IoUEmptyOK returns the intersection over union TP/(TP+FP+FN), and 1 where both
// masks are empty. Where only the target is empty it is 0. It is MONAI's IoU with
// ignore_empty=False.
func (c Confusion) IoUEmptyOK() float64 {
	if c.TP+c.FP+c.FN == 0 {
		return 1
	}
	return countRatio(c.TP, c.TP+c.FP+c.FN)
}

// Sensitivity returns TP/(TP+FN), the share of the target that was found: the
// recall, or true positive rate. It is NaN where the target is empty.
func (c Confusion) Sensitivity() float64 { return countRatio(c.TP, c.TP+c.FN) }

// Specificity returns TN/(TN+FP), the share of the rest that was left out: the true
// negative rate. It is NaN where the target covers everything.
func (c Confusion) Specificity() float64 { return countRatio(c.TN, c.TN+c.FP) }

// Precision returns TP/(TP+FP), the share of the prediction that is right: the
// positive predictive value. It is NaN where the prediction is empty.
func (c Confusion) Precision() float64 { return countRatio(c.TP, c.TP+c.FP) }

// Add returns the sum of the counts, for a metric of several samples pooled.
func (c Confusion) Add(d Confusion) Confusion {
	return Confusion{c.TP + d.TP, c.FP + d.FP, c.TN + d.TN, c.FN + d.FN}
}

// countRatio returns a/b, and NaN for 0/0.
func countRatio(a, b int64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return float64(a) / float64(b)
}

// Confusions holds the counts of a batch: Confusions[n][k] is the [Confusion] of
// class k in sample n.
type Confusions [][]Confusion

// Values evaluates a metric on every sample and class; values[n][k] is that of class
// k in sample n:
//
//	dice := counts.Values(afl.Confusion.Dice)
func (c Confusions) Values(metric func(Confusion) float64) [][]float64 {
	values := make([][]float64, len(c))
	for n, classes := range c {
		values[n] = make([]float64, len(classes))
		for k, counts := range classes {
			values[n][k] = metric(counts)
		}
	}
	return values
}

// Mean returns the mean of a metric over classes and samples by
// [MeanIgnoringNaN]: NaN where the metric has no value anywhere. For MONAI's 0,
// pass [Confusions.Values] to [MONAIMean].
//
//	meanDice := counts.Foreground().Mean(afl.Confusion.Dice)
func (c Confusions) Mean(metric func(Confusion) float64) float64 {
	return MeanIgnoringNaN(c.Values(metric))
}

// Foreground returns the counts without class 0, the background. A sample with a
// single class keeps it.
func (c Confusions) Foreground() Confusions {
	out := make(Confusions, len(c))
	for n, classes := range c {
		if len(classes) > 1 {
			classes = classes[1:]
		}
		out[n] = classes
	}
	return out
}

// MeanIgnoringNaN returns the mean of values[n][k], the value of class k in sample
// n: first the mean over the classes of each sample, ignoring NaN, then the mean
// over the samples that have at least one number. It is NaN where there is no number
// at all.
//
// This is the order of MONAI's do_metric_reduction with reduction "mean". It gives
// every sample the same weight, however many of its classes are defined. See
// [MONAIMean] for MONAI's value where there is no number.
func MeanIgnoringNaN(values [][]float64) float64 {
	var samples nanMean
	for _, classes := range values {
		var m nanMean
		for _, v := range classes {
			m.add(v)
		}
		samples.add(m.value())
	}
	return samples.value()
}

// MONAIMean is [MeanIgnoringNaN], but 0 where that is NaN, as in MONAI. Such a 0
// cannot be told from the worst score.
func MONAIMean(values [][]float64) float64 {
	mean := MeanIgnoringNaN(values)
	if math.IsNaN(mean) {
		return 0
	}
	return mean
}

// nanMean is a running mean that ignores NaN.
type nanMean struct {
	sum float64
	n   int
}

func (m *nanMean) add(v float64) {
	if !math.IsNaN(v) {
		m.sum += v
		m.n++
	}
}

// value returns the mean, NaN where no number was added.
func (m *nanMean) value() float64 { return m.sum / float64(m.n) }
