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
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/weights"
)

// A checkpoint is one safetensors file: the network's state_dict under "network.",
// the optimizer's state under "optimizer.", and the state as JSON in the metadata. It is a
// single file because a rename replaces only one file atomically.
const (
	// CheckpointName is the file name of a checkpoint, in the folder of its loss.
	CheckpointName = "checkpoint.safetensors"

	checkpointKind   = "afl training state "
	checkpointFormat = checkpointKind + "6"
	networkPrefix    = "network."
	optimizerPrefix  = "optimizer."
)

// IsCheckpoint reports whether a weights file with this metadata is a checkpoint, in
// any version of the format.
func IsCheckpoint(metadata map[string]string) bool {
	return strings.HasPrefix(metadata["format"], checkpointKind)
}

// Keys of the metadata that a run writes into its files, besides those of package settings.
const (
	formatKey = "format" // of a checkpoint
	stateKey  = "state"  // of a checkpoint
	runKey    = "run"    // Job.ID
	lossKey   = "loss"
	seedKey   = "seed" // Key.Seed
	foldKey   = "fold" // Key.Fold, if there are several
	epochsKey = "epochs"
	selectKey = "selected_by" // Job.Select
)

// Origin returns the part of a weights file's metadata that says which training wrote it: the
// run, the loss, the seed, the fold, the epochs, and the measure by which they were selected.
func Origin(metadata map[string]string) map[string]string {
	origin := map[string]string{}
	for _, key := range []string{runKey, lossKey, seedKey, foldKey, epochsKey, selectKey} {
		if value, ok := metadata[key]; ok {
			origin[key] = value
		}
	}
	return origin
}

// state is the state of one training, except for the tensors.
type state struct {
	Network string `json:"network"`
	Loss    string `json:"loss"`
	Seed    uint64 `json:"seed"`
	Fold    int    `json:"fold"`
	// Rule is the name of the prediction rule.
	Rule string `json:"prediction_rule"`
	// Epoch is the current epoch, from 1. Done lists the cases of the samples that it has
	// trained on, in order, and LossSum is the sum of their losses in that order.
	Epoch   int      `json:"epoch"`
	Done    []string `json:"done"`
	LossSum float64  `json:"loss_sum"`

	History   []outcome.Epoch     `json:"history"`
	BestEpoch int                 `json:"best_epoch"` // 0 before the first
	Diverged  *outcome.Divergence `json:"diverged"`
	// StoppedEarly says that the epochs have reached Job.EarlyStop.
	StoppedEarly bool `json:"stopped_early"`
	// ScheduledEpochs is the number of epochs on which the learning rates depend, 0 if they
	// do not.
	ScheduledEpochs int `json:"scheduled_epochs"`

	// Evaluation is the last evaluation of the best weights with all measures; nil before
	// the first.
	Evaluation *evaluation `json:"evaluation"`
}

// evaluation holds the measures of the best weights after a number of epochs.
type evaluation struct {
	Epochs    int            `json:"epochs"`
	BestEpoch int            `json:"best_epoch"` // 0 if no epoch was completed
	Cases     []outcome.Case `json:"cases"`
}

func newState(key Key, rule string) state {
	return state{Network: key.Network, Loss: key.Loss, Seed: key.Seed, Fold: key.Fold, Rule: rule, Epoch: 1}
}

// trained reports whether no step is left of a training of the given number of epochs.
func (s *state) trained(epochs int) bool {
	return s.Epoch > epochs || s.Diverged != nil || s.StoppedEarly
}

// finished reports whether the best weights have been evaluated after the last epoch. A
// finished training continues if its run is given more epochs, unless it diverged or stopped
// early: a run with these epochs from the start would have ended there too.
func (s *state) finished(epochs int) bool {
	return s.trained(epochs) && s.Evaluation != nil && s.Evaluation.Epochs == len(s.History)
}

