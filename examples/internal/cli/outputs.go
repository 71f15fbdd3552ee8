package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/x/afl/examples/internal/report"
)

// outputs are the files that the prediction of a case writes into one folder. The last one,
// its record, is a JSON file that lists the others with their SHA-256. A file that exists is
// overwritten only if a record shows that an earlier prediction wrote it and that it has not
// changed since: a mask that was corrected by hand is kept.
type outputs struct {
	record string
	files  []string
}

// recordedFiles is the part of a record that outputs reads. Facts.Files maps names, without
// the folder, to SHA-256 in hexadecimal.
type recordedFiles struct {
	Facts struct {
		Program string            `json:"program"`
		Files   map[string]string `json:"files"`
	} `json:"facts"`
}

// written reads the record of an earlier prediction. The result is nil if there is none.
func (o outputs) written() (map[string]string, error) {
	raw, err := os.ReadFile(o.record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r recordedFiles
	if json.Unmarshal(raw, &r) != nil || r.Facts.Program != predictName || r.Facts.Files == nil {
		return nil, nil
	}
	return r.Facts.Files, nil
}

// check returns an error if a file cannot be written, is an input file, or exists and may not
// be overwritten.
func (o outputs) check(force bool, inputs []string) error {
	dir := filepath.Dir(o.record)
	trial, err := os.CreateTemp(dir, "."+filepath.Base(o.record)+".*")
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	if err := errors.Join(trial.Close(), os.Remove(trial.Name())); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	written, err := o.written()
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	for _, path := range append(slices.Clone(o.files), o.record) {
		out, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("-out: %w", err)
		}
		if out.IsDir() {
			return usageErrorf("-out: %s is a folder", path)
		}
		for _, input := range inputs {
			if in, err := os.Stat(input); err == nil && os.SameFile(in, out) {
				return usageErrorf("-out: %s is an input file", path)
			}
		}
		if force {
			continue
		}
		ours := written != nil
		if path != o.record && ours {
			if ours, err = sameHash(path, written[filepath.Base(path)]); err != nil {
				return fmt.Errorf("-out: %w", err)
			}
		}
		if !ours {
			return usageErrorf("-out: %s exists, and %s did not write it or it has changed since; use -force to overwrite it", path, predictName)
		}
	}
	return nil
}

// sameHash reports whether a file has the given SHA-256 in hexadecimal.
func sameHash(path, want string) (bool, error) {
	if want == "" {
		return false, nil
	}
	got, err := hashFile(path)
	return got == want, err
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// write calls write for each file, then writes the record with the given result, whose facts
// it completes. Files that an earlier prediction wrote and this one does not, such as
// measures of the old mask, are removed. On an error none of the files is left.
func (o outputs) write(result *report.Prediction, facts map[string]any, write func(path string) error) (err error) {
	before, err := o.written()
	if err != nil {
		return err
	}
	var done []string
	defer func() {
		if err != nil {
			for _, path := range done {
				os.Remove(path)
			}
		}
	}()
	hashes := map[string]string{}
	for _, path := range o.files {
		if err := write(path); err != nil {
			return err
		}
		done = append(done, path)
		if hashes[filepath.Base(path)], err = hashFile(path); err != nil {
			return err
		}
	}
	facts["program"], facts["files"] = predictName, hashes
	result.Facts = facts
	if err := result.WriteJSON(o.record); err != nil {
		return err
	}
	for name, hash := range before {
		path := filepath.Join(filepath.Dir(o.record), filepath.Base(name))
		if _, kept := hashes[name]; kept || filepath.Base(name) != name {
			continue
		}
		if same, err := sameHash(path, hash); err == nil && same {
			os.Remove(path) // its absence is not required
		}
	}
	return nil
}
