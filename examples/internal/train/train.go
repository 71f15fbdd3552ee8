// Package train trains segmentation networks, each with every given loss in turn, and
// validates them after every epoch. Training can be interrupted at any step and resumed
// later.
//
// # Training
//
// A network starts from weights drawn from the seed, which are the same for every loss and
// fold.
// A step uses one case: forward pass, loss and its gradient with respect to the logits,
// backward pass, one update by SGD. With options of the Job that the paper did not use, a step
// uses a batch of cases, an epoch has several samples of each case, such as patches, the loss is
// also that of lower resolutions, the optimizer is AdamW, the learning rate follows a schedule,
// gradients are clipped, an update uses several steps, and a training ends when it no longer
// improves. After the steps of an epoch, every validation case is predicted: as a whole, or with
// a sliding window and in mirrored form. The weights with the highest value of the measure that
// Job.Select names are saved, by default the mean soft validation Dice as in
// the paper's released code; with several classes or regions it is the mean of theirs. At
// the end these weights are read back from their file and evaluated with all measures, on
// the validation cases or, if there are any, on the test cases.
//
// # Batches
//
// The gradient of an update is the mean of the gradients of its samples, each of which passes
// the network alone: the loss of a batch is the mean of the losses of its samples, and a batch
// norm normalizes each sample by its own statistics and updates the running ones in the order of
// the samples. So an update does not depend on how its samples are divided into batches. With
// Job.SyncBatchNorm the samples meet at every batch norm, which normalizes them by the statistics
// of all. Gradients and these statistics are added as a binary tree that depends only on the
// number of samples, so that its branches can be computed in different places; see gradients.
//
// # Seeds and folds
//
// Every network and loss is trained from each of a number of consecutive seeds, and on each
// of a number of divisions of the cases into training and validation cases, the folds of a
// cross-validation. All losses and networks of a seed and a fold are trained before the next.
//
// # Reproducibility
//
// All random numbers are drawn from the seed, the epoch and the case or the step, never
// from a generator whose state persists. The state of training therefore consists of the
// weights, running statistics, optimizer state and position, and an interrupted and resumed
// training produces the same files as an uninterrupted one, byte for byte.
//
// A run that is given more epochs, losses, networks or seeds continues in the same way, and
// ends with the files of a run that had them from the start. A learning rate that decays to
// the end of a training depends on the number of epochs, so that such a run is not given more.
//
// # Files
//
// Every file is written under a temporary name and renamed. With several folds, the folder of
// a network and a loss is in fold<N>; that of a seed other than the first, with or without
// folds, is in seed<N>:
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
//	<dir>/report.html                               all of these in a page
//
// Each of them names the run, and the checkpoints and weights that a table describes are
// checked for that name before the table is written. The curves and epochs.csv are there
// from the first epoch, the other tables from the end of the first training, and the figure
// of predictions and the page from the end of the run.
package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/x/afl"
	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/outcome"
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
	// New returns the network for a seed, on the Job's Backend. Its parameters and buffers need
	// no values. One that is an [nn.DeeplySupervised] is trained at all of its resolutions; its
	// heads are in the checkpoint, but not in the files of weights.
	New func(seed uint64) (nn.Network, error)
	// Load sets the initial values of a new network, without heads, that are not drawn from the seed. Optional:
	// by default all are drawn. It is not called for a training that continues from a
	// checkpoint.
	Load func(nn.Network) error
	// Source produces samples of sizes that the network accepts.
	Source dataset.Source
	// SampleCost and CaseCost are the costs of training on a sample and of a prediction, in any
	// unit that all networks of the Job share; 0 if unknown. They scale the estimated times.
	SampleCost, CaseCost float64
	// WeightsInfo is added to the metadata of best.safetensors and last.safetensors,
	// together with the loss, the number of epochs and the prediction rule. It holds what
	// is needed to use the weights.
	WeightsInfo map[string]string
}