// check returns an error for a state of the training that the plan could not lead to.
func (s *state) check(key Key, p *Plan) error {
	switch {
	case s.Network != key.Network || s.Loss != key.Loss:
		return fmt.Errorf("it belongs to the network %q and the loss %q, not to %q and %q", s.Network, s.Loss, key.Network, key.Loss)
	case s.Seed != key.Seed || s.Fold != key.Fold:
		return fmt.Errorf("it belongs to the seed %d and the fold %d, not to %d and %d", s.Seed, s.Fold, key.Seed, key.Fold)
	case s.ScheduledEpochs != 0 && s.ScheduledEpochs != p.Epochs:
		return fmt.Errorf("its learning rates are those of a training of %d epochs, which cannot become one of %d", s.ScheduledEpochs, p.Epochs)
	case s.Epoch < 1 || s.Epoch > p.Epochs+1:
		return fmt.Errorf("it is in epoch %d of %d", s.Epoch, p.Epochs)
	case len(s.History) != s.Epoch-1:
		return fmt.Errorf("it is in epoch %d but contains the results of %d epochs", s.Epoch, len(s.History))
	case s.BestEpoch < 0 || s.BestEpoch > len(s.History) || (s.BestEpoch == 0) != (len(s.History) == 0):
		return fmt.Errorf("its best epoch is %d of %d", s.BestEpoch, len(s.History))
	case s.Evaluation != nil && (s.Evaluation.Epochs > len(s.History) || s.Evaluation.BestEpoch > s.Evaluation.Epochs):
		return fmt.Errorf("it contains an evaluation of epoch %d after %d epochs of %d", s.Evaluation.BestEpoch, s.Evaluation.Epochs, len(s.History))
	}
	segments := len(p.Scheme.Segments)
	for _, e := range s.History {
		if len(e.Segments) != segments {
			return fmt.Errorf("epoch %d has results of %d classes or regions, want %d", e.Epoch, len(e.Segments), segments)
		}
	}
	if s.Evaluation != nil {
		for _, c := range s.Evaluation.Cases {
			if len(c.Segments) != segments {
				return fmt.Errorf("case %s has results of %d classes or regions, want %d", c.ID, len(c.Segments), segments)
			}
		}
	}
	left := map[string]int{}
	for _, id := range p.Train[key.Fold] {
		left[id] = p.patches()
	}
	for _, id := range s.Done {
		if left[id] == 0 {
			return fmt.Errorf("it has trained on %q more than %d times, or %q is not a training case", id, p.patches(), id)
		}
		left[id]--
	}
	return nil
}

// position describes the progress of a training of the plan.
func (s *state) position(p *Plan) string {
	switch {
	case s.trained(p.Epochs):
		return "before the evaluation of the best weights"
	case len(s.Done) > 0:
		return fmt.Sprintf("in epoch %d of %d after step %d of %d", s.Epoch, p.Epochs, p.steps(len(s.Done)), p.steps(p.samples(s.Fold)))
	default:
		return fmt.Sprintf("at the start of epoch %d of %d", s.Epoch, p.Epochs)
	}
}

// save writes the checkpoint.
func (t *trainer) save() error {
	raw, err := json.Marshal(t.state)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	err = t.job.Group.Do("checkpoint", func() error { return t.writeCheckpoint(string(raw)) })
	if err == nil {
		t.saved = string(raw)
	}
	freeNow()
	return err
}

func (t *trainer) writeCheckpoint(state string) error {
	tensors := map[string]*tensor.Dense{}
	network, err := nn.StateDict(t.job.Backend, t.net)
	if err != nil {
		return err
	}
	for name, v := range network {
		tensors[networkPrefix+name] = v
	}
	optimizer, err := t.optimizer.StateDict(t.job.Backend)
	if err != nil {
		return err
	}
	for name, v := range optimizer {
		tensors[optimizerPrefix+name] = v
	}
	if err := t.job.Guard(); err != nil {
		return err
	}
	return weights.Save(t.checkpointPath(), tensors, map[string]string{formatKey: checkpointFormat, runKey: t.job.ID, stateKey: state})
}

// freeNow returns the memory used by a checkpoint, possibly gigabytes, to the operating
// system. Training itself allocates almost nothing in Go, so the next garbage collection
// could be hours away.
func freeNow() { debug.FreeOSMemory() }

// readState reads the state in the checkpoint of a training of the run with the given ID,
// without its tensors. It returns nil if there is no checkpoint. Raw is the state as stored.
func readState(path, id string) (s *state, raw string, err error) {
	metadata, err := weights.ReadMetadata(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("train: checkpoint: %w", err)
	}
	fail := func(err error) (*state, string, error) {
		return nil, "", fmt.Errorf("train: checkpoint %s: %w", path, err)
	}
	if format := metadata[formatKey]; format != checkpointFormat {
		if IsCheckpoint(metadata) {
			return fail(fmt.Errorf("it was written by another version of this project (format %q, want %q), with which the run can be continued", format, checkpointFormat))
		}
		return fail(fmt.Errorf("its format is %q, want %q", format, checkpointFormat))
	}
	if run := metadata[runKey]; run != id {
		return fail(fmt.Errorf("it belongs to the run %s, not to %s", run, id))
	}
	if s, err = parseState(metadata[stateKey]); err != nil {
		return fail(fmt.Errorf("state: %w", err))
	}
	return s, metadata[stateKey], nil
}

// parseState returns the state that is stored as raw.
func parseState(raw string) (*state, error) {
	s := &state{}
	return s, json.Unmarshal([]byte(raw), s)
}

// readState reads the state of the training, if it has been started.
func (t *trainer) readState() error {
	var s *state
	content, err := t.job.Group.Send("state of a training", func() ([]byte, error) {
		_, raw, err := readState(t.checkpointPath(), t.job.ID)
		return []byte(raw), err
	})
	if len(content) == 0 || err != nil {
		return err
	}
	raw := string(content)
	if s, err = parseState(raw); err != nil {
		return fmt.Errorf("train: checkpoint %s: state: %w", t.checkpointPath(), err)
	}
	if err := s.check(t.key, t.plan); err != nil {
		return fmt.Errorf("train: checkpoint %s: %w", t.checkpointPath(), err)
	}
	t.state, t.saved = *s, raw
	return nil
}

