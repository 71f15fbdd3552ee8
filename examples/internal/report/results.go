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

// Markdown returns the report of a run: its title and facts, followed by its tables and
// notes.
func (r *Run) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.Title)
	for _, f := range r.Facts {
		fmt.Fprintf(&b, "- %s\n", f)
	}
	b.WriteString("\n" + r.tables())
	return b.String()
}

// tables returns, as Markdown, the paper's first table (one row per loss: IoU, Dice,
// sensitivity, specificity), extended by the hard foreground measures, followed by
// distances, lesion counts and notes. With several networks it is the paper's second
// table (one row per network and loss). Each row is for its best weights.
func (r *Run) tables() string {
	var b strings.Builder
	cases := map[bool]string{false: "Validation", true: "Test"}[r.Report.Held()]
	if r.several() {
		fmt.Fprintf(&b, "## %s, best weights of each network and loss\n\n", cases)
	} else {
		fmt.Fprintf(&b, "## %s, best weights of each loss\n\n", cases)
	}
	b.WriteString(r.overlapTable().String())
	if segmented(r.Results) {
		b.WriteString(segmentSoftNotes + r.selection() + r.reported() + r.pooling() + segmentNotes)
	} else {
		b.WriteString(binarySoftNotes + r.selection() + r.reported() + r.pooling() + binaryNotes)
	}
	b.WriteString("\n## Distances and lesions, same weights\n\n")
	b.WriteString(r.lesionTable().String())
	b.WriteString(lesionNotes)
	if notes := r.notes(); len(notes) > 0 {
		b.WriteString("\n## Notes\n\n")
		for _, n := range notes {
			fmt.Fprintf(&b, "- %s\n", n)
		}
	}
	return b.String()
}

// Explanations below the tables.
const (
	binarySoftNotes = `
- soft IoU, soft Dice: as computed by the paper's released training code, whose
  IoU and Dice they are: a sigmoid per channel, squared sums, mean over both
  channels including the background, which raises both.
`
	binaryNotes = `- Sens., Spec., fg IoU, fg Dice: hard masks, foreground (fg) only, mean over the
  cases.
- 95% interval: Student's t for the mean of fg Dice over the cases.
- (n=k): the mean is over k cases. Cases for which a measure has no value, such
  as the sensitivity without a tumor, are excluded; – means that no case has a
  value.
`
	segmentSoftNotes = `
- soft IoU, soft Dice: with squared sums, of each class or region alone, without
  the background: by the softmax of all channels for classes, by the sigmoid of
  the region's channel for regions.
`
	segmentNotes = `- Sens., Spec., hard IoU, hard Dice: hard masks, mean over the cases.
- mean: for each case the mean over the classes or regions that have a value,
  then the mean over the cases.
- 95% interval: Student's t for the mean of the hard Dice over the cases.
- (n=k): the mean is over k cases. Cases for which a measure has no value, such
  as the sensitivity without a voxel of the class, are excluded; – means that no
  case has a value.
`
	lesionNotes = `
- HD95: 95th percentile Hausdorff distance; ASD: symmetric average surface
  distance; both in mm, over the cases in which both masks have voxels.
- Lesions are 26-connected components. Found: reference lesions that the
  prediction touches; missed: the others; false: predicted lesions that touch no
  reference voxel. F1 is the mean over the cases, and 1 if both masks are empty.
`
)

