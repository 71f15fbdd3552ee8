package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/internal/atomicfile"
)

// records are what the runs with a folder have done, in its parts.json.
type records struct {
	Calls []call
	Parts []*record
}

// call is one run.
type call struct {
	Date, Command, Commit string
	PyTorch               string // its version, or why there is none
	Device                []field
	Machine               report.Machine
	Before, After         []field // of nvidia-smi
}

// record is the state of a part.
type record struct {
	Name, About     string
	Outcome, Reason string
	Runs            int
	Seconds         float64 // of all runs
}

const recordsName = "parts.json"

// readRecords reads those of a folder; a new folder has none.
func readRecords(folder string) (*records, error) {
	path := filepath.Join(folder, recordsName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &records{}, nil
	}
	if err != nil {
		return nil, err
	}
	all := &records{}
	if err := json.Unmarshal(raw, all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// continues returns an error if a call on another GPU or of another commit is among the records.
func (all *records) continues(c call) error {
	for _, before := range all.Calls {
		if before.Commit != c.Commit {
			return fmt.Errorf("the folder -out has results of commit %s, and this is %s: name another folder", before.Commit, c.Commit)
		}
		if len(before.Device) > 0 && len(c.Device) > 0 && before.Device[0] != c.Device[0] {
			return fmt.Errorf("the folder -out has results of %s, and this is %s: name another folder", before.Device[0].Value, c.Device[0].Value)
		}
	}
	return nil
}

// of returns the record of a part, a new one if there is none.
func (all *records) of(p part) *record {
	for _, r := range all.Parts {
		if r.Name == p.name {
			r.About = p.about
			return r
		}
	}
	r := &record{Name: p.name, About: p.about}
	all.Parts = append(all.Parts, r)
	return r
}

// write writes the records and the report.
func (all *records) write(folder string) error {
	text, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return err
	}
	if err := atomicfile.WriteString(filepath.Join(folder, recordsName), string(text)+"\n"); err != nil {
		return err
	}
	return all.writeReport(folder)
}
