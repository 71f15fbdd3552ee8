package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/runlock"
)

// runFolder is the locked folder of a run.
type runFolder struct {
	*runlock.Lock
	dir     string
	created bool
}

// lock creates -model_dir, if necessary, and locks it.
func (o *options) lock(program string, progress *report.Progress) (*runFolder, error) {
	f := &runFolder{dir: o.modelDir}
	if _, err := os.Stat(f.dir); errors.Is(err, fs.ErrNotExist) {
		if o.resume {
			return nil, o.noRun()
		}
		f.created = true
	}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, fmt.Errorf("-model_dir: %w", err)
	}
	lock, abandoned, err := runlock.Acquire(f.dir, program)
	if err != nil {
		return nil, fmt.Errorf("-model_dir: %w", err)
	}
	if abandoned != nil {
		progress.Println(fmt.Sprintf("The lock of %s was left behind by %s, which no longer runs; taking it over.", f.dir, abandoned))
	}
	f.Lock = lock
	return f, nil
}

// release unlocks the folder, and deletes it if nothing was written to it.
func (f *runFolder) release() {
	f.Release()
	if f.created {
		os.Remove(f.dir) // fails unless the folder is empty
	}
}
