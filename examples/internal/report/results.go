package report

import (
	"fmt"
	"io"
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

// Tables returns the tables of the report in their order: the paper's first table (one row
// per loss: IoU, Dice, sensitivity, specificity), extended by the hard foreground measures,
// followed by distances and lesion counts. With several networks it is the paper's second
// table (one row per network and loss). Each row is for its best weights.
func (r *Run) Tables() []NamedTable {
	return append([]NamedTable{r.overlapTable(), r.lesionTable()}, r.detectionTables()...)
}

// Notes states what the tables do not show: the prediction rules for masks, which trainings
// diverged, which go on, and whose masks miss every tumor.
func (r *Run) Notes() []string {
	return slices.Concat(r.ruleNotes(), r.divergenceNotes(), r.progressNotes(), r.emptyMaskNotes())
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
	intervalNote = "95%% interval: Student's t for the mean of %s Dice over the cases."
	missingNote  = "(n=k): the mean is over k cases. Cases for which a measure has no value, such as the sensitivity without %s, " +
		"are excluded; – means that no case has a value."
)

// overlapNotes explains the table of overlaps.
func (r *Run) overlapNotes() []string {
	if !segmented(r.Results) {
		return []string{
			binarySoftNote, r.selection(),
			"Sens., Spec., fg IoU, fg Dice: hard masks, foreground (fg) only, mean over the cases.",
			fmt.Sprintf(intervalNote, "fg"), fmt.Sprintf(missingNote, "a tumor"),
		}
	}
	return []string{
		segmentSoftNote, r.selection(),
		"Sens., Spec., hard IoU, hard Dice: hard masks, mean over the cases.",
		"mean: for each case the mean over the classes or regions that have a value, then the mean over the cases.",
		fmt.Sprintf(intervalNote, "the hard"), fmt.Sprintf(missingNote, "a voxel of the class"),
	}
}

// selection states how the best weights were selected.
func (r *Run) selection() string {
	switch r.Select {
	case SelectVaries:
		return "The best weights are those with the largest mean of the measure named by the -select of their run, on these same cases, which makes every figure slightly optimistic."
	case "last":
		return "The weights are those of the last epoch, whatever their validation."
	case "":
		return r.selectedBy(outcome.SoftDice.String())
	}
	return r.selectedBy(r.Select)
}

func (r *Run) selectedBy(measure string) string {
	name := map[string]string{
		outcome.SoftDice.String(): "soft Dice", outcome.SoftIoU.String(): "soft IoU", outcome.Dice.String(): r.hard() + " Dice", outcome.IoU.String(): r.hard() + " IoU",
	}[measure]
	if name == "" {
		name = measure
	}
	return fmt.Sprintf("The best weights are those with the largest mean %s on these same cases, which makes every figure slightly optimistic (-select).", name)
}

// hard returns the word for the measures of hard masks.
func (r *Run) hard() string {
	if segmented(r.Results) {
		return "hard"
	}
	return "fg"
}

// WriteMarkdown writes Markdown to path.
func (r *Run) WriteMarkdown(path string) error {
	return writeFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, r.Markdown())
		return err
	})
}

func (r *Run) overlapTable() NamedTable {
	title := "Validation, best weights of each loss"
	if r.several() {
		title = "Validation, best weights of each network and loss"
	}
	hard := r.hard()
	table := r.table([]string{"soft IoU", "soft Dice", "Sens.", "Spec.", hard + " IoU", hard + " Dice", "95% interval", "best epoch"}, func(l outcome.Result, cases []outcome.Case) []string {
		means, n := outcome.MeanOf(cases), len(cases)
		best := dash
		if l.BestEpoch > 0 {
			best = fmt.Sprint(l.BestEpoch)
		}
		if l.Diverged != nil {
			best += " (diverged)"
		}
		return []string{
			means[outcome.SoftIoU].Format(n, 3), means[outcome.SoftDice].Format(n, 3),
			means[outcome.Sensitivity].Format(n, 3), means[outcome.Specificity].Format(n, 3),
			means[outcome.IoU].Format(n, 3), means[outcome.Dice].Format(n, 3),
			diceInterval(cases), best,
		}
	})
	return NamedTable{title, table, r.overlapNotes()}
}

func (r *Run) lesionTable() NamedTable {
	table := r.table([]string{"HD95 mm", "ASD mm", "lesion F1", "found", "missed", "false"}, func(l outcome.Result, cases []outcome.Case) []string {
		means, n := outcome.MeanOf(cases), len(cases)
		return []string{
			means[outcome.Hausdorff95].Format(n, 2), means[outcome.SurfaceDistance].Format(n, 2),
			means[outcome.LesionF1].Format(n, 3),
			total(cases, outcome.LesionTP), total(cases, outcome.LesionFN), total(cases, outcome.LesionFP),
		}
	})
	return NamedTable{"Distances and lesions, same weights", table, []string{
		"HD95: 95th percentile Hausdorff distance; ASD: symmetric average surface distance; both in mm, over the cases in which both masks have voxels.",
		"Lesions are 26-connected components. Found: reference lesions that the prediction touches; missed: the others; " +
			"false: predicted lesions that touch no reference voxel. F1 is the mean over the cases, and 1 if both masks are empty.",
	}}
}

// table returns a table with a row per result or, if it has classes or regions, a row for
// each of them and for their mean. A row holds the run and the network, if there are
// several, the loss, the class or region, and the cells returned by cells for its cases.
func (r *Run) table(header []string, cells func(l outcome.Result, cases []outcome.Case) []string) Table {
	labels := func(run, network, loss, segment string) []string {
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
	t := Table{Header: labels("Run", "Model", "Loss", segmentTitle(r.Results))}
	t.MoreLabels = len(t.Header) - 1
	t.Header = append(t.Header, header...)
	for _, l := range r.Results {
		if !shown(&l) {
			continue
		}
		for _, part := range rowsOf(&l) {
			t.Rows = append(t.Rows, append(labels(l.RunTitle, l.NetworkTitle, l.Title, part.name), cells(l, part.cases)...))
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
