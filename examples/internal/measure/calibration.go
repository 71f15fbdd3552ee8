package measure

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/outcome"
)

// calibrationBins is the number of bins of equal width of [outcome.CalibrationError].
const calibrationBins = 10

// setCalibration sets the Brier score and the expected calibration error of the probabilities
// of n voxels.
func setCalibration(v *outcome.Values, n int, probability func(i int) float64, positive func(i int) bool) {
	var squares float64
	var difference [calibrationBins]float64 // Σ (p − y) of a bin, which is n·(mean p − mean y)
	for i := range n {
		p, y := probability(i), 0.0
		if positive(i) {
			y = 1
		}
		squares += float64((p - y) * (p - y))
		difference[min(int(p*calibrationBins), calibrationBins-1)] += p - y
	}
	sum := 0.0
	for _, d := range difference {
		sum += math.Abs(d)
	}
	v[outcome.Brier], v[outcome.CalibrationError] = outcome.Number(squares/float64(n)), outcome.Number(sum/float64(n))
}

// foregroundProbability returns the probability of the foreground of each voxel under the rule
// that makes the masks, from the logits of two channels.
func foregroundProbability(logits []float32, rule afl.PredictionRule) (func(i int) float64, error) {
	background, foreground := logits[:len(logits)/2], logits[len(logits)/2:]
	switch rule {
	case afl.SigmoidChannel1:
		return func(i int) float64 { return sigmoid(float64(foreground[i])) }, nil
	case afl.Argmax:
		return func(i int) float64 { return sigmoid(float64(foreground[i]) - float64(background[i])) }, nil
	}
	return nil, fmt.Errorf("measure: the rule %v has no probability of a foreground", rule)
}

// classProbability returns the softmax probability of class c of k in each voxel.
func classProbability(logits []float32, k, c int) func(i int) float64 {
	n := len(logits) / k
	return func(i int) float64 {
		sum := 0.0
		for other := range k {
			sum += math.Exp(float64(logits[other*n+i]) - float64(logits[c*n+i]))
		}
		return 1 / sum
	}
}

// sigmoid returns 1/(1+exp(−x)).
func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// setCalibrationOf sets the calibration of a binary scheme.
func setCalibrationOf(v *outcome.Values, logits, label *tensor.Dense, rule afl.PredictionRule) error {
	values, ok := logits.Data().([]float32)
	labels, labeled := label.Data().([]uint8)
	if !ok || !labeled || len(values) != 2*len(labels) {
		return fmt.Errorf("measure: the logits are %v of shape %v and the label %v of shape %v, want float32 of two channels and uint8", logits.Dtype(), logits.Shape(), label.Dtype(), label.Shape())
	}
	probability, err := foregroundProbability(values, rule)
	if err != nil {
		return err
	}
	setCalibration(v, len(labels), probability, func(i int) bool { return labels[i] != 0 })
	return nil
}
