package cli

import (
	"context"
	"flag"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/phantom"
	"github.com/x/afl/examples/internal/report"
)

// readingFlags holds the values of the flags that say how files are read that are not as
// they should be.
type readingFlags struct {
	fillNaN        fillValue
	resampleLabels bool
}

// addTo defines the flags in f.
func (r *readingFlags) addTo(f *flag.FlagSet) {
	f.Var(&r.fillNaN, "fill_nan", "`value` that replaces image voxels that are NaN or infinite; empty: such a voxel is an error")
	f.BoolVar(&r.resampleLabels, "resample_labels", false, "resample a label that is on another grid than its image, by nearest neighbor; otherwise it is an error.\n(A label with its axes in another order or direction is always reoriented.)")
}

func (r *readingFlags) reading() dataset.Reading {
	return dataset.Reading{FillNaN: r.fillNaN.set, Fill: r.fillNaN.value, ResampleLabels: r.resampleLabels}
}

// fillValue is the value of -fill_nan.
type fillValue struct {
	value float64
	set   bool
}

func (v *fillValue) String() string {
	if !v.set {
		return ""
	}
	return strconv.FormatFloat(v.value, 'g', -1, 64)
}

func (v *fillValue) Set(s string) error {
	if s == "" {
		*v = fillValue{}
		return nil
	}
	x, err := strconv.ParseFloat(s, 32)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("want a finite number")
	}
	*v = fillValue{x, true}
	return nil
}

// checkLevels are the values of -check.
var checkLevels = []string{"full", "headers"}

// from returns the folder or the list of the data set, or "" for the phantom.
func (o *options) from() string {
	if o.cases != "" {
		return o.cases
	}
	return o.dataDir
}

// synthetic reports whether the data are a phantom: that of the run, or one that an earlier
// run generated.
func (o *options) synthetic() bool {
	return o.from() == "" || o.cases == "" && o.division.testDir == "" && phantom.Generated(o.dataDir)
}

// findData finds the cases of -data_dir or -cases.
func (o *options) findData() (set *dataset.Set, err error) {
	r, name := o.reading.reading(), "data_dir"
	switch folds := o.division.folds.given(); {
	case o.cases == "":
		set, err = o.findIn(o.dataDir)
	case folds:
		name = "cases"
		set, err = r.ReadAllCases(o.cases)
	default:
		name = "cases"
		set, err = r.ReadCases(o.cases)
	}
	if err != nil {
		return nil, fmt.Errorf("-%s: %w", name, err)
	}
	return set, nil
}

// findIn finds the cases in a folder.
func (o *options) findIn(dir string) (*dataset.Set, error) {
	if o.division.folds.given() {
		return o.reading.reading().FindAll(dir)
	}
	return o.reading.reading().Find(dir)
}

// checkData reads all voxels of the cases unless -check says otherwise, and prints what is
// suspicious about them.
func (o *options) checkData(ctx context.Context, set *dataset.Set, d *division, protocol dataset.Protocol, progress *report.Progress) error {
	for _, text := range set.Notes {
		progress.Println("Note: " + text)
	}
	if o.checkLevel.value != "full" {
		return nil
	}
	start, cases := time.Now(), 0
	warnings, err := d.check(ctx, set, protocol, func(done, total int) {
		cases = total
		left := time.Since(start) / time.Duration(done) * time.Duration(total-done)
		progress.Update(fmt.Sprintf("Checking the data: case %d/%d  left %s (-check headers skips this)", done, total, report.Duration(left)))
	})
	if err != nil {
		return err
	}
	if took := time.Since(start); took > time.Second {
		progress.Println(fmt.Sprintf("Checked every voxel of %d cases in %s.", cases, report.Duration(took)))
	}
	for _, text := range warnings {
		progress.Println("Warning: " + text)
	}
	return nil
}
