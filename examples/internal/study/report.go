package main

import (
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl/examples/internal/cli"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/phantom"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/internal/atomicfile"
)

// brats is the program that makes the runs, as far as their flags depend on it.
var brats = cli.Program{
	Name: "brats", Protocol: dataset.BraTS(), PhantomChannels: 4,
	Phantom: phantom.Options{Kind: phantom.BraTS, Train: 24, Valid: 8, Size: [3]int{64, 64, 48}},
}

// table is one of the result's tables.
type table struct {
	name, title string
	arms        []arm
}

// reportRuns is the command report.
func reportRuns(args []string, out io.Writer) error {
	f := flag.NewFlagSet("study report", flag.ContinueOnError)
	folders := f.String("runs", "", "`folders` of runs of brats, with commas between, one for each learning rate (required)")
	to := f.String("out", "", "`folder` of the result (required)")
	whole := f.Bool("complete", false, "fail unless every training is finished")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *to == "" || *folders == "" || f.NArg() > 0 {
		return errors.New("report: -runs and -out are required, and there must be no other arguments")
	}
	var runs []run
	finished, trainings := 0, 0
	for dir := range strings.SplitSeq(*folders, ",") {
		results, rate, err := cli.ReadResults(brats, dir)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(runs, func(r run) bool { return r.rate == rate }) {
			return fmt.Errorf("report: two runs have the rate %g", rate)
		}
		runs = append(runs, run{rate, results})
		done := 0
		for _, r := range results {
			if r.Ongoing == "" {
				done++
			}
		}
		fmt.Fprintf(out, "%s: rate %g, %d of %d trainings finished\n", dir, rate, done, len(results))
		finished, trainings = finished+done, trainings+len(results)
	}
	if *whole && finished < trainings {
		return fmt.Errorf("report: %d of %d trainings are not finished", trainings-finished, trainings)
	}
	tables, err := tablesOf(runs)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*to, 0o777); err != nil {
		return err
	}
	return writeResult(*to, tables, finished, trainings)
}

// tablesOf returns a table for each rate and, if there are several, one of the better rates.
func tablesOf(runs []run) ([]table, error) {
	var tables []table
	add := func(name, title string, of []run) error {
		all, err := arms(of)
		tables = append(tables, table{name, title, all})
		return err
	}
	for _, r := range runs {
		rate := strconv.FormatFloat(r.rate, 'g', -1, 64)
		if err := add("rate-"+rate, "Learning rate "+rate+" for all losses", []run{r}); err != nil {
			return nil, err
		}
	}
	if len(runs) > 1 {
		if err := add("better-rate", "The better learning rate of each loss", runs); err != nil {
			return nil, err
		}
	}
	return tables, nil
}

func writeResult(dir string, tables []table, finished, trainings int) error {
	var text strings.Builder
	fmt.Fprintf(&text, "# Does A-FL help on small lesions?\n\nThe [protocol](../../../docs/study.md) says what was done. %d of %d trainings are finished", finished, trainings)
	if finished < trainings {
		text.WriteString("; a table has the folds that every loss has finished")
	}
	text.WriteString(".\n\n![Mean Dice of every loss with its interval](dice.png)\n")
	for i := range tables {
		if err := tables[i].write(&text); err != nil {
			return err
		}
	}
	text.WriteString(legend)
	for name, rows := range map[string]func([]table) ([][]string, error){
		"losses.csv": lossRows, "comparisons.csv": comparisonRows, "patients.csv": patientRows,
	} {
		values, err := rows(tables)
		if err != nil {
			return err
		}
		if err := atomicfile.Write(filepath.Join(dir, name), func(w io.Writer) error { return csv.NewWriter(w).WriteAll(values) }); err != nil {
			return err
		}
	}
	if err := writeFigure(filepath.Join(dir, "dice.png"), tables); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "README.md"), func(w io.Writer) error {
		_, err := io.WriteString(w, text.String())
		return err
	})
}

