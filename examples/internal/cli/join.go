package cli

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/fingerprint"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/page"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/train"
)

// joined is a run that is part of a joint report.
type joined struct {
	dir, title string
	record     *record
	options    *options
	results    outcome.Store
}

// joinRuns writes one report of the runs in the folders given as arguments to -model_dir,
// which is locked.
func (o *options) joinRuns(p Program, flags *flag.FlagSet, progress *report.Progress) error {
	if err := o.checkJoin(flags); err != nil {
		return err
	}
	var runs []*joined
	for _, dir := range flags.Args() {
		run, err := readRun(p, dir)
		if err != nil {
			return err
		}
		runs = append(runs, run)
	}
	if err := checkComparable(runs); err != nil {
		return err
	}
	nameRuns(runs)
	result := joinedReport(p, runs)
	for name, write := range map[string]func(path string) error{
		"epochs.csv":      func(path string) error { return report.WriteEpochsCSV(path, result.Results) },
		"cases.csv":       func(path string) error { return report.WriteCasesCSV(path, result.Results) },
		"comparisons.csv": result.WriteComparisonsCSV,
		"strata.csv":      result.WriteStrataCSV,
	} {
		if err := write(filepath.Join(o.modelDir, name)); err != nil {
			return err
		}
	}
	for _, network := range networksOf(result) {
		dir := filepath.Join(o.modelDir, network)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := result.WriteCurves(dir, network); err != nil {
			return err
		}
	}
	if err := result.WriteDetection(o.modelDir, func() error { return nil }); err != nil {
		return err
	}
	if err := writeJoinedPage(filepath.Join(o.modelDir, "report.html"), result, runs); err != nil {
		return err
	}
	if err := result.WriteMarkdown(filepath.Join(o.modelDir, "results.md"), "report.html"); err != nil {
		return err
	}
	progress.Println(result.Markdown())
	tables, curves := writtenNames(result)
	progress.Println(fmt.Sprintf("Written to %s: %s, report.html; %s of each network.", o.modelDir, tables, curves))
	return nil
}

// checkJoin checks the command line of -join.
func (o *options) checkJoin(flags *flag.FlagSet) (err error) {
	given := false
	flags.Visit(func(g *flag.Flag) {
		switch {
		case g.Name == "model_dir":
			given = true
		case g.Name != "join" && err == nil:
			err = usageErrorf("-%s has no effect with -join", g.Name)
		}
	})
	switch {
	case err != nil:
		return err
	case !given:
		return usageErrorf("-join: -model_dir is missing; it names the folder of the report and stands before those of the runs")
	case flags.NArg() < 2:
		return usageErrorf("-join: want the folders of at least two runs after the flags, got %d", flags.NArg())
	}
	if rec, err := readRecord(o.modelDir); rec != nil || err != nil {
		return usageErrorf("-model_dir: %s contains a run; write the report to another folder", o.modelDir)
	}
	return o.noCheckpoints()
}

// readRun reads the record and the results of the run in dir.
func readRun(p Program, dir string) (*joined, error) {
	rec, err := readRecord(dir)
	if err != nil {
		return nil, fmt.Errorf("-join: %w", err)
	}
	if rec == nil {
		return nil, usageErrorf("-join: %s contains no run (no %s)", dir, recordName)
	}
	if rec.Program != p.Name {
		return nil, usageErrorf("-join: the run in %s was started by %s", dir, rec.Program)
	}
	flags, o := newFlags(p)
	if err := rec.restoreFlags(flags, dir); err != nil {
		return nil, fmt.Errorf("-join: %w", err)
	}
	plan, err := planOf(rec, o)
	if err != nil {
		return nil, fmt.Errorf("-join: %s: %w", filepath.Join(dir, recordName), err)
	}
	results, err := train.Read(dir, rec.ID, plan)
	if err != nil {
		return nil, fmt.Errorf("-join: %w", err)
	}
	return &joined{dir: dir, record: rec, options: o, results: results}, nil
}

// planOf returns the trainings of a recorded run with the given flags.
func planOf(rec *record, o *options) (*train.Plan, error) {
	plan := &train.Plan{
		Scheme: rec.Scheme, Networks: o.model, Losses: o.loss,
		Seed: o.seed, Seeds: o.seeds, Epochs: o.epochs, Steps: o.steps, Batch: o.optimization.batch, Patches: o.patches.patches,
	}
	d := &division{folds: rec.Folds, next: o.division.reports() == outcome.OnNextFold}
	for _, c := range rec.Data.Train {
		d.used.Train = append(d.used.Train, dataset.Case{ID: c.ID})
	}
	splits, err := d.splits()
	if err != nil {
		return nil, err
	}
	for _, s := range splits {
		var ids []string
		for _, c := range s.Train {
			ids = append(ids, c.ID)
		}
		plan.Train = append(plan.Train, ids)
	}
	return plan, nil
}

// reported returns the cases that the tables of a run report.
func (r *joined) reported() []fingerprint.Case {
	switch {
	case r.record.Data.Test != nil:
		return r.record.Data.Test
	case r.record.Folds != nil:
		return r.record.Data.Train
	}
	return r.record.Data.Valid
}

// kind names the reported cases.
func (r *joined) kind() string {
	if r.options.division.reports().Held() {
		return "test"
	}
	return "validation"
}

