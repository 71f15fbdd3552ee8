package cli

import (
	"fmt"
	"os"
	"slices"

	"github.com/x/afl/examples/internal/disk"
	"github.com/x/afl/examples/internal/train"
)

// space is the disk space that the weights and the states of a run take.
type space struct {
	files     int64 // all files at the end
	temporary int64 // the largest temporary file, which exists beside the file it replaces
}

// add adds a number of trainings of a network: each has a checkpoint with the optimizer's state, the
// best weights and the last ones.
func (s *space) add(f *fitted, trainings int) {
	checkpoint, weights := f.step.KeptBytes, f.prediction.KeptBytes
	s.files += int64(trainings) * (checkpoint + 2*weights)
	s.temporary = max(s.temporary, checkpoint)
}

// check returns an error if the disk of the folder dir has less space than the files still
// take beyond those of the run that are already there.
func (s space) check(dir string) error {
	free, ok := disk.Free(dir)
	if !ok {
		return nil
	}
	var present int64
	err := inFolder(dir, train.Depth, func(_ string, e os.DirEntry) error {
		if info, err := e.Info(); err == nil && e.Type().IsRegular() && slices.Contains(train.WeightsNames(), e.Name()) {
			present += info.Size()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("-model_dir: %w", err)
	}
	if need := max(s.files-present, 0) + s.temporary; need > free {
		return fmt.Errorf("-model_dir: the run needs about %s on the disk of %s, but %s are free; free some space or use another folder", formatBytes(need), dir, formatBytes(free))
	}
	return nil
}
