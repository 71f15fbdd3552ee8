package main

import (
	"math"
	"slices"

	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/statistics"
	"github.com/x/afl/internal/bootstrap"
)

// Settings of the bootstrap of every interval.
const (
	resamples = 2000
	seed      = 0
)

// score is the mean of a measure over patients with its percentile bootstrap interval.
type score struct {
	name         string // in the table's heading and in the CSV file
	n            int
	value        float64
	lower, upper float64
}

// meanOf returns the score of the finite values.
func meanOf(name string, values []float64) score {
	values = slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	s := score{name: name, n: len(values), value: math.NaN(), lower: math.NaN(), upper: math.NaN()}
	if s.n == 0 {
		return s
	}
	mean := func(times func(i int) int) float64 {
		sum := 0.0
		for i, v := range values {
			sum += float64(v * float64(times(i)))
		}
		return sum / float64(len(values))
	}
	s.value = mean(func(int) int { return 1 })
	s.lower, s.upper, _ = bootstrap.Interval(s.n, resamples, statistics.Confidence, seed, func(times []int) (float64, error) {
		return mean(func(i int) int { return times[i] }), nil
	})
	return s
}

// scores returns what the table shows of an arm.
func (a *arm) scores() ([]score, error) {
	patients := outcome.OverSeeds(a.cases)
	lesion := func(c *outcome.Case) bool { return hasLesion(c) }
	free := func(c *outcome.Case) bool { return !hasLesion(c) }
	anyone := func(*outcome.Case) bool { return true }
	scores := []score{
		meanOf("Dice", valuesOf(patients, outcome.Dice, lesion)),
		meanOf("sensitivity", valuesOf(patients, outcome.Sensitivity, lesion)),
		meanOf("surface Dice", valuesOf(patients, outcome.SurfaceDice, lesion)),
		meanOf("lesion F1", valuesOf(patients, outcome.LesionF1IoU, lesion)),
		meanOf("false lesions", valuesOf(patients, outcome.LesionFP, free)),
		meanOf("with any", falseAlarms(a.cases)),
	}
	auroc, err := a.auroc()
	if err != nil {
		return nil, err
	}
	return append(scores, auroc,
		meanOf("Brier score", valuesOf(patients, outcome.Brier, anyone)),
		meanOf("ECE", valuesOf(patients, outcome.CalibrationError, anyone)),
	), nil
}

// valuesOf returns the values of a measure of the chosen patients.
func valuesOf(patients []outcome.Case, m outcome.Measure, chosen func(*outcome.Case) bool) []float64 {
	var values []float64
	for _, c := range patients {
		if chosen(&c) {
			values = append(values, float64(c.Values[m]))
		}
	}
	return values
}

// falseAlarms returns, for each patient without a lesion, the share of the seeds in which the
// mask has a lesion.
func falseAlarms(cases []outcome.Case) []float64 {
	alarms := slices.Clone(cases)
	for i := range alarms {
		alarms[i].Values[outcome.LesionFP] = min(1, alarms[i].Values[outcome.LesionFP])
	}
	return valuesOf(outcome.OverSeeds(alarms), outcome.LesionFP, func(c *outcome.Case) bool { return !hasLesion(c) })
}

// auroc returns the area under the ROC curve of the patients by the confidence of their lesion
// candidates, the mean over the seeds. It is undefined where the runs looked for none.
func (a *arm) auroc() (score, error) {
	s := score{name: "AUROC", value: math.NaN(), lower: math.NaN(), upper: math.NaN()}
	found, err := outcome.DetectionSets(a.cases)
	if err != nil || len(found) == 0 {
		return s, err
	}
	var sets []*detection.Set
	sum := 0.0
	for _, f := range found {
		sets = append(sets, f.Set)
		sum += f.Set.AUROC()
	}
	s.n, s.value = found[0].Set.Cases(), sum/float64(len(sets))
	if slices.ContainsFunc(sets, func(f *detection.Set) bool { return f.Cases() != s.n }) || math.IsNaN(s.value) {
		return s, nil // a seed of which not every fold is there yet
	}
	interval, err := detection.BootstrapMean(sets, func(f *detection.Set) (float64, error) { return f.AUROC(), nil }, resamples, statistics.Confidence, seed)
	s.lower, s.upper = interval.Lower, interval.Upper
	return s, err
}

// comparison compares the Dice of the patients with that of another loss.
type comparison struct {
	against *arm
	statistics.Comparison
	adjusted float64 // Holm's p over all comparisons of the table
}

// compare returns the comparisons of the named loss with every other one, by the patients with
// a lesion. It returns none if there are no patients.
func compare(all []arm, loss string) ([]comparison, error) {
	i := slices.IndexFunc(all, func(a arm) bool { return a.loss == loss })
	if i < 0 {
		return nil, nil
	}
	own := diceByPatient(&all[i])
	var comparisons []comparison
	var p []float64
	for j := range all {
		if j == i {
			continue
		}
		var x, y []float64
		for _, c := range diceByPatient(&all[j]) {
			k := slices.IndexFunc(own, func(o patientDice) bool { return o.id == c.id })
			if k >= 0 {
				x, y = append(x, own[k].dice), append(y, c.dice)
			}
		}
		if len(x) == 0 {
			return nil, nil
		}
		found, err := statistics.Compare(x, y, seed)
		if err != nil {
			return nil, err
		}
		comparisons, p = append(comparisons, comparison{against: &all[j], Comparison: found}), append(p, found.P)
	}
	for k, adjusted := range statistics.Holm(p) {
		comparisons[k].adjusted = adjusted
	}
	return comparisons, nil
}

// patientDice is the Dice of a patient with a lesion.
type patientDice struct {
	id                 string
	dice               float64
	volume, smoothness float64
}

func diceByPatient(a *arm) []patientDice {
	var list []patientDice
	for _, c := range outcome.OverSeeds(a.cases) {
		if hasLesion(&c) && c.Values[outcome.Dice].Finite() {
			list = append(list, patientDice{c.ID, float64(c.Values[outcome.Dice]), c.Reference.Volume, c.Reference.Smoothness})
		}
	}
	return list
}

// strata are the thirds of the patients with a lesion, in the order of the table's columns.
var strata = []struct {
	name  string
	of    func(patientDice) float64
	third int
}{
	{"small", func(p patientDice) float64 { return p.volume }, 0},
	{"medium", func(p patientDice) float64 { return p.volume }, 1},
	{"large", func(p patientDice) float64 { return p.volume }, 2},
	{"smooth", func(p patientDice) float64 { return p.smoothness }, 0},
	{"between", func(p patientDice) float64 { return p.smoothness }, 1},
	{"rough", func(p patientDice) float64 { return p.smoothness }, 2},
}

// inStrata returns the mean Dice in each of the strata, none if there are too few patients to
// divide. Every loss has the same patients, so that the thirds are the same.
func (a *arm) inStrata() []score {
	patients := diceByPatient(a)
	var scores []score
	for _, s := range strata {
		var by []float64
		for _, p := range patients {
			by = append(by, s.of(p))
		}
		cuts, ok := statistics.Tertiles(by)
		if !ok {
			return nil
		}
		var dice []float64
		for _, p := range patients {
			if statistics.Third(cuts, s.of(p)) == s.third {
				dice = append(dice, p.dice)
			}
		}
		scores = append(scores, meanOf(s.name, dice))
	}
	return scores
}
