package report

import (
	"math"
	"slices"
	"strconv"

	"github.com/x/afl/examples/internal/outcome"
)

// CurveKind is a kind of curve of detection over all thresholds.
type CurveKind string

// The kinds of curves of detection.
const (
	// PrecisionRecall is the precision of the candidates over the recall of the lesions.
	PrecisionRecall CurveKind = "precision_recall"
	// ROC is the true positive rate of the cases over their false positive rate.
	ROC CurveKind = "roc"
	// FROC is the sensitivity for lesions over the number of false positives per case.
	FROC CurveKind = "froc"
)

// CurveKinds returns the kinds of curves in the order in which they are shown.
func CurveKinds() []CurveKind { return []CurveKind{PrecisionRecall, ROC, FROC} }

// Titles returns the title of a chart of the kind and the labels of its axes.
func (k CurveKind) Titles() (title, x, y string) {
	switch k {
	case PrecisionRecall:
		return "Precision-recall of lesions", "recall", "precision"
	case ROC:
		return "ROC of cases", "false positive rate", "true positive rate"
	}
	return "FROC of lesions", "false positives per case", "sensitivity"
}

// CurvePoint is a point of a curve: candidates or cases of at least the threshold count.
type CurvePoint struct{ Threshold, X, Y float64 }

// DetectionCurve is a curve of a network with a loss.
type DetectionCurve struct {
	Kind         CurveKind
	Run, Network string
	Loss, Name   string // name of the loss in files, and in figures
	Color        int    // index for [Color]
	Trainings    []outcome.Training
	Cases        int
	// Points go from the highest threshold to the lowest above 0. There is none where
	// the curve is undefined: without a lesion, and for a ROC curve without cases of both
	// kinds.
	Points []CurvePoint
}

// Line returns the points between which the curve is drawn straight: those of a step
// function, except for a ROC curve. Average precision is the area below it.
func (c *DetectionCurve) Line() []CurvePoint {
	var line []CurvePoint
	for i, p := range c.Points {
		switch {
		case c.Kind == PrecisionRecall && i == 0:
			line = append(line, CurvePoint{p.Threshold, 0, p.Y})
		case c.Kind == PrecisionRecall:
			line = append(line, CurvePoint{p.Threshold, c.Points[i-1].X, p.Y})
		case c.Kind == FROC && i == 0:
			line = append(line, CurvePoint{p.Threshold, p.X, 0})
		case c.Kind == FROC:
			line = append(line, CurvePoint{p.Threshold, p.X, c.Points[i-1].Y})
		}
		line = append(line, p)
	}
	return line
}

// DetectionCurves returns the curves of a network, or of all for "": for each loss and each
// set of results that holds every case once, one of each kind. It is empty if no lesion
// candidates were looked for.
func (r *Run) DetectionCurves(network string) ([]DetectionCurve, error) {
	var curves []DetectionCurve
	colors := map[string]int{} // losses so far of each network
	for _, p := range outcome.Store(r.Results).Pool() {
		color := colors[p.Network]
		colors[p.Network]++
		if network != "" && p.Network != network {
			continue
		}
		sets, err := outcome.DetectionSets(p.Cases)
		if err != nil {
			return nil, err
		}
		for _, s := range sets {
			for _, kind := range CurveKinds() {
				c := DetectionCurve{
					Kind: kind, Run: p.Run, Network: p.Network, Loss: p.Loss, Name: curveName(&p.Result), Color: color,
					Trainings: s.Trainings, Cases: len(s.Cases),
				}
				if c.Points, err = curvePoints(kind, s); err != nil {
					return nil, err
				}
				curves = append(curves, c)
			}
		}
	}
	return curves, nil
}

func curvePoints(kind CurveKind, s outcome.DetectionSet) ([]CurvePoint, error) {
	var points []CurvePoint
	switch kind {
	case ROC:
		for _, p := range s.Set.ROC() {
			points = append(points, CurvePoint{p.Threshold, p.FalsePositiveRate, p.TruePositiveRate})
		}
	case FROC:
		for _, p := range s.Set.FROC() {
			points = append(points, CurvePoint{p.Threshold, p.FalsePositives, p.Sensitivity})
		}
	case PrecisionRecall:
		if s.Set.Lesions() == 0 {
			return nil, nil
		}
		all, err := s.Set.PrecisionRecall()
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			if p.Threshold > 0 { // at 0 every lesion counts as found, also those without a candidate
				points = append(points, CurvePoint{p.Threshold, p.Recall, p.Precision})
			}
		}
	}
	if slices.ContainsFunc(points, func(p CurvePoint) bool { return math.IsNaN(p.X) || math.IsNaN(p.Y) }) {
		return nil, nil
	}
	return points, nil
}

// WriteDetectionCurvesCSV writes one row per point of each curve to path, with full
// precision: of precision_recall x is the recall and y the precision, of roc the false and
// the true positive rate of cases, of froc the number of false positives per case and the
// sensitivity. The cells of the seed and the fold are empty if a curve is of several.
func (r *Run) WriteDetectionCurvesCSV(path string) error {
	curves, err := r.DetectionCurves("")
	if err != nil {
		return err
	}
	rows := [][]string{{"run", "network", "loss", "seed", "fold", "curve", "threshold", "x", "y"}}
	for _, c := range curves {
		seed, fold := trainingNames(c.Trainings)
		for _, p := range c.Points {
			rows = append(rows, []string{
				c.Run, c.Network, c.Loss, seed, fold, string(c.Kind),
				cell(outcome.Number(p.Threshold)), cell(outcome.Number(p.X)), cell(outcome.Number(p.Y)),
			})
		}
	}
	return writeCSV(path, rows)
}

// trainingNames returns the seed and the fold that all trainings share, or "".
func trainingNames(trainings []outcome.Training) (seed, fold string) {
	seed, fold = strconv.FormatUint(trainings[0].Seed, 10), strconv.Itoa(trainings[0].Fold)
	for _, t := range trainings {
		if t.Seed != trainings[0].Seed {
			seed = ""
		}
		if t.Fold != trainings[0].Fold {
			fold = ""
		}
	}
	return seed, fold
}