// Job specifies a training run. All fields except Facts, Report, Steps, Seeds and those marked
// optional are required.
type Job struct {
	// ID identifies the run: it is stored in every file, and a file with another ID is not
	// used. Jobs that lead to different bits need different IDs, where Losses, Networks and
	// Seeds do not count, and Epochs only if the learning rate depends on it (Schedule).
	ID string
	// Dir is the folder of the run; it must exist and belong to this process. If it contains
	// the state of a run with this ID, that run is continued; Losses, Networks, Seeds and,
	// unless the learning rate depends on it, Epochs may have grown since then.
	Dir string
	// Guard is called before every file is written; if it returns an error, the run ends
	// with it and the file is left as it was.
	Guard func() error
	// Title and Facts open the report.
	Title string
	Facts []string
	// Dataset is the Dataset of the report. Optional.
	Dataset string

	// Splits are the divisions of the cases, one for each fold, or the only one.
	Splits []dataset.Split
	// Report says what the reported cases of the Splits are; by default the validation cases.
	Report outcome.Reported

	// Networks are trained in this order, each with every loss.
	Networks []Network
	// Losses are names accepted by the Scheme's Loss method, trained in this order.
	Losses []string
	// BoundaryWeight is the weight of the boundary loss in the first epoch; it grows by as much
	// in every epoch, and the Dice loss is added. It is required for that loss alone.
	BoundaryWeight float64
	// Scheme is what the networks segment; it is also that of the samples. Optional: by
	// default the foreground.
	Scheme  segment.Scheme
	Backend nn.Backend

	// Epochs is the number of epochs per network and loss.
	Epochs int
	// Workers is the number of training samples that are prepared concurrently while a step
	// computes; 0 means [dataset.DefaultWorkers]. It changes no result. Prepared are also the
	// samples of the next update; see [SamplesAhead].
	Workers int
	// Steps is the maximum number of training steps per epoch; 0 means that an epoch has Patches
	// samples of every case.
	Steps int
	// Batch is the number of samples in a training step; 0 means 1. They must have the same
	// size. The last batch of an epoch has those that are left.
	Batch int
	// Seed is the first of Seeds consecutive seeds, one by default. A seed determines the
	// initial weights, the order of the cases, their augmentation and dropout.
	Seed  uint64
	Seeds int
	// Optimizer is one of [Optimizers]. Optional: by default SGD.
	Optimizer string
	// LearningRate, Momentum and WeightDecay are the parameters of the optimizer. SGD uses
	// Nesterov momentum if Momentum is positive; AdamW has none and requires 0. SGD adds
	// WeightDecay·w to the gradient; AdamW multiplies w by 1 − rate·WeightDecay.
	LearningRate, Momentum, WeightDecay float64
	// Schedule multiplies LearningRate; its unit of time is an epoch, and its total is Epochs.
	// Optional: by default the rate is constant.
	Schedule nn.Schedule
	// ClipNorm is the largest global norm of the gradients of an update, to which larger ones
	// are scaled; 0: they are not clipped.
	ClipNorm float64
	// Accumulate is the number of steps, each on a batch, whose samples' gradients are averaged
	// for an update; 0 means 1. The last update of an epoch averages over the samples that are
	// left, with the same learning rate. A training is interrupted only between updates.
	Accumulate int
	// SyncBatchNorm makes batch norms in training use the statistics of all samples of an update,
	// of all processes, instead of those of each sample alone. It requires an Accumulate of at most
	// 1, because the samples of an update then pass the network together.
	SyncBatchNorm bool
	// EarlyStop ends a training after this many epochs in a row whose weights were not better
	// by Select; 0: never. It then counts as finished.
	EarlyStop int

	// Patches is the number of training steps for each case and epoch, each on a sample with an
	// augmentation of its own; 0 means 1.
	Patches int
	// VolumeStatistics gives A-FL the statistics of the label of the whole case instead of
	// those of the sample, for samples that are patches of it.
	VolumeStatistics bool

	// Window and Mirror say how validation and reported cases are predicted. The zero Window
	// covers them whole. Mirror lists axes, from 0 for X, ascending: the probabilities are
	// averaged over all combinations of mirrored axes. Optional.
	Window infer.Window
	Mirror []int

	// Select is one of [Selections].
	Select string

	// Detection says how lesion candidates are found in the predictions of the best weights.
	// Optional: by default they are not looked for. The Scheme must then be binary.
	Detection *detection.Extraction

	// Synthetic says that the data are a phantom, which the page states.
	Synthetic bool
	// PageCases is the number of reported cases whose images the page contains; with 0 it
	// contains no images.
	PageCases int

	// Progress shows the progress to the user.
	Progress *report.Progress

	// Group is the group of processes that train together, each of which runs the same Job.
	// The first one reads and writes all files of the run; the others need neither Guard nor
	// Progress to do anything. Batch times Accumulate must be at least their number. Optional:
	// by default a single process.
	Group *dist.Group

	watch  stopwatch       // measures times of the log; replaced by tests
	asked  context.Context // is done when this process is asked to stop
	cancel context.CancelFunc
}

