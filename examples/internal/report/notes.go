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
	all := spreadOf(r.Results)
	for _, l := range r.Results {
		if l.Diverged == nil {
			continue
		}
		figures := "no epoch was completed, so there are no results"
		if l.BestEpoch > 0 {
			figures = fmt.Sprintf("the results are those of epoch %d, the best before that", l.BestEpoch)
		}
		title := r.title(l)
		if label := all.label(&l); label != "" {
			title += " (" + label + ")"
		}
		notes = append(notes, fmt.Sprintf("%s %s; %s.", title, l.Diverged, figures))
	}
	return notes
}

// earlyStopNotes names the trainings that ended before their last epoch.
func (r *Run) earlyStopNotes() []string {
	var notes []string
	all := spreadOf(r.Results)
	for _, l := range r.Results {
		if !l.StoppedEarly {
			continue
		}
		title := r.title(l)
		if label := all.label(&l); label != "" {
			title += " (" + label + ")"
		}
		notes = append(notes, fmt.Sprintf("%s stopped early after epoch %d, because no epoch after epoch %d was better.", title, len(l.Epochs), l.BestEpoch))
	}
	return notes
}

// progressNotes names the trainings that go on.
func (r *Run) progressNotes() []string {
	var notes []string
	for _, p := range r.Results.Pool() {
		if note := r.unfinished(&p); note != "" {
			notes = append(notes, note)
		}
	}
	return notes
}

// unfinished says which trainings of a row go on; it is empty if none does.
func (r *Run) unfinished(p *outcome.Pooled) string {
	if len(p.Trainings) == 1 {
		switch l := p.Trainings[0]; {
		case l.Ongoing == "":
			return ""
		case l.Evaluated == 0:
			return fmt.Sprintf("%s is not finished and has no results yet: it is %s.", r.title(l), l.Ongoing)
		default:
			return fmt.Sprintf("%s is not finished: the results are those after %d epochs, and it is %s.", r.title(l), l.Evaluated, l.Ongoing)
		}
	}
	of, evaluated := spreadOf(p.Trainings), 0
	var ongoing []string
	for _, l := range p.Trainings {
		if l.Ongoing != "" {
			ongoing = append(ongoing, of.label(&l))
		}
		if l.Ongoing == "" || l.Evaluated > 0 {
			evaluated++
		}
	}
	if len(ongoing) == 0 {
		return ""
	}
	return fmt.Sprintf("%s is not finished: %d of %d trainings have results; not finished: %s.",
		r.title(p.Result), evaluated, len(p.Trainings), strings.Join(ongoing, "; "))
}

// emptyMaskNotes names the losses whose masks hit no tumor.
func (r *Run) emptyMaskNotes() []string {
	var notes []string
	for _, p := range r.Results.Pool() {
		if dice := outcome.MeanOf(p.Cases)[outcome.Dice]; dice.Value == 0 {
			notes = append(notes, fmt.Sprintf("%s: the masks of these weights hit no tumor (%s Dice 0). The soft measures can be high all the same; -select foreground_dice selects the weights by their masks.", r.title(p.Result), r.hard()))
		}
	}
	return notes
}
