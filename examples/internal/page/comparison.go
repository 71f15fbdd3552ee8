package page

import (
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/outcome"
)

// Comparison holds the measures of all cases, for the comparison of one training with another.
type Comparison struct {
	// IDs are the names of the cases.
	IDs []string `json:"ids"`
	// Parts are the names of the classes or regions, then that of their mean; of a binary run,
	// one empty name.
	Parts     []string   `json:"parts"`
	Measures  []measure  `json:"measures"`
	First     int        `json:"first"` // index of the measure that is shown first
	Trainings []training `json:"trainings"`
}

// measure describes a measure.
type measure struct {
	Label string `json:"label"`
	Lower bool   `json:"lower,omitempty"` // the lower, the better
	Axis
}

// training holds the measures of a network and a loss, by part, measure and case; null where a
// case has none.
type training struct {
	Name   string       `json:"name"`
	Values [][][]Number `json:"values"`
}

// Compare returns the comparison of the trainings of a run, those of several seeds and folds
// together: the measures of a case are means over the seeds. It is nil if no case has been
// evaluated.
func Compare(results outcome.Store) *Comparison {
	c := &Comparison{Parts: parts(results)}
	index := map[string]int{}
	pooled := results.Pool()
	var cases [][]outcome.Case
	for _, p := range pooled {
		cases = append(cases, outcome.OverSeeds(p.Cases))
		for _, one := range cases[len(cases)-1] {
			if _, known := index[one.ID]; !known {
				index[one.ID] = len(c.IDs)
				c.IDs = append(c.IDs, one.ID)
			}
		}
	}
	if len(c.IDs) == 0 {
		return nil
	}
	for m := range outcome.MeasureCount {
		if !slices.ContainsFunc(cases, func(of []outcome.Case) bool {
			return slices.ContainsFunc(of, func(one outcome.Case) bool { return one.Values[m].Defined() })
		}) {
			continue
		}
		if m == outcome.Dice {
			c.First = len(c.Measures)
		}
		c.Measures = append(c.Measures, describe(m))
		for i := range pooled {
			if len(c.Trainings) == i {
				c.Trainings = append(c.Trainings, training{Name: Name(pooled, i), Values: make([][][]Number, len(c.Parts))})
			}
			for part := range c.Parts {
				values := make([]Number, len(c.IDs))
				for n := range values {
					values[n] = Number(outcome.Undefined)
				}
				for _, one := range cases[i] {
					if part < len(one.Segments) {
						values[index[one.ID]] = Number(one.Segments[part].Values[m])
					} else {
						values[index[one.ID]] = Number(one.Values[m])
					}
				}
				c.Trainings[i].Values[part] = append(c.Trainings[i].Values[part], values)
			}
		}
	}
	return c
}

// Name returns the name of a network and a loss among others: what differs between them.
func Name(all []outcome.Pooled, i int) string {
	var parts []string
	differ := func(of func(*outcome.Pooled) string) {
		if slices.ContainsFunc(all, func(p outcome.Pooled) bool { return of(&p) != of(&all[0]) }) {
			parts = append(parts, of(&all[i]))
		}
	}
	differ(func(p *outcome.Pooled) string { return p.NetworkTitle })
	parts = append(parts, all[i].Title)
	differ(func(p *outcome.Pooled) string { return p.RunTitle })
	return strings.Join(parts, ", ")
}

// parts returns the names of the classes or regions and of their mean.
func parts(results outcome.Store) []string {
	for _, r := range results {
		if len(r.Cases) == 0 || len(r.Cases[0].Segments) == 0 {
			continue // all cases of a run have the same classes or regions
		}
		var names []string
		for _, s := range r.Cases[0].Segments {
			names = append(names, s.Name)
		}
		return append(names, "mean")
	}
	return []string{""}
}

// labels are the names of measures where they read better than those of their columns.
var labels = map[outcome.Measure]string{
	outcome.SoftDice: "soft Dice", outcome.SoftIoU: "soft IoU", outcome.Dice: "Dice", outcome.IoU: "IoU",
	outcome.Sensitivity: "sensitivity", outcome.Specificity: "specificity",
	outcome.Hausdorff95: "HD95, mm", outcome.SurfaceDistance: "ASD, mm", outcome.LesionF1: "lesion F1",
	outcome.SurfaceDice: "surface Dice, 1 mm", outcome.LesionF1IoU: "lesion F1, IoU ≥ 0.1", outcome.Brier: "Brier score",
}

func describe(m outcome.Measure) measure {
	label, ok := labels[m]
	if !ok {
		label = strings.ReplaceAll(m.String(), "_", " ")
	}
	d := measure{Label: label}
	switch m {
	case outcome.Hausdorff95, outcome.SurfaceDistance, outcome.LesionFP, outcome.LesionFN, outcome.Brier, outcome.CalibrationError:
		d.Lower = true
	}
	return d
}
