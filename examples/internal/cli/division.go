package cli

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/segment"
)

// divisionFlags holds the values of the flags that divide the cases.
type divisionFlags struct {
	folds    foldsValue
	testDir  string
	report   choice
	maxCases int
}

// addTo defines the flags in f.
func (d *divisionFlags) addTo(f *flag.FlagSet) {
	d.report = choice{value: string(outcome.OnValidation), of: []string{string(outcome.OnValidation), string(outcome.OnNextFold), string(outcome.OnTestDir)}}
	f.Var(&d.folds, "folds", "cross-validation: `number` of folds into which all labeled cases, those for training and those for\nvalidation, are dealt at random by -seed, or a CSV file with the columns case and fold, from 0. Each\nfold is validated by a training on the others, and the tables pool all folds; empty: the division of\nthe data")
	f.StringVar(&d.testDir, "test_dir", "", "`folder` of a test set, in a layout of -data_dir: the tables report its labeled cases instead of\nthe validation cases, by which the best weights are selected")
	f.Var(&d.report, "report", "which `cases` the tables report: validation; next_fold, with at least 3 -folds: the fold after that of\nthe validation cases, which is neither trained on nor selected by; test_dir, which -test_dir implies.\nThe best weights are always selected by the validation cases")
	f.IntVar(&d.maxCases, "max_cases", 0, "use only the first `n` training, n validation and n test cases, with -folds n cases in total;\n0: all")
}

// foldsValue is the value of -folds: a number of folds or the path of a list of them.
type foldsValue struct {
	count int
	list  string
}

func (v *foldsValue) String() string {
	if v.count > 0 {
		return strconv.Itoa(v.count)
	}
	return v.list
}

func (v *foldsValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		*v = foldsValue{list: s}
	case n < 2:
		return fmt.Errorf("want at least 2 folds, or a CSV file")
	default:
		*v = foldsValue{count: n}
	}
	return nil
}

// reports returns the value of -report.
func (d *divisionFlags) reports() outcome.Reported { return outcome.Reported(d.report.value) }

func (v *foldsValue) given() bool { return *v != foldsValue{} }

// check returns an error for flags that contradict each other. Those of a resumed run are
// recorded and need not be repeated.
func (d *divisionFlags) check(flags *flag.FlagSet, resume bool) error {
	for _, path := range []*string{&d.testDir, &d.folds.list} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	given := false
	flags.Visit(func(g *flag.Flag) { given = given || g.Name == "report" })
	if d.testDir != "" && !given {
		d.report.value = string(outcome.OnTestDir)
	}
	switch on := d.reports(); {
	case d.maxCases < 0:
		return usageErrorf("-max_cases is %d; it must be at least 0", d.maxCases)
	case resume:
		return nil
	case d.testDir != "" && on != outcome.OnTestDir:
		return usageErrorf("-report %s leaves the cases of -test_dir unused; leave one of them out", on)
	case d.testDir == "" && on == outcome.OnTestDir:
		return usageErrorf("-report test_dir: -test_dir is missing")
	case on == outcome.OnNextFold && !d.folds.given():
		return usageErrorf("-report next_fold: -folds is missing")
	case on == outcome.OnNextFold && d.folds.count == 2:
		return usageErrorf("-report next_fold: want at least 3 folds, -folds is 2")
	}
	return nil
}

// division is how the cases of a run are divided.
type division struct {
	// used are all cases of the run; those of a cross-validation are all in Train.
	used dataset.Split
	// folds are those of a cross-validation, else nil.
	folds dataset.Folds
	// next is true if each training reports the fold after its validation fold.
	next bool
}

// divide returns the division of the cases of a set and of a test set, which may be nil. The
// folds of a resumed run are those of its record.
func (o *options) divide(set, test *dataset.Set, rec *record) (*division, error) {
	d := &division{used: dataset.Split{Train: first(set.Train, o.division.maxCases), Valid: first(set.Valid, o.division.maxCases)}}
	if test != nil {
		d.used.Test = first(test.Train, o.division.maxCases)
	}
	if !o.division.folds.given() {
		return d, nil
	}
	d.next = o.division.reports() == outcome.OnNextFold
	var err error
	switch f := o.division.folds; {
	case rec != nil:
		d.folds = rec.Folds
		return d, nil // the cases are compared with those of the record
	case f.count > 0:
		d.folds, err = dataset.DealFolds(d.used.Train, f.count, o.seed)
	default:
		d.folds, err = dataset.ReadFolds(f.list, set.Train)
	}
	if err == nil {
		_, err = d.splits()
	}
	if err != nil {
		return nil, fmt.Errorf("-folds: %w", err)
	}
	for id := range d.folds {
		if !slices.ContainsFunc(d.used.Train, func(c dataset.Case) bool { return c.ID == id }) {
			delete(d.folds, id) // left out by -max_cases
		}
	}
	return d, nil
}