// checkComparable returns an error if the figures of the runs cannot stand in one table: if they
// are of different cases, if weights were selected by these in some of the runs only, or if two
// runs are the same and have the same training.
func checkComparable(runs []*joined) error {
	type training struct {
		run string
		key train.Key
	}
	seen := map[training]string{}
	for _, r := range runs {
		if a, b := runs[0].options.division.reports(), r.options.division.reports(); a != b {
			return usageErrorf("-join: %s has -report %s and %s has -report %s, so that their figures cannot be compared", runs[0].dir, a, r.dir, b)
		}
		then, now := fingerprint.Data{Valid: runs[0].reported()}, fingerprint.Data{Valid: r.reported()}
		if r.kind() == "test" {
			then, now = fingerprint.Data{Test: then.Valid}, fingerprint.Data{Test: now.Valid}
		}
		if err := fingerprint.Compare(&then, &now); err != nil {
			return fmt.Errorf("-join: %s and %s have different %s cases, so that their figures cannot be compared: %w", runs[0].dir, r.dir, r.kind(), err)
		}
		for _, l := range r.results {
			t := training{l.Run, train.Key{Network: l.Network, Loss: l.Loss, Seed: l.Seed, Fold: l.Fold}}
			if other, ok := seen[t]; ok {
				return usageErrorf("-join: %s and %s contain the same training: %s of the run %s", other, r.dir, t.key, t.run)
			}
			seen[t] = r.dir
		}
	}
	return nil
}

// nameRuns gives each run the name of its folder, or no name if all runs are parts of one:
// equal but for their epochs, losses, networks and seeds.
func nameRuns(runs []*joined) {
	same := true
	bases := map[string]int{}
	for _, r := range runs {
		same = same && r.record.ID == runs[0].record.ID
		bases[filepath.Base(filepath.Clean(r.dir))]++
	}
	if same {
		return
	}
	for _, r := range runs {
		if r.title = filepath.Base(filepath.Clean(r.dir)); bases[r.title] > 1 {
			r.title = filepath.Clean(r.dir)
		}
		for i := range r.results {
			r.results[i].RunTitle = r.title
		}
	}
}

// joinedReport returns the report of the runs.
func joinedReport(p Program, runs []*joined) *report.Run {
	result := &report.Run{Title: fmt.Sprintf("%s: %d runs", p.Name, len(runs)), Select: runs[0].options.selection.String(), Report: runs[0].options.division.reports()}
	phantom := false
	for _, r := range runs {
		phantom = phantom || r.options.synthetic()
		if r.options.selection.String() != result.Select {
			result.Select = report.SelectVaries
		}
	}
	if phantom {
		result.Title += " (synthetic phantom)"
		result.Facts = append(result.Facts, "Data: SYNTHETIC phantom, generated by this program; it contains no patient data, and its figures say nothing about patients.")
	} else {
		result.Dataset = p.Name
	}
	kind := runs[0].kind()
	result.Facts = append(result.Facts, fmt.Sprintf("%s cases: %d, the same files in all runs.", strings.ToUpper(kind[:1])+kind[1:], len(runs[0].reported())))
	differing := differingFlags(runs)
	for _, r := range runs {
		name := r.dir
		if r.title != "" && r.title != r.dir {
			name = fmt.Sprintf("%s (%s)", r.title, r.dir)
		}
		text := fmt.Sprintf("Run %s: %s, begun %s, version %s", name, r.record.ID, r.record.Sessions[0].Started.Format(time.DateTime), r.record.Sessions[0].Version)
		for _, flag := range differing {
			text += fmt.Sprintf(", -%s %s", flag, quoteEmpty(r.record.Flags[flag]))
		}
		if !sameTraining(runs[0], r) {
			text += ", other training cases than " + runs[0].dir
		} else if !maps.Equal(runs[0].record.Folds, r.record.Folds) {
			text += ", other folds than " + runs[0].dir
		}
		result.Facts = append(result.Facts, text+".")
		result.Results = append(result.Results, r.results...)
	}
	return result
}

// writeJoinedPage writes the page of the runs, which has no images.
func writeJoinedPage(path string, result *report.Run, runs []*joined) error {
	p, err := page.New(result)
	if err != nil {
		return err
	}
	p.Synthetic = slices.ContainsFunc(runs, func(r *joined) bool { return r.options.synthetic() })
	return p.Write(path)
}

func sameTraining(a, b *joined) bool {
	then, now := fingerprint.Data{Train: a.record.Data.Train}, fingerprint.Data{Train: b.record.Data.Train}
	return fingerprint.Compare(&then, &now) == nil
}

// differingFlags returns the names of the flags that are not equal in all runs.
func differingFlags(runs []*joined) []string {
	var names []string
	for _, name := range sortedKeys(runs[0].record.Flags) {
		if slices.ContainsFunc(runs, func(r *joined) bool { return r.record.Flags[name] != runs[0].record.Flags[name] }) {
			names = append(names, name)
		}
	}
	return names
}

func quoteEmpty(s string) string {
	if s == "" || strings.ContainsAny(s, " ") {
		return strconv.Quote(s)
	}
	return s
}

// networksOf returns the names of the networks that have results.
func networksOf(r *report.Run) []string {
	var names []string
	for _, l := range r.Results {
		if !slices.Contains(names, l.Network) {
			names = append(names, l.Network)
		}
	}
	return names
}
