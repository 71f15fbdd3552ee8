// Package train trains segmentation networks, each with every given loss in turn, and
// validates them after every epoch. Training can be interrupted at any step and resumed
// later.
//
// # Training
//
// A network starts from weights drawn from the seed, which are the same for every loss.
// A step uses one case (batch 1): forward pass, loss and its gradient with respect to
// the logits, backward pass, one SGD update. After the steps of an epoch, every
// validation case is predicted as a whole. The weights with the highest mean soft
// validation Dice are saved, as in the paper's released code; with several classes or
// regions it is the mean of theirs. At the end these weights are read back from their file
// and evaluated with all measures.
//
// # Reproducibility
//
// All random numbers are drawn from the seed, the epoch and the case or the step, never
// from a generator whose state persists. The state of training therefore consists of the
// weights, running statistics, momentum and position, and an interrupted and resumed
// training produces the same files as an uninterrupted one, byte for byte.
//
// # Files
//
// Every file is written under a temporary name and renamed:
//
//	<dir>/<loss>/checkpoint.safetensors   state after the last epoch or interruption
//	<dir>/<loss>/best.safetensors         weights of the best epoch
//	<dir>/<loss>/last.safetensors         weights after the last epoch
//	<dir>/results.md                      tables
//	<dir>/epochs.csv, <dir>/cases.csv     all results, per epoch and per case
//	<dir>/loss.png, <dir>/dice.png        curves
//
// A run of several networks has a folder <dir>/<network> for each of them, which
// contains the folders of the losses and the curves.
package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/segment"
)

// ErrInterrupted is returned by [Job.Run] if its context was canceled. The state is on
// disk, and running the same Job again continues from there.
var ErrInterrupted = errors.New("train: interrupted")

// Network is one network of a [Job]. All fields except WeightsInfo are required.
type Network struct {
	// Name appears in file names and CSV files, Title in tables.
	Name, Title string
	// New returns the network with its initial weights, on the Job's Backend.
	New func() (nn.Network, error)
	// Source produces samples of sizes that the network accepts.
	Source dataset.Source
	// WeightsInfo is added to the metadata of best.safetensors and last.safetensors,
	// together with the loss, the number of epochs and the decision rule. It holds what
	// is needed to use the weights.
	WeightsInfo map[string]string
}

// Job specifies a training run. All fields except Facts and Steps are required.
type Job struct {
	// Dir is the folder of the run; it must exist. If it contains the state of an
	// earlier run, that run is continued and must come from an equal Job.
	Dir string
	// Title and Facts open the report.
	Title string
	Facts []string

	// Train and Valid are the cases.
	Train, Valid []dataset.Case

	// Networks are trained in this order, each with every loss.
	Networks []Network
	// Losses are names accepted by the Scheme's Loss method, trained in this order.
	Losses []string
	// Scheme is what the networks segment; it is also that of the samples. Optional: by
	// default the foreground.
	Scheme  segment.Scheme
	Backend nn.Backend

	// Epochs is the number of epochs per network and loss.
	Epochs int
	// Steps is the maximum number of training steps per epoch; 0 means one per case.
	Steps int
	// Seed determines the order of the cases, their augmentation and dropout.
	Seed uint64
	// LearningRate, Momentum and WeightDecay are the parameters of SGD, which uses
	// Nesterov momentum if Momentum is positive.
	LearningRate, Momentum, WeightDecay float64

	// Progress shows the progress to the user.
	Progress *report.Progress
}

// Run trains every network with every loss, except those already finished in Dir, and
// writes the results. If ctx is done, it completes the current step, saves the state to
// disk and returns [ErrInterrupted].
func (j *Job) Run(ctx context.Context) (*report.Run, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	run := &report.Run{Title: j.Title, Facts: j.Facts}
	for i := range j.Networks {
		n := &j.Networks[i]
		if len(j.Networks) > 1 {
			j.Progress.Println(fmt.Sprintf("Network %d of %d: %s", i+1, len(j.Networks), n.Name))
		}
		first := len(run.Results)
		for k, loss := range j.Losses {
			result, finished, err := j.train(ctx, n, k, loss)
			if err != nil {
				return nil, err
			}
			run.Results = append(run.Results, *result)
			// Write the results after every loss, so that those of a long run are
			// available before it ends.
			if finished && k < len(j.Losses)-1 {
				continue
			}
			if err := j.writeResults(run, n, run.Results[first:]); err != nil {
				return nil, err
			}
		}
	}
	return run, nil
}

