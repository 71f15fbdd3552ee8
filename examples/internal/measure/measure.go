// Package measure compares the output of a network with a label: it makes masks of logits
// and computes the measures of a report.
package measure

import (
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/outcome"
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
func Logits(logits, label *tensor.Dense, spacing [3]float64, rule afl.PredictionRule, extent Extent) (outcome.Values, error) {
	values := outcome.NoValues()
	softDice, err := afl.SoftDice(logits, label, true, afl.IgnoreIndex{})
	if err != nil {
		return values, err
	}
	softIoU, err := afl.SoftIoU(logits, label, true, afl.IgnoreIndex{})
	if err != nil {
		return values, err
	}
	values[outcome.SoftDice], values[outcome.SoftIoU] = outcome.Number(softDice), outcome.Number(softIoU)
	if err := setCalibrationOf(&values, logits, label, rule); err != nil {
		return values, err
	}

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
func Masks(prediction, reference *tensor.Dense, spacing [3]float64) (outcome.Values, error) {
	values := outcome.NoValues()
	counts, err := afl.CountMasks(prediction, reference)
	if err != nil {
		return values, err
	}
	setOverlaps(&values, counts)
	return values, setShapes(&values, prediction, reference, spacing)
}

func setOverlaps(v *outcome.Values, c afl.Confusion) {
	v[outcome.Dice] = outcome.Number(c.Dice())
	v[outcome.IoU] = outcome.Number(c.IoU())
	v[outcome.Sensitivity] = outcome.Number(c.Sensitivity())
	v[outcome.Specificity] = outcome.Number(c.Specificity())
}

const (
	surfaceTolerance = 1   // mm, of outcome.SurfaceDice
	lesionIoU        = 0.1 // of outcome.LesionF1IoU, that of the PI-CAI challenge
)

// setShapes sets the measures of surfaces and lesions. As the A-FL authors take them, lesions
// are 26-connected components, found if the prediction touches them.
func setShapes(v *outcome.Values, prediction, reference *tensor.Dense, spacing [3]float64) error {
	distances, err := afl.NewSurfaceDistances(prediction, reference, spacing[:])
	if err != nil {
		return err
	}
	v[outcome.Hausdorff95] = outcome.Number(distances.HD95())
	v[outcome.SurfaceDistance] = outcome.Number(distances.Average())
	within, err := distances.SurfaceDice(surfaceTolerance)
	if err != nil {
		return err
	}
	v[outcome.SurfaceDice] = outcome.Number(within)
	lesions, err := afl.CompareLesions(prediction, reference, afl.Connectivity26, afl.Touch())
	if err != nil {
		return err
	}
	matched, err := afl.CompareLesions(prediction, reference, afl.Connectivity26, afl.MinIoU(lesionIoU))
	if err != nil {
		return err
	}
	v[outcome.LesionF1IoU] = outcome.Number(matched.F1())
	v[outcome.LesionF1] = outcome.Number(lesions.F1())
	v[outcome.LesionTP] = outcome.Number(lesions.TP)
	v[outcome.LesionFP] = outcome.Number(lesions.FP)
	v[outcome.LesionFN] = outcome.Number(lesions.FN)
	return nil
}
