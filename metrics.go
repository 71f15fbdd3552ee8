package afl

import "math"

// Confusion counts the voxels of one class in one sample by what a prediction
// and a reference say of them. The counts are exact for any size and any
// number of threads.
type Confusion struct {
	TP int64 // in both prediction and reference
	FP int64 // in the prediction only
	TN int64 // in neither
	FN int64 // in the reference only
}

// Dice returns the Dice coefficient 2·TP/(2·TP+FP+FN), and NaN where the
// reference is empty (TP+FN = 0): MONAI's default, which leaves such samples
// out of a mean. DiceEmptyOK scores them instead.
func (c Confusion) Dice() float64 {
	if c.TP+c.FN == 0 {
		return math.NaN()
	}
	return c.DiceEmptyOK()
}

// DiceEmptyOK returns the Dice coefficient 2·TP/(2·TP+FP+FN), and 1 where both
// masks are empty. A prediction in an empty reference scores 0 (MONAI's
// ignore_empty=False).
func (c Confusion) DiceEmptyOK() float64 {
	if c.TP+c.FP+c.FN == 0 {
		return 1
	}
	return countRatio(2*c.TP, 2*c.TP+c.FP+c.FN)
}

// IoU returns the intersection over union (Jaccard index) TP/(TP+FP+FN), and
// NaN where the reference is empty; see Dice.
func (c Confusion) IoU() float64 {
	if c.TP+c.FN == 0 {
		return math.NaN()
	}
	return c.IoUEmptyOK()
}

// IoUEmptyOK returns the intersection over union TP/(TP+FP+FN), and 1 where
// both masks are empty; see DiceEmptyOK.
func (c Confusion) IoUEmptyOK() float64 {
	if c.TP+c.FP+c.FN == 0 {
		return 1
	}
	return countRatio(c.TP, c.TP+c.FP+c.FN)
}

// Sensitivity returns the recall TP/(TP+FN), and NaN where the reference is empty.
func (c Confusion) Sensitivity() float64 { return countRatio(c.TP, c.TP+c.FN) }

// Specificity returns TN/(TN+FP), and NaN where the reference covers everything.
func (c Confusion) Specificity() float64 { return countRatio(c.TN, c.TN+c.FP) }

// Precision returns TP/(TP+FP), and NaN where the prediction is empty.
func (c Confusion) Precision() float64 { return countRatio(c.TP, c.TP+c.FP) }

// Add returns the sum of the counts, for a score pooled over samples.
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

// Confusions holds the counts of a batch: Confusions[n][k] belongs to sample n
// and class k.
type Confusions [][]Confusion

// Values evaluates a metric on every sample and class; values[n][k] belongs to
// sample n and class k:
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
// [MeanIgnoringNaN]: NaN where the metric has no value anywhere. For MONAI's 0
// take [MONAIMean] of [Confusions.Values].
//
//	meanDice := counts.Foreground().Mean(afl.Confusion.Dice)
func (c Confusions) Mean(metric func(Confusion) float64) float64 {
	return MeanIgnoringNaN(c.Values(metric))
}

// Foreground returns the counts without class 0, the background. A sample with
// a single class keeps it.
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

// MeanIgnoringNaN returns the mean of values[n][k] of sample n and class k: first
// the mean over the classes of a sample, without NaN, then the mean over the
// samples that have at least one number. It is NaN where there is no number at
// all.
//
// It is the order of MONAI's do_metric_reduction with reduction "mean", which
// gives every sample the same weight, however many of its classes are defined.
// See [MONAIMean] for its value where there is no number.
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

// MONAIMean is [MeanIgnoringNaN], but 0 where that is NaN, as MONAI has it. Such
// a 0 cannot be told from the worst score.
func MONAIMean(values [][]float64) float64 {
	mean := MeanIgnoringNaN(values)
	if math.IsNaN(mean) {
		return 0
	}
	return mean
}

// nanMean is a running mean of the numbers that are not NaN.
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

// value returns the mean, NaN where there is no number.
func (m *nanMean) value() float64 { return m.sum / float64(m.n) }
