package detection

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Set is a data set of cases whose detection is to be scored. [NewSet] makes it.
type Set struct {
	cases   []Case
	weights []float64   // of each case
	entries [][]float64 // weights of each case's entries
}

// NewSet returns the set of the given cases.
//
// weights are those of the cases in [Set.ROC] and [Set.AUROC], nil for 1 each.
// entryWeights are those of each case's entries in [Set.PrecisionRecall] and
// [Set.AveragePrecision], nil for each entry to have the weight of its case. [Set.FROC]
// counts without weights. No case, a confidence that is negative or not finite, a lesion
// without candidate or a weight that is negative or not finite, and lists of another
// length are errors.
func NewSet(cases []Case, weights []float64, entryWeights [][]float64) (*Set, error) {
	if len(cases) == 0 {
		return nil, refuse("cases", "empty", "at least one case")
	}
	if weights == nil {
		weights = slices.Repeat([]float64{1}, len(cases))
	}
	if len(weights) != len(cases) {
		return nil, refuse("weights", fmt.Sprintf("a list of %d", len(weights)), "one for each of the %d cases", len(cases))
	}
	if entryWeights != nil && len(entryWeights) != len(cases) {
		return nil, refuse("entryWeights", fmt.Sprintf("%d lists", len(entryWeights)), "one for each of the %d cases", len(cases))
	}
	s := &Set{cases: cases, weights: weights, entries: entryWeights}
	if entryWeights == nil {
		s.entries = make([][]float64, len(cases))
	}
	for i, c := range cases {
		what := fmt.Sprintf("of case %d (%q)", i, c.Name)
		if entryWeights == nil {
			s.entries[i] = slices.Repeat([]float64{weights[i]}, len(c.Entries))
		}
		if len(s.entries[i]) != len(c.Entries) {
			return nil, refuse("entryWeights "+what, fmt.Sprintf("a list of %d", len(s.entries[i])), "one for each of its %d entries", len(c.Entries))
		}
		for _, w := range append([]float64{weights[i]}, s.entries[i]...) {
			if !(w >= 0 && w <= math.MaxFloat64) {
				return nil, refuse("a weight "+what, w, "a finite number of at least 0")
			}
		}
		confidences := []float64{c.Confidence}
		for _, e := range c.Entries {
			confidences = append(confidences, e.Confidence)
		}
		for _, v := range confidences {
			if !(v >= 0 && v <= math.MaxFloat64) {
				return nil, refuse("a confidence "+what, v, "a finite number of at least 0")
			}
		}
	}
	return s, nil
}

// Cases returns the number of cases.
func (s *Set) Cases() int { return len(s.cases) }

// Lesions returns the number of lesions in all labels.
func (s *Set) Lesions() int {
	n := 0
	for _, c := range s.cases {
		for _, e := range c.Entries {
			if e.Lesion {
				n++
			}
		}
	}
	return n
}

// scored is something with a confidence that is to tell true from false.
type scored struct {
	confidence, weight float64
	positive           bool
}

// step is what has at least a confidence: the sums of weights of the positive and the
// negative ones.
type step struct {
	threshold          float64
	positive, negative float64
}

// steps returns one step for each confidence, from high to low.
func steps(all []scored) []step {
	slices.SortStableFunc(all, func(a, b scored) int { return cmp.Compare(b.confidence, a.confidence) })
	var out []step
	var sum step
	for i, v := range all {
		if v.positive {
			sum.positive += v.weight
		} else {
			sum.negative += v.weight
		}
		if i+1 == len(all) || all[i+1].confidence != v.confidence {
			sum.threshold = v.confidence
			out = append(out, sum)
		}
	}
	return out
}

// entrySteps returns the steps over all entries, by their weights or counted.
func (s *Set) entrySteps(weighted bool) []step {
	var all []scored
	for i, c := range s.cases {
		for j, e := range c.Entries {
			w := 1.0
			if weighted {
				w = s.entries[i][j]
			}
			all = append(all, scored{e.Confidence, w, e.Lesion})
		}
	}
	return steps(all)
}

// PrecisionRecallPoint is a point of a precision-recall curve: candidates of at least
// the threshold count.
type PrecisionRecallPoint struct {
	Threshold float64
	Precision float64 // share of lesions among the candidates
	Recall    float64 // share of lesions that are found
}

// PrecisionRecall returns the precision-recall curve, one point for each confidence from
// high to low. Lesions without a candidate have confidence 0; the point at 0 has
// precision 0 and recall 1. Recall is NaN where there is no lesion. No entry in any case
// is an error.
func (s *Set) PrecisionRecall() ([]PrecisionRecallPoint, error) {
	all := s.entrySteps(true)
	if len(all) == 0 {
		return nil, errNoEntries
	}
	lesions := all[len(all)-1].positive
	points := make([]PrecisionRecallPoint, len(all))
	for i, v := range all {
		points[i] = PrecisionRecallPoint{Threshold: v.threshold, Recall: v.positive / lesions}
		if v.threshold > 0 && v.positive > 0 {
			points[i].Precision = v.positive / (v.positive + v.negative)
		}
	}
	return points, nil
}

