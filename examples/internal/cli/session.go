package cli

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/fingerprint"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/internal/machine"
)

// session describes a process that has worked on a run.
type session struct {
	Started time.Time `json:"started"`
	Version string    `json:"version"` // of this project
	Go      string    `json:"go"`
	Host    string    `json:"host"`
	System  string    `json:"system"` // operating system and architecture
	CPU     string    `json:"cpu"`
	Cores   int       `json:"cores"`
	Memory  int64     `json:"memory_bytes"` // 0 if unknown
	// Flags are the values of the flags that may change: growingFlags and computingFlags.
	Flags map[string]string `json:"flags"`
}

func newSession(flags *flag.FlagSet) (session, error) {
	host, err := os.Hostname()
	if err != nil {
		return session{}, err
	}
	s := session{
		Started: time.Now().UTC().Round(time.Second), Version: version(), Go: runtime.Version(),
		Host: host, System: runtime.GOOS + "/" + runtime.GOARCH, CPU: machine.CPU(), Cores: runtime.GOMAXPROCS(0), Memory: machine.Memory(),
		Flags: map[string]string{},
	}
	for _, name := range slices.Concat(growingFlags, computingFlags) {
		s.Flags[name] = flags.Lookup(name).Value.String()
	}
	return s, nil
}

// version returns the version of this project that the program was built from: its commit
// or the version of the module, if the build recorded one. A build that did not, or that had
// changes, is told apart by the hash of the program.
func version() string {
	text, exact := "unknown", false
	if info, ok := debug.ReadBuildInfo(); ok {
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		switch v := info.Main.Version; {
		case settings["vcs.revision"] != "":
			text, exact = settings["vcs.revision"], settings["vcs.modified"] != "true"
			if !exact {
				text += " with changes"
			}
		case v != "" && v != "(devel)":
			text, exact = v, true
		}
	}
	if exact {
		return text
	}
	path, err := os.Executable()
	if err != nil {
		return text
	}
	program, err := fingerprint.OfFile(path)
	if err != nil {
		return text
	}
	return fmt.Sprintf("%s, program with SHA-256 %.16s", text, program.SHA256)
}

// recordSession reads the data and writes the record: a new one, if rec is nil, or rec with
// the session added after its data have been compared with those of now, in the folder from.
func (o *options) recordSession(ctx context.Context, program string, flags *flag.FlagSet, rec *record, scheme segment.Scheme, d *division, from string, progress *report.Progress) (*record, error) {
	var known *fingerprint.Data
	if rec != nil {
		known = &rec.Data
	}
	data, err := readData(ctx, d.used, known, progress)
	if err != nil {
		return nil, err
	}
	if err := data.Overlap(); err != nil {
		return nil, fmt.Errorf("-test_dir: %w; figures of cases that were trained on or selected by mean nothing", err)
	}
	if rec == nil {
		var initial *fingerprint.File
		if o.weights != "" {
			f, err := fingerprint.OfFile(filepath.Join(o.modelDir, initialName))
			if err != nil {
				return nil, err
			}
			f.Version = ""
			initial = &f
		}
		if rec, err = newRecord(program, flags, scheme, data, d.folds, initial); err != nil {
			return nil, err
		}
	} else {
		if err := fingerprint.Compare(known, data); err != nil {
			if o.division.testDir != "" {
				from += " and " + o.division.testDir
			}
			return nil, fmt.Errorf("-%s: %s: %w", map[bool]string{true: "cases", false: "data_dir"}[o.cases != ""], from, err)
		}
		if err := rec.sameScheme(scheme); err != nil {
			return nil, err
		}
		rec.Data, rec.Flags = *data, flagValues(flags)
	}
	s, err := newSession(flags)
	if err != nil {
		return nil, err
	}
	if n := len(rec.Sessions); n > 0 {
		last := rec.Sessions[n-1]
		if last.Version != s.Version {
			progress.Println(fmt.Sprintf("The last session of this run had another version of the program (%s, now %s); the bits may differ from those of an uninterrupted run.", last.Version, s.Version))
		}
		for _, name := range computingFlags {
			if was, now := last.Flags[name], s.Flags[name]; was != "" && was != now {
				progress.Println(fmt.Sprintf("The last session of this run had -%s %s, now it is %s: the numbers agree within rounding with those of an uninterrupted run, the bits do not.", name, was, now))
			}
		}
	}
	rec.Sessions = append(rec.Sessions, s)
	return rec, rec.write(o.modelDir)
}

// usedBackends returns the values of -backend of the sessions, each once.
func (r *record) usedBackends() []string {
	var names []string
	for _, s := range r.Sessions {
		if name := s.Flags["backend"]; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// readData reads all files of the cases, which can take long, and shows the progress.
func readData(ctx context.Context, cases dataset.Split, known *fingerprint.Data, progress *report.Progress) (*fingerprint.Data, error) {
	start := time.Now()
	var read int64
	data, err := fingerprint.Of(ctx, cases, known, func(done, total int64) {
		read = done
		left := "?"
		if done > 0 {
			left = report.Duration(time.Duration(float64(time.Since(start)) / float64(done) * float64(total-done)))
		}
		progress.Update(fmt.Sprintf("Computing the checksums of the data: %s of %s  left: %s", formatBytes(done), formatBytes(total), left))
	})
	if err != nil {
		return nil, err
	}
	if took := time.Since(start); took > time.Second {
		progress.Println(fmt.Sprintf("Computed the checksums of %s of data in %s.", formatBytes(read), report.Duration(took)))
	}
	return data, nil
}
