package afl

import "math"

// Pooled returns the counts of each class, added over the samples. Samples may have
// different numbers of classes.
func (c Confusions) Pooled() []Confusion {
	var pooled []Confusion
	for _, classes := range c {
		for k, counts := range classes {
			if k == len(pooled) {
				pooled = append(pooled, Confusion{})
			}
			pooled[k] = pooled[k].Add(counts)
		}
	}
	return pooled
}

// Micro returns a metric of all counts added over classes and samples, torchmetrics'
// average "micro": large classes dominate it.
func (c Confusions) Micro(metric func(Confusion) float64) float64 {
	var sum Confusion
	for _, counts := range c.Pooled() {
		sum = sum.Add(counts)
	}
	return metric(sum)
}

// Macro returns the mean over the classes of a metric of each class's counts, added over
// the samples: torchmetrics' average "macro". Classes where the metric is NaN are left
// out; it is NaN where all are. [Confusions.Mean], in contrast, averages over samples.
func (c Confusions) Macro(metric func(Confusion) float64) float64 {
	var mean nanMean
	for _, counts := range c.Pooled() {
		mean.add(metric(counts))
	}
	return mean.value()
}

// Weighted returns the mean over the classes of a metric of each class's counts, added
// over the samples, weighted by the class's voxels in the target, TP+FN: torchmetrics'
// average "weighted". Classes where the metric is NaN are left out; it is NaN where no
// other has a voxel.
func (c Confusions) Weighted(metric func(Confusion) float64) float64 {
	var sum, weights float64
	for _, counts := range c.Pooled() {
		v, weight := metric(counts), float64(counts.TP+counts.FN)
		if weight > 0 && !math.IsNaN(v) {
			sum += float64(weight * v) // not fused: the same bits everywhere
			weights += weight
		}
	}
	return sum / weights
}

// CountDefined returns how many of values[n][k] are not NaN: of how many samples and
// classes a mean speaks. It is MONAI's not_nans for reduction "none", added up.
func CountDefined(values [][]float64) int {
	defined := 0
	for _, classes := range values {
		for _, v := range classes {
			if !math.IsNaN(v) {
				defined++
			}
		}
	}
	return defined
}

// GeneralizedDiceScores returns the generalized Dice score of each sample over its
// classes k, MONAI's GeneralizedDiceScore,
//
//	2·Σ w_k·TP_k / Σ w_k·(2·TP_k + FP_k + FN_k)
//
// from 0 to 1, where w_k derives from the class's voxels in the target, TP_k+FN_k, as in
// the loss [GeneralizedDice]. A class without any has the largest weight of the others, 0
// if there is none. Where the denominator is 0 the score is 1 if nothing is predicted and 0
// otherwise. Drop the background by [Confusions.Foreground].
//
// W. R. Crum, O. Camara and D. L. G. Hill, "Generalized overlap measures for evaluation and
// validation in medical image analysis", IEEE Transactions on Medical Imaging 25 (2006)
// 1451–1461.
func (c Confusions) GeneralizedDiceScores(weighting ClassWeighting) ([]float64, error) {
	if weighting > WeightUniform {
		return nil, refuse("weighting", weighting, "WeightSquare, WeightSimple or WeightUniform")
	}
	scores := make([]float64, len(c))
	for n, classes := range c {
		scores[n] = generalizedDiceScore(classes, weighting)
	}
	return scores, nil
}

func generalizedDiceScore(classes []Confusion, weighting ClassWeighting) float64 {
	weights, largest := make([]float64, len(classes)), 0.0
	for k, counts := range classes {
		switch volume := float64(counts.TP + counts.FN); {
		case weighting == WeightUniform:
			weights[k] = 1
		case volume == 0:
			weights[k] = math.Inf(1)
			continue
		case weighting == WeightSimple:
			weights[k] = 1 / volume
		default:
			weights[k] = 1 / (volume * volume)
		}
		largest = max(largest, weights[k])
	}
	var shared, all float64
	predicted := int64(0)
	for k, counts := range classes {
		weight := min(weights[k], largest)
		// Not fused: the same bits everywhere.
		shared += float64(weight * float64(2*counts.TP))
		all += float64(weight * float64(2*counts.TP+counts.FP+counts.FN))
		predicted += counts.TP + counts.FP
	}
	switch {
	case all > 0:
		return shared / all
	case predicted == 0:
		return 1
	}
	return 0
}
