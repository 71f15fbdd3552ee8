package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/statistics"
)

// significance is the level at which a comparison shows a difference.
const significance = 0.05

// bootstrapSeed is the seed of the intervals of differences.
const bootstrapSeed = 1

// compared are the measures by which losses are compared.
var compared = []outcome.Measure{outcome.Dice, outcome.SoftDice}

// comparison compares A-FL with another loss in the same network, by one measure on the same
// cases.
type comparison struct {
	reference, against outcome.Result // their names
	segment            string         // class or region; "" if the result is binary
	measure            outcome.Measure
	statistics.Comparison
	holm float64 // P adjusted for all comparisons by the measure
}

// comparisons compares, in each run and network, the first A-FL with every other loss by a
// measure. Trainings that go on are left out.
func (r *Run) comparisons(m outcome.Measure) ([]comparison, error) {
	var all []comparison
	var p []float64
	pooled := slices.DeleteFunc(r.Results.Pool(), func(p outcome.Pooled) bool {
		return len(p.Cases) == 0 || slices.ContainsFunc(p.Trainings, func(l outcome.Result) bool { return l.Ongoing != "" })
	})
	for i := range pooled {
		reference := referenceOf(pooled, &pooled[i])
		if reference == nil || reference == &pooled[i] {
			continue
		}
		rows := rowsOf(&pooled[i])
		for j, row := range rowsOf(reference) {
			x, y := pairs(row.cases, rows[j].cases, m)
			if len(x) == 0 {
				continue
			}
			c, err := statistics.Compare(x, y, bootstrapSeed)
			if err != nil {
				return nil, fmt.Errorf("report: comparison of %s with %s: %w", r.title(reference.Result), r.title(pooled[i].Result), err)
			}
			all = append(all, comparison{reference: reference.Result, against: pooled[i].Result, segment: row.name, measure: m, Comparison: c})
			p = append(p, c.P)
		}
	}
	for i, adjusted := range statistics.Holm(p) {
		all[i].holm = adjusted
	}
	return all, nil
}

// referenceOf returns the first A-FL in the run and network of p, nil if there is none.
func referenceOf(pooled []outcome.Pooled, p *outcome.Pooled) *outcome.Pooled {
	for i := range pooled {
		q := &pooled[i]
		if q.Run == p.Run && q.RunTitle == p.RunTitle && q.Network == p.Network && isAFL(q.Loss) {
			return q
		}
	}
	return nil
}

// isAFL reports whether a loss is A-FL or a variant of it.
func isAFL(name string) bool {
	loss, err := afl.ByName(name)
	_, ok := loss.(afl.AdaptiveFocal)
	return err == nil && ok
}

// pairs returns the values of a measure for the cases that have a finite one in both lists.
func pairs(a, b []outcome.Case, m outcome.Measure) (x, y []float64) {
	values := map[string]outcome.Number{}
	for _, c := range b {
		values[c.ID] = c.Values[m]
	}
	for _, c := range a {
		if other, ok := values[c.ID]; ok && other.Finite() && c.Values[m].Finite() {
			x, y = append(x, float64(c.Values[m])), append(y, float64(other))
		}
	}
	return x, y
}

// comparisonTables returns a table of comparisons for each measure, none without comparisons.
// The notes of the first explain the columns of both.
func (r *Run) comparisonTables() []NamedTable {
	var tables []NamedTable
	for _, m := range compared {
		comparisons, err := r.comparisons(m)
		title := fmt.Sprintf("A-FL against each other loss: %s", r.name(m))
		switch {
		case err != nil:
			tables = append(tables, NamedTable{Title: title, Notes: []string{err.Error()}})
		case len(comparisons) > 0:
			table := NamedTable{title, r.comparisonTable(comparisons), []string{r.conclusion(comparisons)}}
			if len(tables) == 0 {
				table.Notes = append(table.Notes, r.comparisonNotes(len(comparisons))...)
			}
			tables = append(tables, table)
		}
	}
	return tables
}

func (r *Run) comparisonTable(comparisons []comparison) Table {
	t := Table{Header: r.labels("Run", "Model", "Difference", segmentTitle(r.Results))}
	t.MoreLabels = len(t.Header) - 1
	t.Header = append(t.Header, "n", "mean", "median [95% interval]", "better/equal/worse", "p", "Holm p", "effect r")
	for _, c := range comparisons {
		median := signed(c.Median, 3)
		if !math.IsNaN(c.Lower) {
			median += " [" + signed(c.Lower, 3) + ", " + signed(c.Upper, 3) + "]"
		}
		t.Rows = append(t.Rows, append(r.labels(c.reference.RunTitle, c.reference.NetworkTitle, c.reference.Title+" − "+c.against.Title, c.segment),
			strconv.Itoa(c.N), signed(c.Mean, 3), median, fmt.Sprintf("%d/%d/%d", c.Larger, c.Equal, c.Smaller),
			formatP(c.P), formatP(c.holm), signed(c.RankBiserial, 2)))
	}
	return t
}

// signed formats a difference with its sign; what rounds to zero has none.
func signed(v float64, decimals int) string {
	text := fmt.Sprintf("%+.*f", decimals, v)
	if strings.Trim(text, "+-0.") == "" {
		return text[1:]
	}
	return text
}