const legend = `
## What the columns are

Means over patients with 95 % bootstrap intervals; a patient counts once, with the mean over the
seeds. Dice, sensitivity, surface Dice (within 1 voxel) and lesion F1 (IoU of at least 0.1) are
those of patients with a lesion; false lesions, and the share of patients with any, those of
patients without; AUROC, Brier score and ECE (ten bins) those of all. Differences are A-FL as
released minus the other loss. The median's interval is a bootstrap over patients, p Wilcoxon's
signed-rank test, adjusted by Holm over all rows, r the rank-biserial correlation. The small,
medium and large third are by the lesion's volume, the smooth and rough one by γ_mSa over its
boundary. ` + "`losses.csv`, `comparisons.csv` and `patients.csv`" + ` have every number, the last one to six digits.
`

// write adds the tables to the page.
func (t *table) write(text *strings.Builder) error {
	fmt.Fprintf(text, "\n## %s\n", t.title)
	trained := len(t.arms[0].chosen)
	if trained == 0 {
		text.WriteString("\nNo fold is finished by every loss yet.\n")
		return nil
	}
	patients := outcome.OverSeeds(t.arms[0].cases)
	with := 0
	for _, p := range patients {
		if hasLesion(&p) {
			with++
		}
	}
	comparisons, err := compare(t.arms, released)
	if err != nil {
		return err
	}
	fmt.Fprintf(text, "\nTrainings of each loss, seeds times folds: %d. Patients that are scored: %d, of whom %d have a lesion.\n", trained, len(patients), with)
	if len(comparisons) > 0 {
		word, reason, _ := strings.Cut(verdict(comparisons), ":")
		fmt.Fprintf(text, "\nThe claim is **%s**:%s\n", word, reason)
	}
	if len(t.arms[0].inStrata()) > 0 {
		for _, name := range []string{"small", "rough"} {
			if s := rankIn(t.arms, name); s != "" {
				fmt.Fprintf(text, "\n- %s.", strings.ToUpper(s[:1])+s[1:])
			}
		}
		text.WriteString("\n")
	}
	if names := t.withoutMask(); len(names) > 0 {
		fmt.Fprintf(text, "\nNo voxel of any scored patient was predicted as lesion by %s.\n", listed(names))
	}
	main := report.Table{Header: []string{"Loss"}}
	thirds := report.Table{Header: []string{"Loss"}}
	several := t.name == "better-rate"
	for i := range t.arms {
		a := &t.arms[i]
		scores, err := a.scores()
		if err != nil {
			return err
		}
		row := []string{a.title}
		for _, s := range scores {
			if i == 0 {
				main.Header = append(main.Header, s.name)
			}
			decimals := 3
			if s.name == "Brier score" || s.name == "ECE" {
				decimals = 4
			}
			row = append(row, s.format(decimals))
		}
		if several {
			row = append(row, a.rates())
		}
		main.Rows = append(main.Rows, row)
		third := []string{a.title}
		for _, s := range a.inStrata() {
			if i == 0 {
				thirds.Header = append(thirds.Header, fmt.Sprintf("%s (n=%d)", s.name, s.n))
			}
			third = append(third, s.format(3))
		}
		thirds.Rows = append(thirds.Rows, third)
	}
	if several {
		main.Header = append(main.Header, "chosen rates")
	}
	fmt.Fprintf(text, "\n%s", main)
	if len(comparisons) > 0 {
		differences := report.Table{Header: []string{"A-FL minus", "mean", "median", "95 % interval", "p", "adjusted p", "r"}}
		for _, c := range comparisons {
			differences.Rows = append(differences.Rows, []string{c.against.title, signed(c.Mean), signed(c.Median),
				interval(c.Lower, c.Upper, 3), small(c.P), small(c.adjusted), signed(c.RankBiserial)})
		}
		fmt.Fprintf(text, "\nDice of the patients with a lesion, in pairs:\n\n%s", differences)
	}
	if len(thirds.Header) > 1 {
		fmt.Fprintf(text, "\nDice by size and roughness:\n\n%s", thirds)
	}
	return nil
}

// withoutMask returns the titles of the losses whose networks left every mask empty.
func (t *table) withoutMask() []string {
	var titles []string
	for _, a := range t.arms {
		predicted := func(c outcome.Case) bool { return c.Values[outcome.LesionTP]+c.Values[outcome.LesionFP] > 0 }
		if len(a.cases) > 0 && !slices.ContainsFunc(a.cases, predicted) {
			titles = append(titles, a.title)
		}
	}
	return titles
}