// splits returns a Split for each fold, or the only one.
func (d *division) splits() ([]dataset.Split, error) {
	if d.folds == nil {
		return []dataset.Split{d.used}, nil
	}
	return d.folds.Splits(d.used.Train, d.next, d.used.Test)
}

// facts describes the division.
func (d *division) facts(o *options, channels int) []string {
	test := ""
	if d.used.Test != nil {
		test = fmt.Sprintf(", %d for the test", len(d.used.Test))
	}
	if d.folds == nil {
		return []string{fmt.Sprintf("Cases: %d for training, %d for validation%s; image channels: %d.", len(d.used.Train), len(d.used.Valid), test, channels)}
	}
	sizes := make([]string, d.folds.Count())
	for fold := range sizes {
		n := 0
		for _, f := range d.folds {
			if f == fold {
				n++
			}
		}
		sizes[fold] = strconv.Itoa(n)
	}
	facts := []string{fmt.Sprintf("Cases: %d in %d folds of %s%s; image channels: %d.", len(d.used.Train), len(sizes), strings.Join(sizes, ", "), test, channels)}
	how := fmt.Sprintf("dealt by seed %d", o.seed)
	if list := o.division.folds.list; list != "" {
		how = "those of " + list
	}
	does := "validates one fold and trains on the others"
	if d.next {
		does = "validates one fold, is reported on the next and trains on the others"
	}
	facts = append(facts, fmt.Sprintf("Folds: %s. Each training %s.", how, does))
	if n := dataset.Patients(d.used.Train); n < len(d.used.Train) {
		if divided := d.folds.Divided(); len(divided) > 0 {
			facts = append(facts, fmt.Sprintf("Warning: by their IDs, %d cases are of %d patients, of whom %d have cases in several folds (the first is %s): their figures are too optimistic.", len(d.used.Train), n, len(divided), divided[0]))
		} else {
			facts = append(facts, fmt.Sprintf("Patients: by their IDs, the %d cases are of %d patients; those of one patient are in the same fold.", len(d.used.Train), n))
		}
	}
	return facts
}

// findTest finds the cases of -test_dir, whose channels and labels must be those of the set. It
// returns nil without the flag.
func (o *options) findTest(set *dataset.Set, scheme segment.Scheme, progress *report.Progress) (*dataset.Set, error) {
	if o.division.testDir == "" {
		return nil, nil
	}
	test, err := o.reading.reading().FindAll(o.division.testDir)
	if err != nil {
		return nil, fmt.Errorf("-test_dir: %w", err)
	}
	for _, text := range test.Notes {
		progress.Println("Note on -test_dir: " + text)
	}
	if test.Channels != set.Channels {
		return nil, usageErrorf("-test_dir: the images have %d channels, but those of the other cases %d", test.Channels, set.Channels)
	}
	if a, b := lower(set.ChannelNames), lower(test.ChannelNames); len(a) > 0 && len(b) > 0 && !slices.Equal(a, b) {
		return nil, usageErrorf("-test_dir: the channels are %s, but those of the other cases %s", strings.Join(test.ChannelNames, ", "), strings.Join(set.ChannelNames, ", "))
	}
	if test.Description != nil && scheme.Kind != segment.Binary {
		own, err := o.scheme.scheme(test.Description)
		if err != nil {
			return nil, fmt.Errorf("-test_dir: %w", err)
		}
		if !slices.EqualFunc(own.Segments, scheme.Segments, func(a, b segment.Segment) bool { return reflect.DeepEqual(a.Labels, b.Labels) }) {
			return nil, usageErrorf("-test_dir: by its %s, -%s stands for %v, but for %v in the other cases", dataset.DescriptionName, scheme.Kind, own, scheme)
		}
	}
	for _, c := range slices.Concat(set.Train, set.Valid) {
		if slices.ContainsFunc(test.Train, func(t dataset.Case) bool { return t.ID == c.ID }) {
			return nil, usageErrorf("-test_dir: case %s is also a case of %s", c.ID, o.from())
		}
	}
	return test, nil
}

// check reads all voxels of the used cases.
func (d *division) check(ctx context.Context, set *dataset.Set, protocol dataset.Protocol, progress func(done, total int)) ([]string, error) {
	used := *set
	used.Train, used.Valid = d.used.Train, slices.Concat(d.used.Valid, d.used.Test)
	return used.Check(ctx, protocol, progress)
}
