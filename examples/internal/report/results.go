package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl/examples/internal/outcome"
)

const dash = "–"

// NamedTable is a table of the report with its title and the notes below it.
type NamedTable struct {
	Title string
	Table Table
	Notes []string // sentences
}

// Markdown returns the report of a run: its title and facts, followed by its tables and
// notes.
func (r *Run) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.Title)
	writeItems(&b, r.Facts)
	for _, t := range r.Tables() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", t.Title, t.Table)
		for _, n := range t.Notes {
			b.WriteString(wrap("- "+n, 80, "  ") + "\n")
		}
	}
	if notes := r.Notes(); len(notes) > 0 {
		b.WriteString("\n## Notes\n\n")
		writeItems(&b, notes)
	}
	return b.String()
}

// Tables returns the tables of the report in their order. The first is the paper's first
// table (one row per loss: IoU, Dice, sensitivity, specificity), extended by the hard
// foreground measures; with several networks it is the paper's second table (one row per
// network and loss). Each row is for its best weights. Then come the paper's own figures,
// intervals, distances and lesion counts, detection scores, the comparisons of A-FL with the
// other losses, and strata by volume and smoothness, each if there are any.
func (r *Run) Tables() []NamedTable {
	return slices.Concat(
		[]NamedTable{r.overlapTable()}, r.paperTable(),
		[]NamedTable{r.intervalTable(), r.lesionTable()}, r.detectionTables(),
		r.comparisonTables(), r.strataTables(),
	)
}

// Notes states what the tables do not show: the prediction rules for masks, which trainings
// diverged, which go on, and whose masks miss every tumor.
func (r *Run) Notes() []string {
	return slices.Concat(r.ruleNotes(), r.divergenceNotes(), r.earlyStopNotes(), r.progressNotes(), r.emptyMaskNotes())
}

func writeItems(b *strings.Builder, items []string) {
	for _, item := range items {
		fmt.Fprintf(b, "- %s\n", item)
	}
}

// Explanations below the tables.
const (
	binarySoftNote = "soft IoU, soft Dice: as computed by the paper's released training code, whose IoU and Dice they are: " +
		"a sigmoid per channel, squared sums, mean over both channels including the background, which raises both."
	segmentSoftNote = "soft IoU, soft Dice: with squared sums, of each class or region alone, without the background: " +
		"by the softmax of all channels for classes, by the sigmoid of the region's channel for regions."
	spreadNote  = "a ± b: mean and standard deviation over the cases."
	missingNote = "(n=k): the mean is over k cases. Cases for which a measure has no value, such as the sensitivity without %s, " +
		"are excluded; – means that no case has a value."
)

// overlapNotes explains the table of overlaps.
func (r *Run) overlapNotes() []string {
	which := slices.Concat([]string{r.selection()}, r.reported(), r.pooling())
	if !segmented(r.Results) {
		return slices.Concat([]string{spreadNote, binarySoftNote}, which, []string{
			"Sens., Spec., fg IoU, fg Dice: hard masks, foreground (fg) only.",
			fmt.Sprintf(missingNote, "a tumor"),
		})
	}
	return slices.Concat([]string{spreadNote, segmentSoftNote}, which, []string{
		"Sens., Spec., hard IoU, hard Dice: hard masks.",
		"mean: for each case the mean over the classes or regions that have a value, then the mean over the cases.",
		fmt.Sprintf(missingNote, "a voxel of the class"),
	})
}

// selection states how the best weights were selected.
func (r *Run) selection() string {
	switch r.Select {
	case SelectVaries:
		if r.Report.Held() {
			return "The best weights are those with the largest mean of the measure named by the -select of their run, on the validation cases."
		}
		return "The best weights are those with the largest mean of the measure named by the -select of their run, on these same cases, which makes every figure slightly optimistic."
	case "last":
		return "The weights are those of the last epoch, whatever their validation."
	case "":
		return r.selectedBy(outcome.SoftDice.String())
	}
	return r.selectedBy(r.Select)
}

func (r *Run) selectedBy(measure string) string {
	name := measure
	for _, m := range overlaps {
		if m.String() == measure {
			name = r.name(m)
		}
	}
	if r.Report.Held() {
		return fmt.Sprintf("The best weights are those with the largest mean %s on the validation cases (-select).", name)
	}
	return fmt.Sprintf("The best weights are those with the largest mean %s on these same cases, which makes every figure slightly optimistic (-select).", name)
}

// reported states which cases the figures are of, if they are not the validation cases.
func (r *Run) reported() []string {
	switch r.Report {
	case outcome.OnNextFold:
		return []string{"The figures of a training are those of the fold after its validation fold (-report next_fold): it has neither trained on these cases nor selected its weights by them."}
	case outcome.OnTestDir:
		return []string{"The figures are those of the test cases (-test_dir): no training has trained on them or selected its weights by them."}
	}
	return nil
}

// pooling states how the figures combine several seeds and folds.
func (r *Run) pooling() []string {
	s := spreadOf(r.Results)
	if s.seeds*s.folds == 1 {
		return nil
	}
	upTo := ""
	if slices.ContainsFunc(r.Results.Pool(), func(p outcome.Pooled) bool { return len(p.Trainings) < s.seeds*s.folds }) {
		upTo = "up to " // runs that were joined
	}
	text := fmt.Sprintf("Each row pools the trainings of %s%s. ", upTo, s.trainings())
	switch {
	case r.Report == outcome.OnTestDir:
		text += "Of each case the mean over its trainings comes first: n and the intervals count cases."
	case s.seeds > 1:
		text += "Of each case the mean over the seeds comes first: n and the intervals count cases."
	default:
		text += "Each case counts once."
	}
	return []string{text}
}