// rates says how many trainings have which rate, such as "0.1 (3), 0.01 (2)".
func (a *arm) rates() string {
	count := map[float64]int{}
	var rates []float64
	for _, rate := range a.chosen {
		if count[rate]++; count[rate] == 1 {
			rates = append(rates, rate)
		}
	}
	slices.Sort(rates)
	slices.Reverse(rates)
	var parts []string
	for _, rate := range rates {
		parts = append(parts, fmt.Sprintf("%g (%d)", rate, count[rate]))
	}
	return strings.Join(parts, ", ")
}

const dash = "–"

func (s score) format(decimals int) string {
	if math.IsNaN(s.value) {
		return dash
	}
	text := strconv.FormatFloat(s.value, 'f', decimals, 64)
	if math.IsNaN(s.lower) {
		return text
	}
	return text + " " + interval(s.lower, s.upper, decimals)
}

func interval(lower, upper float64, decimals int) string {
	if math.IsNaN(lower) || math.IsNaN(upper) {
		return dash
	}
	return fmt.Sprintf("[%.*f, %.*f]", decimals, lower, decimals, upper)
}

func signed(v float64) string { return fmt.Sprintf("%+.3f", v) }

// small formats a p-value.
func small(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

// number formats a number with full precision for a CSV file, an undefined one as nothing.
func number(v float64) string { return digits(v, -1) }

// rounded is number with six digits.
func rounded(v float64) string { return digits(v, 6) }

func digits(v float64, n int) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', n, 64)
}

func lossRows(tables []table) ([][]string, error) {
	rows := [][]string{{"table", "loss", "score", "n", "mean", "lower", "upper"}}
	for _, t := range tables {
		for i := range t.arms {
			scores, err := t.arms[i].scores()
			if err != nil {
				return nil, err
			}
			for k, s := range slices.Concat(scores, t.arms[i].inStrata()) {
				name := strings.ReplaceAll(strings.ToLower(s.name), " ", "_")
				if k >= len(scores) {
					name = "dice_" + name
				}
				rows = append(rows, []string{t.name, t.arms[i].loss, name, strconv.Itoa(s.n), number(s.value), number(s.lower), number(s.upper)})
			}
		}
	}
	return rows, nil
}

func comparisonRows(tables []table) ([][]string, error) {
	rows := [][]string{{"table", "loss", "against", "n", "larger", "equal", "smaller", "mean", "median", "median_lower", "median_upper", "p", "p_holm", "rank_biserial"}}
	for _, t := range tables {
		comparisons, err := compare(t.arms, released)
		if err != nil {
			return nil, err
		}
		for _, c := range comparisons {
			rows = append(rows, []string{t.name, released, c.against.loss, strconv.Itoa(c.N), strconv.Itoa(c.Larger), strconv.Itoa(c.Equal), strconv.Itoa(c.Smaller),
				number(c.Mean), number(c.Median), number(c.Lower), number(c.Upper), number(c.P), number(c.adjusted), number(c.RankBiserial)})
		}
	}
	return rows, nil
}

func patientRows(tables []table) ([][]string, error) {
	header := []string{"table", "loss", "seed", "fold", "rate", "case"}
	for m := range outcome.MeasureCount {
		header = append(header, m.String())
	}
	rows := [][]string{append(header, "confidence", "reference_volume_ml", "reference_boundary_smoothness")}
	for _, t := range tables {
		for i := range t.arms {
			a := &t.arms[i]
			for _, c := range a.cases {
				row := []string{t.name, a.loss, strconv.FormatUint(c.Seed, 10), strconv.Itoa(c.Fold), number(a.chosen[training{c.Seed, c.Fold}]), c.ID}
				for m := range outcome.MeasureCount {
					row = append(row, rounded(float64(c.Values[m])))
				}
				confidence := ""
				if c.Detection != nil {
					confidence = rounded(c.Detection.Confidence)
				}
				rows = append(rows, append(row, confidence, rounded(c.Reference.Volume), rounded(c.Reference.Smoothness)))
			}
		}
	}
	return rows, nil
}
