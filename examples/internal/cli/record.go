package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/internal/atomicfile"
)

// record holds what determines the result of a run: the program, its flags and its
// cases. It is stored in the run's folder and checked when the run is resumed.
type record struct {
	Program string            `json:"program"`
	Flags   map[string]string `json:"flags"`
	Train   []string          `json:"train"`
	Valid   []string          `json:"valid"`
	// Scheme is what the flags and the names of the labels stood for.
	Scheme segment.Scheme `json:"scheme,omitzero"`
}

const recordName = "run.json"

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
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
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
// value. It returns an error naming the first flag that was set to another value.
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
		if now == was {
			continue
		}
		if set[name] {
			return usageErrorf("-%s is %s, but the run in %s was started with %s; leave it out or use another -model_dir", name, now, dir, was)
		}
		if err := g.Value.Set(was); err != nil {
			return fmt.Errorf("%s: -%s: %w", filepath.Join(dir, recordName), name, err)
		}
	}
	return nil
}

// sameCases returns an error if a case was added or removed since the run started.
func (r *record) sameCases(train, valid []dataset.Case, from string) error {
	for _, part := range []struct {
		name     string
		was, now []string
	}{{"training", r.Train, ids(train)}, {"validation", r.Valid, ids(valid)}} {
		for _, id := range part.was {
			if !slices.Contains(part.now, id) {
				return fmt.Errorf("-data_dir: the %s case %s, which the run started with, is no longer in %s", part.name, id, from)
			}
		}
		for _, id := range part.now {
			if !slices.Contains(part.was, id) {
				return fmt.Errorf("-data_dir: %s contains the %s case %s, which did not exist when the run started", from, part.name, id)
			}
		}
	}
	return nil
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

func ids(cases []dataset.Case) []string {
	names := make([]string, len(cases))
	for i, c := range cases {
		names[i] = c.ID
	}
	return names
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
