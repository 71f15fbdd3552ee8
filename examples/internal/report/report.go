// Package report presents the results of a run: Markdown tables, CSV files, curves as
// PNG, and the progress line on a terminal.
//
// A measure that has no value for a case (such as the sensitivity for a case without a
// tumor) is undefined throughout: it is excluded from every mean, the mean states how
// many cases it includes, and the measure is shown as "–" in a table and as an empty
// cell in a CSV file. It is never printed as NaN and never replaced by 0 or 1.
package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/outcome"
)

// shown reports whether the tables have a row for the results: whether one of their
// trainings has any.
func shown(p *outcome.Pooled) bool {
	return slices.ContainsFunc(p.Trainings, func(l outcome.Result) bool { return l.Ongoing == "" || l.Evaluated > 0 })
}

// SelectVaries is the Select of a Run whose results were selected in different ways.
const SelectVaries = "varies"

// Run holds the results of a whole run, or of several, and the facts that its report opens
// with.
type Run struct {
	Title   string
	Dataset string           // name of the program for the paper's data set that the cases are from; empty: none, such as for a phantom
	Facts   []string         // one line each: data, sizes, settings
	Select  string           // what the best weights were selected by; empty: soft_dice
	Report  outcome.Reported // the cases of the tables; empty: the validation cases
	Results outcome.Store    // by run, then by network, then by loss, then by seed and fold
}

// spread holds the numbers of different seeds and folds of results.
type spread struct{ seeds, folds int }

func spreadOf(results []outcome.Result) spread {
	seeds, folds := map[uint64]bool{}, map[int]bool{}
	for _, l := range results {
		seeds[l.Seed], folds[l.Fold] = true, true
	}
	return spread{len(seeds), len(folds)}
}

// label names a training among those of its network and loss, as in "seed 1, fold 0"; it is
// empty if there is one seed and one fold.
func (s spread) label(l *outcome.Result) string {
	var parts []string
	if s.seeds > 1 {
		parts = append(parts, fmt.Sprintf("seed %d", l.Seed))
	}
	if s.folds > 1 {
		parts = append(parts, fmt.Sprintf("fold %d", l.Fold))
	}
	return strings.Join(parts, ", ")
}

// trainings describes the number of trainings that a row pools, as in "5 folds × 2 seeds".
func (s spread) trainings() string {
	var parts []string
	if s.folds > 1 {
		parts = append(parts, fmt.Sprintf("%d folds", s.folds))
	}
	if s.seeds > 1 {
		parts = append(parts, fmt.Sprintf("%d seeds", s.seeds))
	}
	return strings.Join(parts, " × ")
}

// severalRuns reports whether the results are those of more than one run.
func (r *Run) severalRuns() bool {
	for _, l := range r.Results {
		if l.RunTitle != r.Results[0].RunTitle {
			return true
		}
	}
	return false
}

// several reports whether the run has more than one network.
func (r *Run) several() bool {
	for _, l := range r.Results {
		if l.Network != r.Results[0].Network {
			return true
		}
	}
	return false
}

// title returns the name of a result in a sentence, without its seed and fold.
func (r *Run) title(l outcome.Result) string {
	title := l.Title
	if r.several() {
		title = l.NetworkTitle + " with " + l.Title
	}
	if r.severalRuns() {
		title += " in " + l.RunTitle
	}
	return title
}
