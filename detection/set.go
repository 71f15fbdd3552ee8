package detection

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// maxWeight keeps sums of weights and their products finite.
const maxWeight = 1e30

// Set is a data set of cases whose detection is to be scored. [NewSet] makes it.
type Set struct {
	count   int      // number of cases
	times   []int    // how often each case is in the set; once if nil, another number in resamples
	cases   []scored // by falling confidence
	entries []scored // those of all cases, by falling confidence
}

// NewSet returns the set of the given cases.
//
// weights are those of the cases in [Set.ROC] and [Set.AUROC], nil for 1 each.
// entryWeights are those of each case's entries in [Set.PrecisionRecall] and
// [Set.AveragePrecision], nil for each entry to have the weight of its case. [Set.FROC]
// counts without weights. An empty list of cases, lists of weights of another length than
// what they are for, a confidence that is negative or not finite, and a weight that is
// negative or above 1e30 are errors.
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
	s := &Set{count: len(cases)}
	for i, c := range cases {
		what := fmt.Sprintf("of case %d (%q)", i, c.Name)
		if entryWeights != nil && len(entryWeights[i]) != len(c.Entries) {
			return nil, refuse("entryWeights "+what, fmt.Sprintf("a list of %d", len(entryWeights[i])), "one for each of its %d entries", len(c.Entries))
		}
		own := []scored{{i, c.Confidence, weights[i], c.Positive()}}
		for j, e := range c.Entries {
			w := weights[i]
			if entryWeights != nil {
				w = entryWeights[i][j]
			}
			own = append(own, scored{i, e.Confidence, w, e.Lesion})
		}
		for _, v := range own {
			if !(v.weight >= 0 && v.weight <= maxWeight) {
				return nil, refuse("a weight "+what, v.weight, "a number from 0 to %g", maxWeight)
			}
			if !(v.confidence >= 0 && v.confidence <= math.MaxFloat64) {
				return nil, refuse("a confidence "+what, v.confidence, "a finite number of at least 0")
			}
		}
		s.cases, s.entries = append(s.cases, own[0]), append(s.entries, own[1:]...)
	}
	for _, list := range [][]scored{s.cases, s.entries} {
		slices.SortStableFunc(list, func(a, b scored) int { return cmp.Compare(b.confidence, a.confidence) })
	}
	return s, nil
}

// Cases returns the number of cases.
func (s *Set) Cases() int { return s.count }

// Lesions returns the number of lesions in all labels.
func (s *Set) Lesions() int {
	n := 0
	for _, v := range s.entries {
		if v.positive {
			n += s.timesOf(v.of)
		}
	}
	return n
}

// timesOf returns how often the set holds a case.
func (s *Set) timesOf(i int) int {
	if s.times == nil {
		return 1
	}
	return s.times[i]
}

// scored is a case or an entry: positive if there is a lesion.
type scored struct {
	of                 int // index of the case
	confidence, weight float64
	positive           bool
}

// step holds the sums of the weights of the positive and negative cases or entries whose
// confidence is at least a threshold.
type step struct {
	threshold          float64
	positive, negative float64
}

// steps returns one step for each confidence, from high to low, of cases or entries in
// that order. Without weights it counts.
func (s *Set) steps(ranked []scored, weighted bool) []step {
	var out []step
	var sum step
	open := false // sum has something that is in no step yet
	for _, v := range ranked {
		n := s.timesOf(v.of)
		if n == 0 {
			continue
		}
		if open && v.confidence != sum.threshold {
			out = append(out, sum)
		}
		sum.threshold, open = v.confidence, true
		w := float64(n)
		if weighted {
			w *= v.weight
		}
		if v.positive {
			sum.positive += w
		} else {
			sum.negative += w
		}
	}
	if open {
		out = append(out, sum)
	}
	return out
}

// PrecisionRecallPoint is a point of a precision-recall curve: candidates of at least
// the threshold count.
type PrecisionRecallPoint struct {
	Threshold float64
	Precision float64 // share of the candidates that find a lesion
	Recall    float64 // share of lesions that are found
}

// PrecisionRecall returns the precision-recall curve, one point for each confidence from
// high to low. Lesions without a candidate have confidence 0; the point at 0 has
// precision 0 and recall 1. Recall is NaN where there is no lesion of positive weight. No
// entry in any case is an error.
func (s *Set) PrecisionRecall() ([]PrecisionRecallPoint, error) {
	all := s.steps(s.entries, true)
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
// It is 0 where there is no lesion of positive weight. No entry in any case is an error.
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
	all := s.steps(s.cases, true)
	last := all[len(all)-1]
	points := []ROCPoint{{math.Inf(1), 0 / last.positive, 0 / last.negative}}
	for _, v := range all {
		points = append(points, ROCPoint{v.threshold, v.positive / last.positive, v.negative / last.negative})
	}
	return points
}

// AUROC returns the area under the ROC curve of the cases: the probability that a case
// with lesions has a larger confidence than one without,
//
//	Σ w_i·w_j·([c_i > c_j] + ½·[c_i = c_j]) / Σ w_i·w_j
//
// over the pairs of a case i with and a case j without lesions. It is NaN where either
// kind is missing or has no weight.
func (s *Set) AUROC() float64 {
	all := s.steps(s.cases, true)
	last := all[len(all)-1]
	area, before := 0.0, step{}
	for _, v := range all {
		// Divided one by one, as the product of small weights may be 0.
		area += (v.negative - before.negative) / last.negative * ((v.positive + before.positive) / 2 / last.positive)
		before = v
	}
	return area
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
	for _, v := range s.steps(s.entries, false) {
		if v.threshold > 0 {
			points = append(points, FROCPoint{v.threshold, v.positive / lesions, v.negative / float64(s.count)})
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
	lesions, cases := float64(s.Lesions()), float64(s.count)
	var points []FROCPoint
	for _, v := range s.steps(s.entries, false) {
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
// threshold has so few, NaN where there is no lesion or the given number is NaN.
func (s *Set) SensitivityAt(falsePositives float64) float64 {
	sensitivity := 0 / float64(s.Lesions())
	if math.IsNaN(falsePositives) {
		return math.NaN()
	}
	for _, p := range s.FROC() {
		if p.FalsePositives <= falsePositives {
			sensitivity = p.Sensitivity
		}
	}
	return sensitivity
}