// AveragePrecision returns the area under the precision-recall curve as a step function,
//
//	AP = Σ (R_k − R_{k−1})·P_k
//
// over the distinct confidences from high to low, with a precision of 0 at confidence 0.
// It is 0 where there is no lesion. No entry in any case is an error.
func (s *Set) AveragePrecision() (float64, error) {
	points, err := s.PrecisionRecall()
	if err != nil || math.IsNaN(points[0].Recall) {
		return 0, err
	}
	ap, recall := 0.0, 0.0
	for _, p := range points {
		ap += (p.Recall - recall) * p.Precision
		recall = p.Recall
	}
	return ap, nil
}

// ROCPoint is a point of a ROC curve: cases of at least the threshold count as positive.
type ROCPoint struct {
	Threshold         float64
	TruePositiveRate  float64 // sensitivity
	FalsePositiveRate float64 // 1 − specificity
}

// ROC returns the receiver operating characteristic over the cases, by their weights:
// the point (0, 0) at an infinite threshold, then one for each confidence from high to
// low. Rates over no case are NaN.
func (s *Set) ROC() []ROCPoint {
	all := s.caseSteps()
	last := all[len(all)-1]
	points := []ROCPoint{{math.Inf(1), 0 / last.positive, 0 / last.negative}}
	for _, v := range all {
		points = append(points, ROCPoint{v.threshold, v.positive / last.positive, v.negative / last.negative})
	}
	return points
}

func (s *Set) caseSteps() []step {
	all := make([]scored, len(s.cases))
	for i, c := range s.cases {
		all[i] = scored{c.Confidence, s.weights[i], c.Positive()}
	}
	return steps(all)
}

// AUROC returns the area under the ROC curve of the cases: the probability that a case
// with lesions has a larger confidence than one without,
//
//	Σ w_i·w_j·([c_i > c_j] + ½·[c_i = c_j]) / Σ w_i·w_j
//
// over the pairs of a case i with and a case j without lesions. It is NaN where either
// kind is missing or has no weight.
func (s *Set) AUROC() float64 {
	all := s.caseSteps()
	last := all[len(all)-1]
	area, before := 0.0, step{}
	for _, v := range all {
		area += (v.negative - before.negative) * (v.positive + before.positive) / 2
		before = v
	}
	return area / (last.positive * last.negative)
}

// Score returns the score by which the PI-CAI challenge ranks, (AUROC + AP)/2. It is NaN
// where AUROC is. No entry in any case is an error.
func (s *Set) Score() (float64, error) {
	ap, err := s.AveragePrecision()
	return (s.AUROC() + ap) / 2, err
}

// FROCPoint is a point of a FROC curve: candidates of at least the threshold count.
type FROCPoint struct {
	Threshold      float64
	Sensitivity    float64 // share of lesions that are found, NaN where there is none
	FalsePositives float64 // number of false positives per case
}

// FROC returns the free-response receiver operating characteristic over lesions, one
// point for each confidence above 0, from high to low. There is none where no case has a
// candidate. Weights are not used.
func (s *Set) FROC() []FROCPoint {
	var points []FROCPoint
	lesions := float64(s.Lesions())
	for _, v := range s.entrySteps(false) {
		if v.threshold > 0 {
			points = append(points, FROCPoint{v.threshold, v.positive / lesions, v.negative / float64(len(s.cases))})
		}
	}
	return points
}

// FROCOfPICAIEval returns the curve of picai_eval 1.4, which takes the confidence 0 of
// lesions without candidates for a threshold too, and then replaces the last point by one
// with the sensitivity of the point before and an infinite number of false positives.
// Where every lesion has a candidate, the point of the lowest confidence is lost. A curve
// of one point becomes two of sensitivity 0. Prefer [Set.FROC].
func (s *Set) FROCOfPICAIEval() []FROCPoint {
	lesions, cases := float64(s.Lesions()), float64(len(s.cases))
	var points []FROCPoint
	for _, v := range s.entrySteps(false) {
		points = append(points, FROCPoint{v.threshold, v.positive / lesions, v.negative / cases})
	}
	last := len(points) - 1
	if last < 1 {
		return []FROCPoint{{math.Inf(1), 0 / lesions, 0}, {0, 0 / lesions, math.Inf(1)}}
	}
	points[last].Sensitivity, points[last].FalsePositives = points[last-1].Sensitivity, math.Inf(1)
	return points
}

// SensitivityAt returns the share of lesions that are found at the lowest threshold with
// at most the given number of false positives per case, by [Set.FROC]: 0 where no
// threshold has so few, NaN where there is no lesion.
func (s *Set) SensitivityAt(falsePositives float64) float64 {
	sensitivity := 0 / float64(s.Lesions())
	for _, p := range s.FROC() {
		if p.FalsePositives <= falsePositives {
			sensitivity = p.Sensitivity
		}
	}
	return sensitivity
}
