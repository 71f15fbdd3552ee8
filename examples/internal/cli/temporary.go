package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/phantom"
	"github.com/x/afl/examples/internal/runlock"
	"github.com/x/afl/examples/internal/train"
	"github.com/x/afl/internal/atomicfile"
)

// removeTemporaries deletes the temporary files that a killed process left in the folder of
// a run, which must be locked: only those of files that a run writes, as other programs may
// be writing to the folder.
func removeTemporaries(dir string) error {
	own := append(train.FileNames(), recordName, initialName, runlock.Name)
	err := inFolder(dir, train.Depth, func(path string, e os.DirEntry) error {
		switch {
		case e.IsDir() && strings.HasPrefix(e.Name(), phantom.TemporaryPrefix) && filepath.Dir(path) == filepath.Clean(dir):
			return os.RemoveAll(path)
		case e.Type().IsRegular() && slices.Contains(own, atomicfile.Base(e.Name())):
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("-model_dir: temporary files of an earlier process: %w", err)
	}
	return nil
}

// inFolder calls do for everything in the folder of a run and up to levels folders below it.
// It leaves out folders that are those of other runs, and folders that it may not read: no
// run of this user wrote them.
func inFolder(dir string, levels int, do func(path string, e os.DirEntry) error) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if err := do(path, e); err != nil {
			return err
		}
		if levels > 0 && e.IsDir() && !isRun(path) {
			if err := inFolder(path, levels-1, do); err != nil {
				return err
			}
		}
	}
	return nil
}

// isRun reports whether dir is the folder of a run.
func isRun(dir string) bool {
	for _, name := range []string{recordName, runlock.Name} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}
