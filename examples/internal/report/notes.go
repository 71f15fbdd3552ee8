package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/outcome"
)

// ruleNotes states how hard masks are made of the output of each loss.
func (r *Run) ruleNotes() []string {
	byRule := map[string][]string{}
	var rules []string
	for _, l := range r.Results {
		if l.Rule == "" {
			continue
		}
		if byRule[l.Rule] == nil {
			rules = append(rules, l.Rule)
		}
		if !slices.Contains(byRule[l.Rule], l.Title) {
			byRule[l.Rule] = append(byRule[l.Rule], l.Title)
		}
	}
	var notes []string
	for _, rule := range rules {
		notes = append(notes, fmt.Sprintf("Hard masks of %s: %s.", strings.Join(byRule[rule], ", "), rule))
	}
	return notes
}

// divergenceNotes names the trainings that diverged.
func (r *Run) divergenceNotes() []string {
	var notes []string
	for _, l := range r.Results {
		if l.Diverged == nil {
			continue
		}
		figures := "no epoch was completed, so there are no results"
		if l.BestEpoch > 0 {
			figures = fmt.Sprintf("the results are those of epoch %d, the best before that", l.BestEpoch)
		}
		notes = append(notes, fmt.Sprintf("%s %s; %s.", r.title(l), l.Diverged, figures))
	}
	return notes
}

// progressNotes names the trainings that go on.
func (r *Run) progressNotes() []string {
	var notes []string
	for _, l := range r.Results {
		switch {
		case l.Ongoing == "":
		case l.Evaluated == 0:
			notes = append(notes, fmt.Sprintf("%s is not finished and has no results yet: it is %s.", r.title(l), l.Ongoing))
		default:
			notes = append(notes, fmt.Sprintf("%s is not finished: the results are those after %d epochs, and it is %s.", r.title(l), l.Evaluated, l.Ongoing))
		}
	}
	return notes
}

// emptyMaskNotes names the trainings whose masks hit no tumor.
func (r *Run) emptyMaskNotes() []string {
	var notes []string
	for _, l := range r.Results {
		if dice := outcome.MeanOf(l.Cases)[outcome.Dice]; dice.Value == 0 {
			notes = append(notes, fmt.Sprintf("%s: the masks of these weights hit no tumor (%s Dice 0). The soft measures can be high all the same; -select foreground_dice selects the weights by their masks.", r.title(l), r.hard()))
		}
	}
	return notes
}