func (j *Job) check() error {
	switch {
	case len(j.Networks) == 0:
		return errors.New("train: Job.Networks is empty")
	case len(j.Losses) == 0:
		return errors.New("train: Job.Losses is empty")
	case len(j.Train) == 0 || len(j.Valid) == 0:
		return fmt.Errorf("train: Job has %d training and %d validation cases, want at least one of each", len(j.Train), len(j.Valid))
	case j.Epochs < 1:
		return fmt.Errorf("train: Job.Epochs is %d, want at least 1", j.Epochs)
	case j.Steps < 0:
		return fmt.Errorf("train: Job.Steps is %d, want at least 0", j.Steps)
	}
	for _, c := range append(append([]dataset.Case(nil), j.Train...), j.Valid...) {
		if c.Label == "" {
			return fmt.Errorf("train: case %s has no label", c.ID)
		}
	}
	return nil
}

// dir returns the folder of a network.
func (j *Job) dir(n *Network) string {
	if len(j.Networks) == 1 {
		return j.Dir
	}
	return filepath.Join(j.Dir, n.Name)
}

// train trains a network with a loss to completion. If that is already finished, it reads
// the result and returns finished as true.
func (j *Job) train(ctx context.Context, n *Network, index int, name string) (result *report.Result, finished bool, err error) {
	loss, title, err := j.Scheme.Loss(name)
	if err != nil {
		return nil, false, fmt.Errorf("train: Job.Losses: %w", err)
	}
	dir := filepath.Join(j.dir(n), name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, false, fmt.Errorf("train: %w", err)
	}
	rule, err := measure.RuleOf(j.Scheme, loss)
	if err != nil {
		return nil, false, fmt.Errorf("train: loss %s: %w", name, err)
	}
	t := &trainer{job: j, network: n, dir: dir, name: name, label: name, title: title, loss: loss, rule: rule, state: newState(name)}
	if len(j.Networks) > 1 {
		t.label = n.Name + " " + name
	}
	found, err := t.readState()
	if err != nil {
		return nil, false, err
	}
	if found && t.state.Finished {
		j.Progress.Println(fmt.Sprintf("%s: already finished, results read from %s", t.label, t.checkpointPath()))
		return t.result(), true, nil
	}
	if err := t.restore(); err != nil {
		return nil, false, err
	}
	start := time.Now()
	j.Progress.Println(fmt.Sprintf("Loss %d of %d: %s, %s", index+1, len(j.Losses), name, t.position()))
	if err := t.run(ctx, len(j.Losses)-index-1); err != nil {
		return nil, false, err
	}
	j.Progress.Println(fmt.Sprintf("%s: done after %s", t.label, report.Duration(time.Since(start))))
	return t.result(), false, nil
}

// writeResults writes the tables of the whole run and the curves of one network.
func (j *Job) writeResults(run *report.Run, n *Network, own []report.Result) error {
	title := run.Title
	if len(j.Networks) > 1 {
		title = fmt.Sprintf("%s: %s", n.Name, run.Title)
	}
	for _, f := range []struct {
		path  string
		write func(path string) error
	}{
		{filepath.Join(j.Dir, "epochs.csv"), func(p string) error { return report.WriteEpochsCSV(p, run.Results) }},
		{filepath.Join(j.Dir, "cases.csv"), func(p string) error { return report.WriteCasesCSV(p, run.Results) }},
		{filepath.Join(j.dir(n), "loss.png"), func(p string) error { return report.WriteLossPNG(p, title, own) }},
		{filepath.Join(j.dir(n), "dice.png"), func(p string) error { return report.WriteDicePNG(p, title, own) }},
		{filepath.Join(j.Dir, "results.md"), run.WriteMarkdown},
	} {
		if err := f.write(f.path); err != nil {
			return err
		}
	}
	return nil
}
