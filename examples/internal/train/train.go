// Package train trains segmentation networks, each with every given loss in turn, and
// validates them after every epoch. Training can be interrupted at any step and resumed
// later.
//
// # Training
//
// A network starts from weights drawn from the seed, which are the same for every loss.
// A step uses one case (batch 1): forward pass, loss and its gradient with respect to
// the logits, backward pass, one SGD update. After the steps of an epoch, every
// validation case is predicted as a whole. The weights with the highest value of the
// measure that Job.Select names are saved, by default the mean soft validation Dice as in
// the paper's released code; with several classes or regions it is the mean of theirs. At
// the end these weights are read back from their file and evaluated with all measures.
//
// # Reproducibility
//
// All random numbers are drawn from the seed, the epoch and the case or the step, never
// from a generator whose state persists. The state of training therefore consists of the
// weights, running statistics, momentum and position, and an interrupted and resumed
// training produces the same files as an uninterrupted one, byte for byte.
//
// A run that is given more epochs, losses or networks continues in the same way, and ends
// with the files of a run that had them from the start.
//
// # Files
//
// Every file is written under a temporary name and renamed:
//
//	<dir>/<network>/<loss>/checkpoint.safetensors   state after the last epoch or interruption
//	<dir>/<network>/<loss>/best.safetensors         weights of the best epoch
//	<dir>/<network>/<loss>/last.safetensors         weights after the last epoch
//	<dir>/<network>/loss.png, dice.png              curves
//	<dir>/<network>/detection.png                   curves of lesion detection
//	<dir>/epochs.csv                                results of every epoch
//	<dir>/cases.csv                                 results of every case
//	<dir>/comparisons.csv                           A-FL against every other loss
//	<dir>/strata.csv                                results by volume and smoothness
//	<dir>/detection.csv, detection_curves.csv       lesion detection and its curves
//	<dir>/results.md                                tables
//	<dir>/qualitative.png                           predictions of typical validation cases
//
// Each of them names the run, and the checkpoints and weights that a table describes are
// checked for that name before the table is written. The curves and epochs.csv are there
// from the first epoch, the other tables from the end of the first training, and the figure
// of predictions from the end of the run.
package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/segment"
)

// ErrInterrupted is returned by [Job.Run] if its context was canceled. The state is on
// disk, and running the same Job again continues from there.
var ErrInterrupted = errors.New("train: interrupted")

// Network is one network of a [Job]. WeightsInfo and the costs are optional.
type Network struct {
	// Name appears in file names and CSV files, Title in tables.
	Name, Title string
	// New returns the network with its initial weights, on the Job's Backend.
	New func() (nn.Network, error)
	// Source produces samples of sizes that the network accepts.
	Source dataset.Source
	// StepCost and CaseCost are the costs of a training step and of a prediction, in any
	// unit that all networks of the Job share; 0 if unknown. They scale the estimated times.
	StepCost, CaseCost float64
	// WeightsInfo is added to the metadata of best.safetensors and last.safetensors,
	// together with the loss, the number of epochs and the prediction rule. It holds what
	// is needed to use the weights.
	WeightsInfo map[string]string
}

// Job specifies a training run. All fields except Facts, Steps and those marked optional are
// required.
type Job struct {
	// ID identifies the run: it is stored in every file, and a file with another ID is not
	// used. Jobs that lead to different bits need different IDs, where Epochs, Losses and
	// Networks do not count.
	ID string
	// Dir is the folder of the run; it must exist and belong to this process. If it contains
	// the state of a run with this ID, that run is continued; Epochs, Losses and Networks
	// may have grown since then.
	Dir string
	// Guard is called before every file is written; if it returns an error, the run ends
	// with it and the file is left as it was.
	Guard func() error
	// Title and Facts open the report.
	Title string
	Facts []string
	// Dataset is the Dataset of the report. Optional.
	Dataset string

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

	// Select is one of [Selections].
	Select string

	// Detection says how lesion candidates are found in the predictions of the best weights.
	// Optional: by default they are not looked for. The Scheme must then be binary.
	Detection *detection.Extraction

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
	trainings, err := j.trainings()
	if err != nil {
		return nil, err
	}
	results := &results{job: j, trainings: trainings}
	written := false
	for i, t := range trainings {
		if len(j.Networks) > 1 && i%len(j.Losses) == 0 {
			j.Progress.Println(fmt.Sprintf("Network %d of %d: %s", i/len(j.Losses)+1, len(j.Networks), t.network.Name))
		}
		written = false
		if t.state.finished(j.Epochs) {
			j.Progress.Println(fmt.Sprintf("%s: already finished, results read from %s", t.label, t.checkpointPath()))
			continue
		}
		t.follows = j.work(trainings[i+1:])
		t.clock.current = i / len(j.Losses)
		t.publish = func() error { return results.afterEpoch(t.network) }
		if err := results.removeFigure(); err != nil {
			return nil, err
		}
		start := time.Now()
		j.Progress.Println(fmt.Sprintf("Loss %d of %d: %s, %s", i%len(j.Losses)+1, len(j.Losses), t.key.Loss, t.position()))
		if err := t.train(ctx); err != nil {
			return nil, err
		}
		j.Progress.Println(fmt.Sprintf("%s: done after %s", t.label, report.Duration(time.Since(start))))
		// Write the results after every training, so that those of a long run are available
		// before it ends.
		if err := results.afterTraining(t.network); err != nil {
			return nil, err
		}
		written = true
	}
	if !written {
		if err := results.all(); err != nil {
			return nil, err
		}
	}
	if err := results.figure(ctx); err != nil {
		return nil, err
	}
	run := results.run()
	return run, results.markdown(run) // again, with links to what was drawn since
}