// selection states how the best weights were selected.
func (r *Run) selection() string {
	switch r.Select {
	case SelectVaries:
		if r.Report.Held() {
			return "- The best weights are those with the largest mean of the measure named by the\n  -select of their run, on the validation cases.\n"
		}
		return "- The best weights are those with the largest mean of the measure named by the\n  -select of their run, on these same cases, which makes every figure slightly\n  optimistic.\n"
	case "last":
		return "- The weights are those of the last epoch, whatever their validation.\n"
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
	if r.Report.Held() {
		return fmt.Sprintf("- The best weights are those with the largest mean %s on the\n  validation cases (-select).\n", name)
	}
	return fmt.Sprintf("- The best weights are those with the largest mean %s on these same\n  cases, which makes every figure slightly optimistic (-select).\n", name)
}

// reported states which cases the figures are of, if they are not the validation cases.
func (r *Run) reported() string {
	switch r.Report {
	case outcome.OnNextFold:
		return "- The figures of a training are those of the fold after its validation fold\n  (-report next_fold): it has neither trained on these cases nor selected its\n  weights by them.\n"
	case outcome.OnTestDir:
		return "- The figures are those of the test cases (-test_dir): no training has trained on\n  them or selected its weights by them.\n"
	}
	return ""
}

// pooling states how the figures combine several seeds and folds.
func (r *Run) pooling() string {
	s := spreadOf(r.Results)
	if s.seeds*s.folds == 1 {
		return ""
	}
	text := fmt.Sprintf("- Each row pools the trainings of %s.", s.trainings())
	switch {
	case r.Report == outcome.OnTestDir:
		text += " Of each case the mean over its\n  trainings comes first: n and the intervals count cases.\n"
	case s.seeds > 1:
		text += " Of each case the mean over the\n  seeds comes first: n and the intervals count cases.\n"
	default:
		text += " Each case counts once.\n"
	}
	return text
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

func (r *Run) overlapTable() Table {
	hard := r.hard()
	return r.table([]string{"soft IoU", "soft Dice", "Sens.", "Spec.", hard + " IoU", hard + " Dice", "95% interval", "best epoch"}, func(p *outcome.Pooled, cases []outcome.Case) []string {
		means, n := outcome.MeanOf(cases), len(cases)
		return []string{
			means[outcome.SoftIoU].Format(n, 3), means[outcome.SoftDice].Format(n, 3),
			means[outcome.Sensitivity].Format(n, 3), means[outcome.Specificity].Format(n, 3),
			means[outcome.IoU].Format(n, 3), means[outcome.Dice].Format(n, 3),
			diceInterval(cases), bestEpochs(p),
		}
	})
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

func (r *Run) lesionTable() Table {
	return r.table([]string{"HD95 mm", "ASD mm", "lesion F1", "found", "missed", "false"}, func(_ *outcome.Pooled, cases []outcome.Case) []string {
		means, n := outcome.MeanOf(cases), len(cases)
		return []string{
			means[outcome.Hausdorff95].Format(n, 2), means[outcome.SurfaceDistance].Format(n, 2),
			means[outcome.LesionF1].Format(n, 3),
			total(cases, outcome.LesionTP), total(cases, outcome.LesionFN), total(cases, outcome.LesionFP),
		}
	})
}

// table returns a table with a row per network and loss or, if there are classes or regions, a
// row for each of them and for their mean. A row holds the run and the network, if there are
// several, the loss, the class or region, and the cells returned by cells for its cases.
func (r *Run) table(header []string, cells func(p *outcome.Pooled, cases []outcome.Case) []string) Table {
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
	for _, p := range r.Results.Pool() {
		if !shown(&p) {
			continue
		}
		for _, part := range rowsOf(&p) {
			t.Rows = append(t.Rows, append(labels(p.RunTitle, p.NetworkTitle, p.Title, part.name), cells(&p, part.cases)...))
		}
	}
	return t
}

// notes states what the tables do not show: the prediction rules for masks, which trainings
// diverged, which go on, and whose masks miss every tumor.
func (r *Run) notes() []string {
	var notes []string
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
	for _, rule := range rules {
		notes = append(notes, fmt.Sprintf("Hard masks of %s: %s.", strings.Join(byRule[rule], ", "), rule))
	}
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
	pooled := r.Results.Pool()
	for _, p := range pooled {
		if note := r.unfinished(&p); note != "" {
			notes = append(notes, note)
		}
	}
	for _, p := range pooled {
		if dice := outcome.MeanOf(p.Cases)[outcome.Dice]; dice.Value == 0 {
			notes = append(notes, fmt.Sprintf("%s: the masks of these weights hit no tumor (%s Dice 0). The soft measures can be high all the same; -select foreground_dice selects the weights by their masks.", r.title(p.Result), r.hard()))
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
