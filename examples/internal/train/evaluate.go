package train

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/report"
)

// measureSet says how much of a case is measured.
type measureSet bool

const (
	// overlapMeasures are the soft and hard overlaps: cheap, for every epoch.
	overlapMeasures measureSet = false
	// allMeasures adds surface distances and lesions.
	allMeasures measureSet = true
)

// evaluate measures a case's logits, float32 1×2×X×Y×Z, against its label. What
// has no value on this case stays undefined.
func evaluate(id string, logits, label *tensor.Dense, spacing [3]float64, rule afl.PredictionRule, measures measureSet) (report.Case, error) {
	c := report.Case{ID: id, Values: report.NoValues()}
	fail := func(err error) (report.Case, error) {
		return report.Case{}, fmt.Errorf("train: case %s: %w", id, err)
	}
	set := func(m report.Measure, v float64) { c.Values[m] = report.Number(v) }

	softDice, err := afl.SoftDice(logits, label, true)
	if err != nil {
		return fail(err)
	}
	softIoU, err := afl.SoftIoU(logits, label, true)
	if err != nil {
		return fail(err)
	}
	set(report.SoftDice, softDice)
	set(report.SoftIoU, softIoU)

	counts, err := afl.CountLogits(rule, logits, label)
	if err != nil {
		return fail(err)
	}
	// SigmoidChannel1 yields the foreground alone, Argmax it after the background.
	hard := counts[0][len(counts[0])-1]
	set(report.Dice, hard.Dice())
	set(report.IoU, hard.IoU())
	set(report.Sensitivity, hard.Sensitivity())
	set(report.Specificity, hard.Specificity())
	if measures == overlapMeasures {
		return c, nil
	}

	masks, err := afl.Predict(rule, logits)
	if err != nil {
		return fail(err)
	}
	prediction, err := afl.ClassMask(masks, 3, 0, 1)
	if err != nil {
		return fail(err)
	}
	reference, err := afl.ClassMask(label, 3, 0, 1)
	if err != nil {
		return fail(err)
	}
	distances, err := afl.NewSurfaceDistances(prediction, reference, spacing[:])
	if err != nil {
		return fail(err)
	}
	set(report.Hausdorff95, distances.HD95())
	set(report.SurfaceDistance, distances.Average())
	lesions, err := afl.CompareLesions(prediction, reference, afl.Connectivity26)
	if err != nil {
		return fail(err)
	}
	set(report.LesionF1, lesions.F1())
	set(report.LesionTP, float64(lesions.TP))
	set(report.LesionFP, float64(lesions.FP))
	set(report.LesionFN, float64(lesions.FN))
	return c, nil
}

// nonFinite returns the first value of t, float32, that is NaN or infinite.
func nonFinite(t *tensor.Dense) (float32, bool) {
	for _, v := range t.Data().([]float32) {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return v, true
		}
	}
	return 0, false
}
