// Package measure compares the output of a network with a label: it makes masks of logits
// and computes the measures of a report.
package measure

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/report"
)

// Extent says which measures of a case are computed.
type Extent bool

const (
	// Overlaps are the soft and hard overlaps, which are cheap enough for every epoch.
	Overlaps Extent = false
	// Everything adds surface distances and lesions.
	Everything Extent = true
)

// Logits compares a case's logits, float32 1×2×X×Y×Z, with its label, 1×X×Y×Z. The
// spacing is in millimeters. A measure without a value for this case is undefined.
func Logits(logits, label *tensor.Dense, spacing [3]float64, rule afl.PredictionRule, extent Extent) (report.Values, error) {
	values := report.NoValues()
	softDice, err := afl.SoftDice(logits, label, true, afl.IgnoreIndex{})
	if err != nil {
		return values, err
	}
	softIoU, err := afl.SoftIoU(logits, label, true, afl.IgnoreIndex{})
	if err != nil {
		return values, err
	}
	values[report.SoftDice], values[report.SoftIoU] = report.Number(softDice), report.Number(softIoU)

	counts, err := afl.CountLogits(rule, logits, label, afl.IgnoreIndex{})
	if err != nil {
		return values, err
	}
	// The foreground is the only class of SigmoidChannel1 and the second of Argmax.
	setOverlaps(&values, counts[0][len(counts[0])-1])
	if extent == Overlaps {
		return values, nil
	}

	masks, err := afl.Predict(rule, logits)
	if err != nil {
		return values, err
	}
	prediction, err := afl.ClassMask(masks, 3, 0, 1)
	if err != nil {
		return values, err
	}
	reference, err := afl.ClassMask(label, 3, 0, 1)
	if err != nil {
		return values, err
	}
	return values, setShapes(&values, prediction, reference, spacing)
}

// Masks compares a predicted mask with the reference, both X×Y×Z and 0 in the background.
// The soft measures are undefined, as is any measure without a value for this case.
func Masks(prediction, reference *tensor.Dense, spacing [3]float64) (report.Values, error) {
	values := report.NoValues()
	counts, err := afl.CountMasks(prediction, reference)
	if err != nil {
		return values, err
	}
	setOverlaps(&values, counts)
	return values, setShapes(&values, prediction, reference, spacing)
}

func setOverlaps(v *report.Values, c afl.Confusion) {
	v[report.Dice] = report.Number(c.Dice())
	v[report.IoU] = report.Number(c.IoU())
	v[report.Sensitivity] = report.Number(c.Sensitivity())
	v[report.Specificity] = report.Number(c.Specificity())
}

// setShapes sets the measures of surfaces and lesions, as the A-FL authors take them:
// lesions are 26-connected components, found if the prediction touches them.
func setShapes(v *report.Values, prediction, reference *tensor.Dense, spacing [3]float64) error {
	distances, err := afl.NewSurfaceDistances(prediction, reference, spacing[:])
	if err != nil {
		return err
	}
	v[report.Hausdorff95] = report.Number(distances.HD95())
	v[report.SurfaceDistance] = report.Number(distances.Average())
	lesions, err := afl.CompareLesions(prediction, reference, afl.Connectivity26, afl.Touch())
	if err != nil {
		return err
	}
	v[report.LesionF1] = report.Number(lesions.F1())
	v[report.LesionTP] = report.Number(lesions.TP)
	v[report.LesionFP] = report.Number(lesions.FP)
	v[report.LesionFN] = report.Number(lesions.FN)
	return nil
}

// NonFinite returns the first value of t, float32, that is NaN or infinite, and whether
// there is one.
func NonFinite(t *tensor.Dense) (float32, bool) {
	for _, v := range t.Data().([]float32) {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return v, true
		}
	}
	return 0, false
}
