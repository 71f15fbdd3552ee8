package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/x/afl/examples/internal/outcome"
)

// run holds the trainings of a run of brats.
type run struct {
	rate    float64 // learning rate
	results outcome.Store
}

// training is a seed and a fold.
type training struct {
	seed uint64
	fold int
}

// arm holds what one loss achieved.
type arm struct {
	loss, title string
	// cases are those of every seed and fold, which a training has neither trained nor selected
	// by, and chosen the rates of these trainings.
	cases  []outcome.Case
	chosen map[training]float64
}

// arms returns one arm for each loss, in the order of the first run: of every training the
// result at the rate with the largest best validation Dice, of equal ones that of the earlier
// run. Trainings that some loss has not finished at some rate are left out for all. One that
// diverged before its first epoch at every rate has empty masks.
func arms(runs []run) ([]arm, error) {
	var order []string
	found := map[string]map[training][]outcome.Result{} // by loss; one result for each run
	for i, r := range runs {
		for _, result := range r.results {
			key := training{result.Seed, result.Fold}
			if found[result.Loss] == nil {
				if i > 0 {
					return nil, fmt.Errorf("the run with the rate %g has the loss %s, which that with the rate %g has not", r.rate, result.Loss, runs[0].rate)
				}
				order = append(order, result.Loss)
				found[result.Loss] = map[training][]outcome.Result{}
			}
			if result.Ongoing == "" {
				found[result.Loss][key] = append(found[result.Loss][key], result)
			}
		}
	}
	var all []arm
	keys := complete(found, len(runs))
	for _, loss := range order {
		i := slices.IndexFunc(runs[0].results, func(r outcome.Result) bool { return r.Loss == loss })
		a := arm{loss: loss, title: runs[0].results[i].Title, chosen: map[training]float64{}}
		for _, key := range keys {
			results := found[loss][key]
			best := 0
			for i := range results {
				if validated(&results[i]) > validated(&results[best]) {
					best = i
				}
			}
			a.chosen[key] = runs[best].rate
			cases := results[best].Cases
			if results[best].BestEpoch == 0 {
				for _, other := range order {
					if scored := found[other][key][0].Cases; len(scored) > 0 {
						cases = emptyMasks(scored)
						break
					}
				}
			}
			for _, c := range cases {
				c.Seed, c.Fold = key.seed, key.fold
				a.cases = append(a.cases, c)
			}
		}
		slices.SortStableFunc(a.cases, func(x, y outcome.Case) int {
			return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(x.Seed, y.Seed))
		})
		all = append(all, a)
	}
	return all, nil
}

// complete returns the trainings that every loss has finished in every run, in order.
func complete(found map[string]map[training][]outcome.Result, runs int) []training {
	count := map[training]int{}
	for _, results := range found {
		for key, of := range results {
			if len(of) == runs {
				count[key]++
			}
		}
	}
	maps.DeleteFunc(count, func(_ training, n int) bool { return n < len(found) })
	return slices.SortedFunc(maps.Keys(count), func(a, b training) int {
		return cmp.Or(cmp.Compare(a.seed, b.seed), cmp.Compare(a.fold, b.fold))
	})
}

// validated returns the mean foreground Dice of the validation cases after the best epoch.
func validated(r *outcome.Result) float64 {
	if r.BestEpoch == 0 {
		return math.Inf(-1)
	}
	return float64(r.Epochs[r.BestEpoch-1].Valid[outcome.Dice].Value)
}

// emptyMasks returns the measures of empty masks of the given cases. Their probabilities are
// not known, so that the calibration is undefined.
func emptyMasks(of []outcome.Case) []outcome.Case {
	var cases []outcome.Case
	for _, c := range of {
		e := outcome.Case{ID: c.ID, Values: outcome.NoValues(), Reference: c.Reference}
		e.Values[outcome.LesionFP] = 0
		if hasLesion(&c) {
			for _, m := range []outcome.Measure{outcome.Dice, outcome.Sensitivity, outcome.SurfaceDice, outcome.LesionF1IoU} {
				e.Values[m] = 0
			}
		}
		if c.Detection != nil {
			e.Detection = &outcome.Detection{}
			for _, entry := range c.Detection.Entries {
				if entry.Lesion {
					e.Detection.Entries = append(e.Detection.Entries, outcome.DetectionEntry{Lesion: true})
				}
			}
		}
		cases = append(cases, e)
	}
	return cases
}

// hasLesion reports whether the label of a case has a lesion.
func hasLesion(c *outcome.Case) bool { return c.Reference != nil && c.Reference.Volume > 0 }
