package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"runtime/debug"
	"strconv"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/weights"
)

// A checkpoint is one safetensors file: the network's state_dict under "network.",
// SGD's velocities under "velocity.", and the state as JSON in the metadata. It is a
// single file because a rename replaces only one file atomically.
const (
	// CheckpointName is the file name of a checkpoint, in the folder of its loss.
	CheckpointName = "checkpoint.safetensors"

	checkpointKind   = "afl training state "
	checkpointFormat = checkpointKind + "1"
	networkPrefix    = "network."
	velocityPrefix   = "velocity."
)

// IsCheckpoint reports whether a weights file with this metadata is a checkpoint, in
// any version of the format.
func IsCheckpoint(metadata map[string]string) bool {
	return strings.HasPrefix(metadata["format"], checkpointKind)
}

// state is the state of training one network with one loss, except for the tensors.
type state struct {
	Loss string `json:"loss"`
	// Epoch is the current epoch, from 1. Done lists the cases that it has trained on,
	// in order, and LossSum is the sum of their losses in that order.
	Epoch   int      `json:"epoch"`
	Done    []string `json:"done"`
	LossSum float64  `json:"loss_sum"`

	History   []report.Epoch     `json:"history"`
	BestEpoch int                `json:"best_epoch"` // 0 before the first
	Diverged  *report.Divergence `json:"diverged"`

	// Finished is set after the final evaluation of the best weights; Cases holds its
	// result.
	Finished bool          `json:"finished"`
	Cases    []report.Case `json:"cases"`
}

func newState(loss string) state { return state{Loss: loss, Epoch: 1} }

// check returns an error for a state that job could not have written.
func (s *state) check(job *Job, loss string) error {
	switch {
	case s.Loss != loss:
		return fmt.Errorf("it belongs to the loss %q, not %q", s.Loss, loss)
	case s.Epoch < 1 || s.Epoch > job.Epochs+1:
		return fmt.Errorf("it is in epoch %d of %d", s.Epoch, job.Epochs)
	case len(s.History) != s.Epoch-1:
		return fmt.Errorf("it is in epoch %d but contains the results of %d epochs", s.Epoch, len(s.History))
	case s.BestEpoch < 0 || s.BestEpoch > len(s.History) || (s.BestEpoch == 0) != (len(s.History) == 0):
		return fmt.Errorf("its best epoch is %d of %d", s.BestEpoch, len(s.History))
	}
	segments := len(job.Scheme.Segments)
	for _, e := range s.History {
		if len(e.Segments) != segments {
			return fmt.Errorf("epoch %d has results of %d classes or regions, want %d", e.Epoch, len(e.Segments), segments)
		}
	}
	for _, c := range s.Cases {
		if len(c.Segments) != segments {
			return fmt.Errorf("case %s has results of %d classes or regions, want %d", c.ID, len(c.Segments), segments)
		}
	}
	known := map[string]bool{}
	for _, c := range job.Train {
		known[c.ID] = true
	}
	for _, id := range s.Done {
		if !known[id] {
			return fmt.Errorf("it has trained on %q twice, or %q is not a training case", id, id)
		}
		delete(known, id)
	}
	return nil
}

// save writes the checkpoint.
func (t *trainer) save() error {
	tensors := map[string]*tensor.Dense{}
	network, err := nn.StateDict(t.job.Backend, t.net)
	if err != nil {
		return err
	}
	for name, v := range network {
		tensors[networkPrefix+name] = v
	}
	velocity, err := t.sgd.StateDict(t.job.Backend)
	if err != nil {
		return err
	}
	for name, v := range velocity {
		tensors[velocityPrefix+name] = v
	}
	raw, err := json.Marshal(t.state)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	err = weights.Save(t.checkpointPath(), tensors, map[string]string{"format": checkpointFormat, "state": string(raw)})
	freeNow()
	return err
}

// freeNow returns the memory used by a checkpoint, possibly gigabytes, to the operating
// system. Training itself allocates almost nothing in Go, so the next garbage collection
// could be hours away.
func freeNow() { debug.FreeOSMemory() }

// readState reads the checkpoint of the loss. found is false if there is none.
func (t *trainer) readState() (found bool, err error) {
	tensors, metadata, err := weights.Load(t.checkpointPath())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("train: checkpoint: %w", err)
	}
	fail := func(err error) (bool, error) {
		return false, fmt.Errorf("train: checkpoint %s: %w", t.checkpointPath(), err)
	}
	if metadata["format"] != checkpointFormat {
		return fail(fmt.Errorf("its format is %q, want %q", metadata["format"], checkpointFormat))
	}
	var s state
	if err := json.Unmarshal([]byte(metadata["state"]), &s); err != nil {
		return fail(fmt.Errorf("state: %w", err))
	}
	if err := s.check(t.job, t.name); err != nil {
		return fail(err)
	}
	t.state = s
	t.restored = tensors
	return true, nil
}

// restore creates the network and the optimizer and, if a checkpoint was found, loads its
// tensors.
func (t *trainer) restore() (err error) {
	if t.net, err = t.network.New(); err != nil {
		return err
	}
	t.sgd = &nn.SGD{
		LearningRate: t.job.LearningRate, Momentum: t.job.Momentum, WeightDecay: t.job.WeightDecay,
		Nesterov: t.job.Momentum > 0,
	}
	if t.restored == nil {
		return nil
	}
	network, velocity := map[string]*tensor.Dense{}, map[string]*tensor.Dense{}
	for name, v := range t.restored {
		if n, ok := strings.CutPrefix(name, networkPrefix); ok {
			network[n] = v
		} else if n, ok := strings.CutPrefix(name, velocityPrefix); ok {
			velocity[n] = v
		} else {
			return fmt.Errorf("train: checkpoint %s: the tensor %q belongs neither to the network nor to the optimizer", t.checkpointPath(), name)
		}
	}
	t.restored = nil
	if err := nn.LoadStateDict(t.job.Backend, t.net, network); err != nil {
		return fmt.Errorf("train: checkpoint %s: %w", t.checkpointPath(), err)
	}
	if err := t.sgd.LoadStateDict(t.job.Backend, t.net.Parameters(), velocity); err != nil {
		return fmt.Errorf("train: checkpoint %s: %w", t.checkpointPath(), err)
	}
	freeNow()
	return nil
}

// saveWeights writes only the network's state_dict, after the given number of epochs.
func (t *trainer) saveWeights(path string, epochs int) error {
	network, err := nn.StateDict(t.job.Backend, t.net)
	if err != nil {
		return err
	}
	metadata := map[string]string{"loss": t.name, "epochs": strconv.Itoa(epochs), settings.RuleKey: t.rule.String()}
	maps.Copy(metadata, t.network.WeightsInfo)
	return weights.Save(path, network, metadata)
}