// verify returns an error if the files on disk are not those that this run has written, so
// that no table reports the weights of another run.
func (t *trainer) verify() error {
	_, raw, err := readState(t.checkpointPath(), t.job.ID)
	if err != nil {
		return err
	}
	if raw != t.saved {
		return fmt.Errorf("train: checkpoint %s: another process has replaced it", t.checkpointPath())
	}
	if t.state.BestEpoch == 0 || !t.state.finished(t.job.Epochs) {
		return nil // a run that was killed may have left best weights newer than its checkpoint
	}
	metadata, err := weights.ReadMetadata(t.bestPath())
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return t.checkWeights(t.bestPath(), metadata, t.state.BestEpoch)
}

// checkWeights returns an error if metadata is not that of this training's weights after the
// given number of epochs.
func (t *trainer) checkWeights(path string, metadata map[string]string, epochs int) error {
	for _, want := range []struct{ key, value string }{
		{runKey, t.job.ID}, {lossKey, t.key.Loss}, {epochsKey, strconv.Itoa(epochs)},
		{seedKey, strconv.FormatUint(t.key.Seed, 10)}, {foldKey, t.foldName()},
	} {
		if got := metadata[want.key]; got != want.value {
			return fmt.Errorf("train: %s does not hold the weights of this training after epoch %d: its %s is %q, want %q", path, epochs, want.key, got, want.value)
		}
	}
	return nil
}

// restore creates the network and the optimizer and, if there is a checkpoint, loads its
// tensors.
func (t *trainer) restore() (err error) {
	if t.net, err = t.network.New(t.key.Seed); err != nil {
		return err
	}
	t.optimizer = t.job.NewOptimizer()
	if t.reducer, err = t.newReducer(); err != nil {
		return err
	}
	if t.saved == "" {
		if t.network.Load != nil {
			if err := t.network.Load(nn.WithoutHeads(t.net)); err != nil {
				return err
			}
		}
		return nn.Initialize(t.job.Backend, t.net)
	}
	tensors, metadata, err := t.loadCheckpoint()
	if err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	if metadata[runKey] != t.job.ID || metadata[stateKey] != t.saved {
		return fmt.Errorf("train: checkpoint %s: another process has replaced it", t.checkpointPath())
	}
	network, optimizer := map[string]*tensor.Dense{}, map[string]*tensor.Dense{}
	for name, v := range tensors {
		if n, ok := strings.CutPrefix(name, networkPrefix); ok {
			network[n] = v
		} else if n, ok := strings.CutPrefix(name, optimizerPrefix); ok {
			optimizer[n] = v
		} else {
			return fmt.Errorf("train: checkpoint %s: the tensor %q belongs neither to the network nor to the optimizer", t.checkpointPath(), name)
		}
	}
	if err := nn.LoadStateDict(t.job.Backend, t.net, network); err != nil {
		return fmt.Errorf("train: checkpoint %s: %w", t.checkpointPath(), err)
	}
	if err := t.optimizer.LoadStateDict(t.job.Backend, t.net.Parameters(), optimizer); err != nil {
		return fmt.Errorf("train: checkpoint %s: %w", t.checkpointPath(), err)
	}
	freeNow()
	return nil
}

// loadCheckpoint returns the content of the checkpoint, which only the first process reads.
func (t *trainer) loadCheckpoint() (map[string]*tensor.Dense, map[string]string, error) {
	if t.job.Group.Size() == 1 {
		return weights.Load(t.checkpointPath())
	}
	raw, err := t.job.Group.Send("checkpoint", func() ([]byte, error) {
		tensors, metadata, err := weights.Load(t.checkpointPath())
		if err != nil {
			return nil, err
		}
		return weights.Encode(tensors, metadata)
	})
	if err != nil {
		return nil, nil, err
	}
	return weights.Decode(raw)
}

// foldName returns the fold for the metadata of weights, "" if there is a single one.
func (t *trainer) foldName() string {
	if len(t.job.Splits) == 1 {
		return ""
	}
	return strconv.Itoa(t.key.Fold)
}

// saveWeights writes only the network's state_dict, after the given number of epochs.
func (t *trainer) saveWeights(path string, epochs int) error {
	return t.job.Group.Do("weights", func() error { return t.writeWeights(path, epochs) })
}

func (t *trainer) writeWeights(path string, epochs int) error {
	network, err := nn.StateDict(t.job.Backend, nn.WithoutHeads(t.net))
	if err != nil {
		return err
	}
	metadata := map[string]string{
		runKey: t.job.ID, lossKey: t.key.Loss, epochsKey: strconv.Itoa(epochs), selectKey: t.job.Select,
		settings.RuleKey: t.rule.String(), seedKey: strconv.FormatUint(t.key.Seed, 10),
	}
	if name := t.foldName(); name != "" {
		metadata[foldKey] = name
	}
	maps.Copy(metadata, t.network.WeightsInfo)
	if err := t.job.Guard(); err != nil {
		return err
	}
	return weights.Save(path, network, metadata)
}
