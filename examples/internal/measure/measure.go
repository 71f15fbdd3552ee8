// Package measure compares what a network found with a label: it decides which
// voxels are tumour and takes the measures of a report.
package measure

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/report"
)

// Extent says how much of a case is measured.
type Extent bool

const (
	// Overlaps are the soft and hard overlaps: cheap, for every epoch.
	Overlaps Extent = false
	// Everything adds surface distances and lesions.
	Everything Extent = true
)

// Logits measures a case's logits, float32 1×2×X×Y×Z, against its label,
// 1×X×Y×Z. The spacing is in millimetres. What has no value on this case stays
// undefined.
func Logits(logits, label *tensor.Dense, spacing [3]float64, rule afl.PredictionRule, extent Extent) (report.Values, error) {
	values := report.NoValues()
	softDice, err := afl.SoftDice(logits, label, true)
	if err != nil {
		return values, err
	}
	softIoU, err := afl.SoftIoU(logits, label, true)
	if err != nil {
		return values, err
	}
	values[report.SoftDice], values[report.SoftIoU] = report.Number(softDice), report.Number(softIoU)

	counts, err := afl.CountLogits(rule, logits, label)
	if err != nil {
		return values, err
	}
	// SigmoidChannel1 yields the foreground alone, Argmax it after the background.
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

// Masks measures a predicted mask against the reference, both X×Y×Z and 0 in
// the background. The soft measures stay undefined, and so does what has no
// value on this case.
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

// setShapes sets the measures of surfaces and lesions.
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

// NonFinite returns the first value of t, float32, that is NaN or infinite.
func NonFinite(t *tensor.Dense) (float32, bool) {
	for _, v := range t.Data().([]float32) {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return v, true
		}
	}
	return 0, false
}