// hard returns the word for the measures of hard masks.
func (r *Run) hard() string {
	if segmented(r.Results) {
		return "hard"
	}
	return "fg"
}

func (r *Run) overlapTable() NamedTable {
	cases := map[bool]string{false: "Validation", true: "Test"}[r.Report.Held()]
	title := cases + ", best weights of each loss"
	if r.several() {
		title = cases + ", best weights of each network and loss"
	}
	table := r.table(append(r.overlapHeader(), "best epoch"), func(p *outcome.Pooled, cases []outcome.Case) []string {
		var row []string
		for _, m := range overlaps {
			row = append(row, meanSD(cases, m, 3))
		}
		return append(row, bestEpochs(p))
	})
	return NamedTable{title, table, r.overlapNotes()}
}

// overlaps are the measures of the paper's tables and those of hard masks, in the order of
// their columns.
var overlaps = []outcome.Measure{outcome.SoftIoU, outcome.SoftDice, outcome.Sensitivity, outcome.Specificity, outcome.IoU, outcome.Dice}

func (r *Run) overlapHeader() []string {
	var header []string
	for _, m := range overlaps {
		header = append(header, r.name(m))
	}
	return header
}

// name returns the name of an overlap in tables.
func (r *Run) name(m outcome.Measure) string {
	switch m {
	case outcome.SoftIoU:
		return "soft IoU"
	case outcome.SoftDice:
		return "soft Dice"
	case outcome.Sensitivity:
		return "Sens."
	case outcome.Specificity:
		return "Spec."
	case outcome.IoU:
		return r.hard() + " IoU"
	case outcome.Dice:
		return r.hard() + " Dice"
	}
	return m.String()
}

func (r *Run) intervalTable() NamedTable {
	table := r.table(r.overlapHeader(), func(_ *outcome.Pooled, cases []outcome.Case) []string {
		var row []string
		for _, m := range overlaps {
			row = append(row, interval(cases, m))
		}
		return row
	})
	return NamedTable{"95% intervals of the means", table, []string{
		"Student's t over the cases of the mean above. It is not cut to the range of the measure: bounds beyond it mean too few cases.",
		"An interval says how well the mean of one loss is known. Two losses can differ though theirs overlap: a paired test compares them.",
	}}
}

// bestEpochs formats the best epoch, or the range of those of several trainings, and says how
// many trainings diverged.
func bestEpochs(p *outcome.Pooled) string {
	first, last, diverged := 0, 0, 0
	for _, l := range p.Trainings {
		if l.BestEpoch > 0 {
			if first == 0 || l.BestEpoch < first {
				first = l.BestEpoch
			}
			last = max(last, l.BestEpoch)
		}
		if l.Diverged != nil {
			diverged++
		}
	}
	best := dash
	switch {
	case first < last:
		best = fmt.Sprintf("%d–%d", first, last)
	case last > 0:
		best = fmt.Sprint(last)
	}
	switch {
	case diverged > 0 && len(p.Trainings) == 1:
		best += " (diverged)"
	case diverged > 0:
		best += fmt.Sprintf(" (%d of %d diverged)", diverged, len(p.Trainings))
	}
	return best
}

func (r *Run) lesionTable() NamedTable {
	table := r.table([]string{"HD95 mm", "ASD mm", "lesion F1", "found", "missed", "false"}, func(_ *outcome.Pooled, cases []outcome.Case) []string {
		return []string{
			meanSD(cases, outcome.Hausdorff95, 2), meanSD(cases, outcome.SurfaceDistance, 2),
			meanSD(cases, outcome.LesionF1, 3),
			total(cases, outcome.LesionTP), total(cases, outcome.LesionFN), total(cases, outcome.LesionFP),
		}
	})
	return NamedTable{"Distances and lesions, same weights", table, []string{
		"HD95: 95th percentile Hausdorff distance; ASD: symmetric average surface distance; both in mm, over the cases in which both masks have voxels.",
		"Lesions are 26-connected components. Found: reference lesions that the prediction touches; missed: the others; " +
			"false: predicted lesions that touch no reference voxel. F1 is that of each case, and 1 if both masks are empty.",
	}}
}

// labels returns the cells that name a row: the run and the network, if there are several,
// the loss and, unless all results are binary, the class or region.
func (r *Run) labels(run, network, loss, segment string) []string {
	var row []string
	if r.severalRuns() {
		row = append(row, run)
	}
	if r.several() {
		row = append(row, network)
	}
	row = append(row, loss)
	if segmented(r.Results) {
		row = append(row, segment)
	}
	return row
}

// table returns a table with a row per network and loss or, if there are classes or regions, a
// row for each of them and for their mean. A row holds its labels and the
// cells returned by cells for its cases.
func (r *Run) table(header []string, cells func(p *outcome.Pooled, cases []outcome.Case) []string) Table {
	t := Table{Header: r.labels("Run", "Model", "Loss", segmentTitle(r.Results))}
	t.MoreLabels = len(t.Header) - 1
	t.Header = append(t.Header, header...)
	for _, p := range r.Results.Pool() {
		if !shown(&p) {
			continue
		}
		for _, part := range rowsOf(&p) {
			t.Rows = append(t.Rows, append(r.labels(p.RunTitle, p.NetworkTitle, p.Title, part.name), cells(&p, part.cases)...))
		}
	}
	return t
}

func total(cases []outcome.Case, m outcome.Measure) string {
	sum, n := 0.0, 0
	for _, c := range cases {
		if v := c.Values[m]; v.Finite() {
			sum += float64(v)
			n++
		}
	}
	if n == 0 {
		return dash
	}
	// A sum of means over classes need not be a whole number.
	return strconv.FormatFloat(math.Round(10*sum)/10, 'f', -1, 64)
}