// formatP formats a p-value.
func formatP(p float64) string {
	if p < 0.0001 {
		return "<0.0001"
	}
	return strconv.FormatFloat(p, 'f', 4, 64)
}

// comparisonNotes explains the columns of a table of comparisons.
func (r *Run) comparisonNotes(comparisons int) []string {
	unit := "The cases are the units: the test says what other cases like these would show for these trained weights, not what other seeds would."
	if spreadOf(r.Results).seeds > 1 {
		unit = "The cases are the units: of each case the mean over its seeds comes first, because seeds of a case are not independent."
	}
	if spreadOf(r.Results).folds > 1 {
		unit += " The networks of different folds share most of their training cases, which makes p somewhat too small."
	}
	return []string{
		"mean, median: of the differences of the cases, A-FL minus the other loss; the interval is that of the median, by the percentile bootstrap over the cases, which takes at least 6. " +
			"better, equal, worse: number of cases in which A-FL has the larger, the same, the smaller value.",
		"p: two-sided Wilcoxon signed-rank test, without the equal cases. Holm p: adjusted for " + countOf(comparisons, "the number of comparisons in a table, here one: equal to p.", "the %d comparisons of a table."),
		"effect r: rank-biserial correlation, +1 if A-FL is better in every case and −1 if it is worse in every one.",
		unit,
	}
}

// conclusion states what the comparisons by one measure show.
func (r *Run) conclusion(comparisons []comparison) string {
	var better, worse []string
	most := 0 // cases of a comparison
	for _, c := range comparisons {
		most = max(most, c.N)
		switch name := r.comparisonName(&c); {
		case c.holm > significance:
		case c.RankBiserial > 0:
			better = append(better, name)
		default:
			worse = append(worse, name)
		}
	}
	measure, family := r.name(comparisons[0].measure), len(comparisons)
	if len(better)+len(worse) == 0 {
		smallest := statistics.SmallestP(most)
		if adjusted := math.Min(1, float64(family)*smallest); adjusted > significance {
			text := fmt.Sprintf("No difference can be shown: with %s the smallest possible p is %s", countOf(most, "one case", "%d cases"), formatP(smallest))
			if family > 1 {
				text += fmt.Sprintf(", %s after the adjustment for %d comparisons", formatP(adjusted), family)
			}
			return text + fmt.Sprintf(". It takes at least %d cases to come below %g.", enough(family), significance)
		}
		return fmt.Sprintf("No difference in %s is shown at the level of %g. This is no evidence that the losses are equal: see the intervals for the differences that remain possible.", measure, significance)
	}
	var shown []string
	if len(better) > 0 {
		shown = append(shown, "larger with A-FL than with "+inWords(better))
	}
	if len(worse) > 0 {
		shown = append(shown, "smaller with A-FL than with "+inWords(worse))
	}
	text := fmt.Sprintf("Shown at the level of %g, after the adjustment: %s is %s.", significance, measure, strings.Join(shown, ", and "))
	if rest := family - len(better) - len(worse); rest > 0 {
		text += countOf(rest, " One comparison shows no difference, which is", " %d comparisons show no difference, which is") + " no evidence that the losses are equal."
	}
	return text
}

// enough returns the smallest number of cases with which a family of comparisons can show a
// difference.
func enough(family int) int {
	n := 1
	for float64(family)*statistics.SmallestP(n) > significance {
		n++
	}
	return n
}

// comparisonName names a comparison in a sentence.
func (r *Run) comparisonName(c *comparison) string {
	name := c.against.Title
	if c.segment != "" {
		name += " (" + c.segment + ")"
	}
	if r.several() {
		name += " in " + c.against.NetworkTitle
	}
	if r.severalRuns() {
		name += " of " + c.against.RunTitle
	}
	return name
}

// countOf returns the text for one, or that for more with their number.
func countOf(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(more, n)
}

// inWords joins names as in "a, b and c".
func inWords(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// WriteComparisonsCSV writes one row per comparison of the tables to path, with full
// precision. Without A-FL and another loss in one network there are no rows.
func (r *Run) WriteComparisonsCSV(path string) error {
	segments := segmented(r.Results)
	header := []string{"run", "network", "measure", "reference", "loss"}
	if segments {
		header = append(header, "segment")
	}
	rows := [][]string{append(header, "cases", "better", "equal", "worse", "mean_difference", "median_difference",
		"median_lower", "median_upper", "p", "comparisons", "p_holm", "rank_biserial")}
	for _, m := range compared {
		comparisons, err := r.comparisons(m)
		if err != nil {
			return err
		}
		for _, c := range comparisons {
			row := []string{c.reference.Run, c.reference.Network, m.String(), c.reference.Loss, c.against.Loss}
			if segments {
				row = append(row, c.segment)
			}
			for _, n := range []int{c.N, c.Larger, c.Equal, c.Smaller} {
				row = append(row, strconv.Itoa(n))
			}
			for _, v := range []float64{c.Mean, c.Median, c.Lower, c.Upper, c.P} {
				row = append(row, cell(outcome.Number(v)))
			}
			rows = append(rows, append(row, strconv.Itoa(len(comparisons)), cell(outcome.Number(c.holm)), cell(outcome.Number(c.RankBiserial))))
		}
	}
	return writeCSV(path, rows)
}
