package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/fingerprint"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/internal/atomicfile"
)

// record describes a run: what determines its result, and how it came about. It is stored
// in the run's folder and checked when the run is resumed.
type record struct {
	// Format is recordFormat.
	Format int `json:"format"`
	// ID follows from all that determines the bits of a training: the program, the flags
	// except growing ones, and the content of the data and of the initial weights. Every
	// file of the run contains it.
	ID      string            `json:"id"`
	Program string            `json:"program"`
	Flags   map[string]string `json:"flags"`
	// Scheme is what the flags and the names of the labels stood for.
	Scheme segment.Scheme   `json:"scheme,omitzero"`
	Data   fingerprint.Data `json:"data"`
	// Folds are those of a cross-validation, whose cases are all in Data.Train.
	Folds dataset.Folds `json:"folds,omitempty"`
	// Weights is the file of initial weights in the run's folder; nil without -weights.
	Weights *fingerprint.File `json:"weights,omitempty"`
	// Sessions are the processes that have worked on the run.
	Sessions []session `json:"sessions"`
}

const (
	recordName   = "run.json"
	recordFormat = 3
)

// growingFlags add to a run: they may be given again with more when it is resumed, except for
// epochs if the learning rate depends on their number; see fixesEpochs.
var growingFlags = []string{"epochs", "loss", "model", "seeds"}

// computingFlags choose what computes. A resumed run may have other ones, with which its numbers
// agree within rounding; the ID remains that of the first.
var computingFlags = []string{"backend", "conv"}

// fixesEpochs reports whether the learning rates of a run with these flags depend on the number
// of epochs, which then determines the bits of its trainings.
func fixesEpochs(flags map[string]string) bool {
	return decays[flags["lr_schedule"]] != nn.Constant && flags["lr_schedule"] != ""
}

// describingFlags name data, folds and weights, which the record describes by their content.
var describingFlags = []string{"data_dir", "cases", "test_dir", "folds", "weights", "weights_prefix", "max_cases", "phantom_train", "phantom_valid", "phantom_size"}

// newRecord returns the record of a new run.
func newRecord(program string, flags *flag.FlagSet, scheme segment.Scheme, data *fingerprint.Data, folds dataset.Folds, weights *fingerprint.File) (*record, error) {
	r := &record{Format: recordFormat, Program: program, Flags: flagValues(flags), Scheme: scheme, Data: *data, Folds: folds, Weights: weights}
	content, err := data.ID()
	if err != nil {
		return nil, err
	}
	decisive := maps.Clone(r.Flags)
	for _, name := range slices.Concat(growingFlags, describingFlags) {
		if name != "epochs" || !fixesEpochs(r.Flags) {
			delete(decisive, name)
		}
	}
	initial := ""
	if weights != nil {
		initial = weights.SHA256
	}
	raw, err := json.Marshal([]any{recordFormat, program, decisive, scheme, content, folds, initial}) // maps are sorted
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	r.ID = hex.EncodeToString(sum[:8])
	return r, nil
}

// readRecord reads the record of the run in dir. It returns nil if there is none.
func readRecord(dir string) (*record, error) {
	path := filepath.Join(dir, recordName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if version.Format != recordFormat {
		return nil, fmt.Errorf("%s was written by another version of this program (format %d, want %d), with which the run can be continued", path, version.Format, recordFormat)
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.ID == "" {
		return nil, fmt.Errorf("%s contains no ID of the run", path)
	}
	return &r, nil
}

func (r *record) write(dir string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, recordName), func(w io.Writer) error {
		_, err := w.Write(append(raw, '\n'))
		return err
	})
}

// flagValues returns the values of the flags that affect the result.
func flagValues(f *flag.FlagSet) map[string]string {
	values := map[string]string{}
	f.VisitAll(func(g *flag.Flag) {
		if !slices.Contains(sessionFlags, g.Name) {
			values[g.Name] = g.Value.String()
		}
	})
	return values
}

// restoreFlags sets every flag that is absent from the command line to its recorded
// value. It returns an error naming the first flag that was set to another value, except
// for growingFlags with more than before, computingFlags, and the places of data, whose content
// is compared later.
func (r *record) restoreFlags(f *flag.FlagSet, dir string) error {
	set := map[string]bool{}
	f.Visit(func(g *flag.Flag) { set[g.Name] = true })
	for _, name := range sortedKeys(r.Flags) {
		was := r.Flags[name]
		g := f.Lookup(name)
		if g == nil {
			return fmt.Errorf("%s contains the flag -%s, which this program does not have", filepath.Join(dir, recordName), name)
		}
		now := g.Value.String()
		switch {
		case now == was:
		case !set[name]:
			if err := g.Value.Set(was); err != nil {
				return fmt.Errorf("%s: -%s: %w", filepath.Join(dir, recordName), name, err)
			}
		case name == "epochs" && fixesEpochs(r.Flags):
			return usageErrorf("-epochs is %s, but the run in %s was started with %s, at the end of which its learning rate falls to 0 (-lr_schedule %s), so that more epochs would not continue it; leave it out or use another -model_dir", now, dir, was, r.Flags["lr_schedule"])
		case slices.Contains(growingFlags, name):
			if !grown(was, now) {
				return usageErrorf("-%s is %s, but the run in %s was started with %s, and a run can only grow; give at least that or use another -model_dir", name, now, dir, was)
			}
		case slices.Contains(computingFlags, name):
		case slices.Contains([]string{"data_dir", "cases", "test_dir"}, name) && was != "" && now != "":
		default:
			return usageErrorf("-%s is %s, but the run in %s was started with %s; leave it out or use another -model_dir", name, now, dir, was)
		}
	}
	return nil
}

// grown reports whether a number is at least what it was, or a list of names has all that it
// had.
func grown(was, now string) bool {
	before, err1 := strconv.Atoi(was)
	after, err2 := strconv.Atoi(now)
	if err1 == nil && err2 == nil {
		return after >= before
	}
	names := strings.Split(now, ",")
	for _, name := range strings.Split(was, ",") {
		if !slices.Contains(names, name) {
			return false
		}
	}
	return true
}

// sameScheme returns an error if the names of the labels stand for others than when the run
// started.
func (r *record) sameScheme(scheme segment.Scheme) error {
	if !reflect.DeepEqual(r.Scheme, scheme) {
		return fmt.Errorf("-%s stood for %v when the run started, but now stands for %v; restore the labels of %s",
			scheme.Kind, r.Scheme, scheme, dataset.DescriptionName)
	}
	return nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