func (j *Job) check() error {
	switch {
	case j.ID == "":
		return errors.New("train: Job.ID is empty")
	case j.Guard == nil:
		return errors.New("train: Job.Guard is nil")
	case !slices.Contains(Selections(), j.Select):
		return fmt.Errorf("train: Job.Select is %q, want %s", j.Select, strings.Join(Selections(), ", "))
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
	case j.Detection != nil && j.Scheme.Kind != segment.Binary:
		return fmt.Errorf("train: Job.Detection is set, but Job.Scheme has %v, want a binary one", j.Scheme)
	}
	for _, c := range append(append([]dataset.Case(nil), j.Train...), j.Valid...) {
		if c.Label == "" {
			return fmt.Errorf("train: case %s has no label", c.ID)
		}
	}
	return nil
}

// steps returns the number of training steps per epoch.
func (j *Job) steps() int {
	n := len(j.Train)
	if j.Steps > 0 {
		n = min(n, j.Steps)
	}
	return n
}

// trainings returns a trainer for every network and loss, in the state on disk.
func (j *Job) trainings() ([]*trainer, error) {
	c := &clock{}
	var all []*trainer
	for i := range j.Networks {
		n := &j.Networks[i]
		c.networks = append(c.networks, timing{stepCost: n.StepCost, caseCost: n.CaseCost})
		for _, name := range j.Losses {
			loss, title, err := j.Scheme.Loss(name)
			if err != nil {
				return nil, fmt.Errorf("train: Job.Losses: %w", err)
			}
			rule, err := measure.RuleOf(j.Scheme, loss)
			if err != nil {
				return nil, fmt.Errorf("train: loss %s: %w", name, err)
			}
			key := Key{Network: n.Name, Loss: name}
			t := &trainer{
				job: j, network: n, key: key, label: name, title: title, loss: loss, rule: rule, clock: c,
				state: newState(key, rule.String()),
			}
			if len(j.Networks) > 1 {
				t.label = key.String()
			}
			if err := t.readState(); err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	}
	return all, nil
}

// work returns the steps and cases that are left of trainings.
func (j *Job) work(trainings []*trainer) []amount {
	var left []amount
	for _, t := range trainings {
		a := amount{network: slices.IndexFunc(j.Networks, func(n Network) bool { return n.Name == t.key.Network })}
		if t.state.finished(j.Epochs) {
			continue
		}
		a.cases = len(j.Valid) // the evaluation of the best weights
		if !t.state.trained(j.Epochs) {
			epochs := j.Epochs - t.state.Epoch + 1
			a.steps = epochs*j.steps() - len(t.state.Done)
			a.cases += epochs * len(j.Valid)
		}
		left = append(left, a)
	}
	return left
}

// train trains to completion and then releases the network.
func (t *trainer) train(ctx context.Context) error {
	if err := t.job.Guard(); err != nil {
		return err
	}
	if err := os.MkdirAll(t.dir(), 0o755); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := t.restore(); err != nil {
		return err
	}
	err := t.run(ctx)
	t.net, t.sgd, t.logits, t.grad, t.scan = nil, nil, nil, nil, onScan{}
	return err
}

// Plan describes the trainings of a run as far as their states depend on it.
type Plan struct {
	Scheme segment.Scheme
	// Epochs is the number of epochs, Steps the number of training steps in each.
	Epochs, Steps int
	// Train are the IDs of the training cases.
	Train []string
}

func (j *Job) plan() Plan {
	p := Plan{Scheme: j.Scheme, Epochs: j.Epochs, Steps: j.steps()}
	for _, c := range j.Train {
		p.Train = append(p.Train, c.ID)
	}
	return p
}