// Run trains every network with every loss, except those already finished in Dir, and
// writes the results. If ctx is done, it completes the current step, saves the state to
// disk and returns [ErrInterrupted].
func (j *Job) Run(ctx context.Context) (*report.Run, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	if j.watch == nil {
		j.watch = realTime
	}
	ctx, leave := j.join(ctx)
	defer leave()
	trainings, err := j.trainings()
	if err != nil {
		return nil, err
	}
	results := newResults(j, trainings)
	written := false
	group := len(j.Networks) * len(j.Losses) // trainings of one seed and fold
	for i, t := range trainings {
		if len(trainings) > group && i%group == 0 {
			which := fmt.Sprintf("Training %d", i+1)
			if group > 1 {
				which = fmt.Sprintf("Trainings %d to %d", i+1, i+group)
			}
			j.Progress.Println(fmt.Sprintf("%s of %d: %s", which, len(trainings), t.plan.group(t.key)))
		}
		network := i / len(j.Losses) % len(j.Networks)
		if len(j.Networks) > 1 && i%len(j.Losses) == 0 {
			j.Progress.Println(fmt.Sprintf("Network %d of %d: %s", network+1, len(j.Networks), t.network.Name))
		}
		written = false
		if t.state.finished(j.Epochs) {
			j.Progress.Println(fmt.Sprintf("%s: already finished, results read from %s", t.label, t.checkpointPath()))
			continue
		}
		t.follows = j.work(trainings[i+1:])
		t.clock.current = network
		t.publish = func() error { return results.afterEpoch(t.network) }
		if err := j.Group.Do("pictures", results.removePictures); err != nil {
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
		if err := j.Group.Do("results", func() error { return results.afterTraining(t.network) }); err != nil {
			return nil, err
		}
		written = true
	}
	if !written {
		if err := j.Group.Do("results", results.all); err != nil {
			return nil, err
		}
	}
	run := results.run()
	stopped, err := j.Group.Send("pictures", func() ([]byte, error) {
		err := results.writePictures(j.asked)
		if errors.Is(err, ErrInterrupted) {
			return []byte("stopped"), nil
		}
		if err != nil {
			return nil, err
		}
		return nil, results.markdown(run) // again, with links to what was drawn since
	})
	if err == nil && len(stopped) > 0 {
		err = ErrInterrupted
	}
	if err != nil {
		return nil, err
	}
	return run, nil
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
	case len(j.Splits) == 0:
		return errors.New("train: Job.Splits is empty")
	case j.Seeds < 0 || j.Seed+uint64(j.seeds())-1 < j.Seed:
		return fmt.Errorf("train: Job.Seeds is %d from %d on, want at least 0 and no seed above 2⁶⁴-1", j.Seeds, j.Seed)
	case j.Epochs < 1:
		return fmt.Errorf("train: Job.Epochs is %d, want at least 1", j.Epochs)
	case j.Patches < 0:
		return fmt.Errorf("train: Job.Patches is %d, want at least 0", j.Patches)
	case j.Workers < 0:
		return fmt.Errorf("train: Job.Workers is %d, want at least 0", j.Workers)
	case j.Steps < 0:
		return fmt.Errorf("train: Job.Steps is %d, want at least 0", j.Steps)
	case j.Group.Size() > 1 && j.UpdateSamples() < j.Group.Size():
		return fmt.Errorf("train: Job.Batch times Job.Accumulate is %d, want at least 1 sample for each of the %d processes", j.UpdateSamples(), j.Group.Size())
	case j.Batch < 0:
		return fmt.Errorf("train: Job.Batch is %d, want at least 0", j.Batch)
	case j.Detection != nil && j.Scheme.Kind != segment.Binary:
		return fmt.Errorf("train: Job.Detection is set, but Job.Scheme has %v, want a binary one", j.Scheme)
	}
	if err := j.Window.Check(); err != nil {
		return fmt.Errorf("train: Job.Window: %w", err)
	}
	for i, axis := range j.Mirror {
		if axis < 0 || axis > 2 || i > 0 && axis <= j.Mirror[i-1] {
			return fmt.Errorf("train: Job.Mirror is %v, want 0, 1 or 2 in ascending order", j.Mirror)
		}
	}
	if err := j.checkOptimization(); err != nil {
		return err
	}
	if err := j.checkBoundary(); err != nil {
		return err
	}
	for fold := range j.Splits {
		if err := j.checkSplit(fold); err != nil {
			return err
		}
	}
	return nil
}

