// Package report presents the results of a run: Markdown tables, CSV files, curves as
// PNG, and the progress line on a terminal.
//
// A measure that has no value for a case (such as the sensitivity for a case without a
// tumor) is undefined throughout: it is excluded from every mean, the mean states how
// many cases it includes, and the measure is shown as "–" in a table and as an empty
// cell in a CSV file. It is never printed as NaN and never replaced by 0 or 1.
package report

import "github.com/x/afl/examples/internal/outcome"

// shown reports whether the tables have a row for the result.
func shown(l *outcome.Result) bool { return l.Ongoing == "" || l.Evaluated > 0 }

// SelectVaries is the Select of a Run whose results were selected in different ways.
const SelectVaries = "varies"

// Run holds the results of a whole run, or of several, and the facts that its report opens
// with.
type Run struct {
	Title   string
	Facts   []string         // one line each: data, sizes, settings
	Select  string           // what the best weights were selected by; empty: soft_dice
	Results []outcome.Result // by run, then by network, then by loss
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

// title returns the name of a result in a sentence.
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