// checkSplit returns an error for cases without a label, and for those that a training would
// both use and be judged by.
func (j *Job) checkSplit(fold int) error {
	s := &j.Splits[fold]
	if len(s.Train) == 0 || len(s.Valid) == 0 || len(s.Reported()) == 0 {
		return fmt.Errorf("train: Job.Splits[%d] has %d training and %d validation cases and reports %d, want at least one of each", fold, len(s.Train), len(s.Valid), len(s.Reported()))
	}
	part := map[string]string{}
	for _, p := range []struct {
		name  string
		cases []dataset.Case
	}{{"training", s.Train}, {"validation", s.Valid}, {"test", s.Test}} {
		for _, c := range p.cases {
			if c.Label == "" {
				return fmt.Errorf("train: case %s has no label", c.ID)
			}
			if other, twice := part[c.ID]; twice {
				return fmt.Errorf("train: Job.Splits[%d] has case %s among the %s and the %s cases", fold, c.ID, other, p.name)
			}
			part[c.ID] = p.name
		}
	}
	return nil
}

func (j *Job) seeds() int { return max(j.Seeds, 1) }

// trainings returns a trainer for every seed, fold, network and loss, in this order and in
// the state on disk.
func (j *Job) trainings() ([]*trainer, error) {
	plan := j.plan()
	c, volumes := &clock{}, &volumes{known: map[string]func() (afl.LabelStats, error){}}
	for _, n := range j.Networks {
		c.networks = append(c.networks, timing{sampleCost: n.SampleCost, caseCost: n.CaseCost})
	}
	var all []*trainer
	for seed := range uint64(plan.Seeds) {
		for fold := range j.Splits {
			for i := range j.Networks {
				for _, name := range j.Losses {
					t, err := j.training(plan, &j.Networks[i], Key{j.Networks[i].Name, name, j.Seed + seed, fold}, c)
					if err != nil {
						return nil, err
					}
					t.volumes = volumes
					all = append(all, t)
				}
			}
		}
	}
	return all, nil
}

// training returns the trainer of one training.
func (j *Job) training(plan *Plan, n *Network, key Key, c *clock) (*trainer, error) {
	loss, title, err := j.Scheme.Loss(key.Loss)
	if err != nil {
		return nil, fmt.Errorf("train: Job.Losses: %w", err)
	}
	rule, err := measure.RuleOf(j.Scheme, j.lossOfEpoch(key.Loss, loss, 1))
	if err != nil {
		return nil, fmt.Errorf("train: loss %s: %w", key.Loss, err)
	}
	t := &trainer{
		job: j, plan: plan, split: &j.Splits[key.Fold], network: n, key: key, label: plan.label(key),
		title: title, loss: loss, rule: rule, clock: c, state: newState(key, rule.String()),
	}
	t.state.ScheduledEpochs = j.scheduledEpochs()
	return t, t.readState()
}

// work returns the samples and cases that are left of trainings.
func (j *Job) work(trainings []*trainer) []amount {
	var left []amount
	for _, t := range trainings {
		a := amount{network: slices.IndexFunc(j.Networks, func(n Network) bool { return n.Name == t.key.Network })}
		if t.state.finished(j.Epochs) {
			continue
		}
		a.cases = len(t.split.Reported()) // the evaluation of the best weights
		if !t.state.trained(j.Epochs) {
			epochs := j.Epochs - t.state.Epoch + 1
			a.samples = epochs*t.samples() - len(t.state.Done)
			a.cases += epochs * len(t.split.Valid)
		}
		left = append(left, a)
	}
	return left
}

// train trains to completion and then releases the network.
func (t *trainer) train(ctx context.Context) error {
	err := t.job.Group.Do("folder of a training", func() error {
		if err := t.job.Guard(); err != nil {
			return err
		}
		if err := os.MkdirAll(t.dir(), 0o755); err != nil {
			return fmt.Errorf("train: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.restore(); err != nil {
		return err
	}
	defer func() {
		if t.reducer != nil {
			t.reducer.Close()
			t.reducer = nil
		}
	}()
	err = t.run(ctx)
	t.net, t.optimizer, t.logits, t.scan = nil, nil, nil, onScan{}
	return err
}

func (j *Job) plan() *Plan {
	p := &Plan{Scheme: j.Scheme, Losses: j.Losses, Seed: j.Seed, Seeds: j.seeds(), Epochs: j.Epochs, Steps: j.Steps, Batch: j.Batch, Patches: j.Patches}
	for _, n := range j.Networks {
		p.Networks = append(p.Networks, n.Name)
	}
	for _, s := range j.Splits {
		var ids []string
		for _, c := range s.Train {
			ids = append(ids, c.ID)
		}
		p.Train = append(p.Train, ids)
	}
	return p
}
