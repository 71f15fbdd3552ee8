package train

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/weights"
)

// trainer trains one network with one loss.
type trainer struct {
	job     *Job
	plan    *Plan
	split   *dataset.Split
	network *Network
	key     Key
	label   string // name in progress lines
	title   string // name of the loss in tables
	loss    afl.Loss
	rule    afl.PredictionRule
	clock   *clock
	volumes map[string]afl.LabelStats // of whole cases by ID, shared by the trainings of a job
	follows []amount                  // work that follows this training in the run
	// publish shows the results after every epoch.
	publish func() error

	net       nn.Network
	optimizer nn.Optimizer
	state     state
	saved     string // state in the checkpoint, as stored; empty if there is none
	// torn is set during an update: the network's running statistics have changed, but the
	// samples are not in the state.
	torn bool

	logits *tensor.Dense // of a prediction, reused for equal shapes
	scan   onScan
}

// divergence is the error returned when a number is no longer finite.
type divergence struct {
	what  string
	after int // samples of the same update before that of the number
}

func (d *divergence) Error() string { return d.what }

// run trains from the current state to the end.
func (t *trainer) run(ctx context.Context) error {
	for !t.state.trained(t.job.Epochs) {
		err := t.epoch(ctx)
		var d *divergence
		switch {
		case errors.As(err, &d):
			// The failed sample follows those that are done; if all are done, it was the
			// validation that failed.
			step := 0
			if sample := len(t.state.Done) + d.after + 1; sample <= t.samples() {
				step = t.plan.steps(sample)
			}
			t.state.Diverged = &outcome.Divergence{Epoch: t.state.Epoch, Step: step, What: d.what}
			t.job.Progress.Println(fmt.Sprintf("%s %s; continuing without it", t.label, t.state.Diverged))
		case err != nil:
			return t.stop(ctx, err)
		}
		if err := t.save(); err != nil {
			return err
		}
		if err := t.publish(); err != nil {
			return err
		}
	}
	if err := t.finish(ctx); err != nil {
		return t.stop(ctx, err)
	}
	return t.save()
}

// stop saves the state before the training ends early because of err, which it returns, or
// [ErrInterrupted] if err is due to ctx being done. An error in the middle of a step leaves
// no state that could be continued to the same bits, so the last checkpoint is kept.
func (t *trainer) stop(ctx context.Context, err error) error {
	interrupted := ctx.Err() != nil && errors.Is(err, ctx.Err())
	if t.torn {
		return err
	}
	if failed := t.save(); failed != nil {
		if interrupted {
			return failed
		}
		return fmt.Errorf("%w; saving the state failed too: %w", err, failed)
	}
	t.job.Progress.Println(fmt.Sprintf("Stopped %s %s; the state is saved in %s", t.label, t.position(), t.checkpointPath()))
	if interrupted {
		return ErrInterrupted
	}
	return err
}

// epoch completes the current epoch: the remaining steps, followed by the validation. An
// interrupted validation starts over, because it changes no state.
func (t *trainer) epoch(ctx context.Context) error {
	if err := t.trainEpoch(ctx); err != nil {
		return err
	}
	cases, err := t.predictAll(ctx, t.split.Valid, measure.Overlaps, "validation")
	if err != nil {
		return err
	}
	e := outcome.Epoch{
		Epoch:     t.state.Epoch,
		TrainLoss: t.state.LossSum / float64(len(t.state.Done)),
		Cases:     len(cases),
		Valid:     outcome.MeanOf(cases),
		Segments:  outcome.SegmentMeansOf(cases),
	}
	var best *outcome.Epoch
	if t.state.BestEpoch > 0 {
		best = &t.state.History[t.state.BestEpoch-1]
	}
	improved, err := better(t.job.Select, &e, best)
	if err != nil {
		return err
	}
	if improved {
		// Save the weights before the checkpoint that refers to them: after a crash in
		// between, this epoch is repeated and writes the same file again.
		if err := t.saveWeights(t.bestPath(), t.state.Epoch); err != nil {
			return err
		}
		t.state.BestEpoch = t.state.Epoch
	}
	t.state.History = append(t.state.History, e)
	t.state.Epoch++
	t.state.Done, t.state.LossSum = nil, 0
	t.job.Progress.Println(t.epochLine(e))
	if n := t.job.EarlyStop; n > 0 && e.Epoch-t.state.BestEpoch >= n {
		// Also in the last epoch: a run that is given more epochs must stop here too.
		t.state.StoppedEarly = true
		if e.Epoch < t.job.Epochs {
			t.job.Progress.Println(fmt.Sprintf("%s: stopped early after epoch %d of %d; %s has not improved since epoch %d", t.label, e.Epoch, t.job.Epochs, t.job.Select, t.state.BestEpoch))
		}
	}
	return nil
}

func (t *trainer) trainEpoch(ctx context.Context) error {
	if len(t.state.Done) == t.samples() {
		return nil
	}
	rate, err := t.job.rate(t.state.Epoch)
	if err != nil {
		return err
	}
	t.optimizer.SetLearningRate(rate)
	// An interrupted epoch continues behind the samples that it has done.
	loader := dataset.Loader{Source: t.network.Source, Patches: t.job.Patches, Skip: len(t.state.Done)}
	var samples []*dataset.Sample // of the next update
	for sample, err := range loader.Train(ctx, t.split.Train, t.key.Seed, t.state.Epoch) {
		if err != nil {
			return err
		}
		samples = append(samples, sample)
		if err := t.checkBatch(samples); err != nil {
			return err
		}
		if left := t.samples() - len(t.state.Done); len(samples) < min(t.job.UpdateSamples(), left) {
			continue
		}
		value, err := t.update(samples)
		if err != nil {
			return err
		}
		samples = nil
		done, all := len(t.state.Done), t.samples()
		t.job.Progress.Update(fmt.Sprintf("%s  epoch %d/%d  step %d/%d  %s  loss %.5g",
			t.label, t.state.Epoch, t.job.Epochs, t.plan.steps(done), t.plan.steps(all),
			t.left(all-done, len(t.split.Valid)), value))
		if err := ctx.Err(); err != nil {
			return err
		}
		if done == all {
			break
		}
	}
	return nil
}

// checkBatch returns an error if the last of the samples of an update has another size than
// the first of its batch.
func (t *trainer) checkBatch(samples []*dataset.Sample) error {
	last := len(samples) - 1
	first, s := samples[last-last%t.plan.batch()], samples[last]
	if want, got := first.Image.Shape(), s.Image.Shape(); !got.Eq(want) {
		return fmt.Errorf("train: case %s has %v voxels, but case %s in the same batch of %d has %v; resize all volumes to one size or take patches no larger than any of them (-patch), or accumulate the gradients of several steps instead (-accumulate), whose sizes may differ",
			s.ID, []int(got[2:]), first.ID, t.plan.batch(), []int(want[2:]))
	}
	return nil
}

// update performs one update with the mean of the gradients of the samples and adds them to
// the state. It returns the mean of their losses before the update.
func (t *trainer) update(samples []*dataset.Sample) (float64, error) {
	b := t.job.Backend
	defer b.EndStep()
	t.torn = true
	start := time.Now()
	var sum gradients
	values := make([]float64, len(samples))
	for i, s := range samples {
		var err error
		if values[i], err = t.backward(s, len(t.state.Done)+i); err != nil {
			var d *divergence
			if errors.As(err, &d) {
				d.after = i
			}
			return 0, err
		}
		if err := sum.add(b, t.net.Parameters()); err != nil {
			return 0, err
		}
		if i < len(samples)-1 {
			b.EndStep(sum.arrays()...)
		}
	}
	if err := sum.mean(b, t.net.Parameters()); err != nil {
		return 0, err
	}
	if err := t.optimize(); err != nil {
		return 0, err
	}
	took := time.Since(start) / time.Duration(len(samples))
	mean := 0.0
	for i, s := range samples {
		t.state.LossSum += values[i]
		t.state.Done = append(t.state.Done, s.ID)
		t.clock.sample(took)
		mean += values[i] / float64(len(samples))
	}
	t.torn = false
	return mean, nil
}

// backward computes the gradients of the loss of one sample, with the dropout of the sample of
// the given number in the epoch, from 0. It returns the loss.
func (t *trainer) backward(s *dataset.Sample, number int) (float64, error) {
	tape := nn.NewTape(t.job.Backend, nn.Training, dropoutSeed(t.key.Seed, t.state.Epoch, number))
	ys, err := t.forward(tape, s)
	if err != nil {
		return 0, err
	}
	outputs := make([]nn.Array, len(ys))
	for i, y := range ys {
		outputs[i] = y.Array()
	}
	value, gys, err := t.lossOf(outputs, s)
	if err != nil {
		return 0, err
	}
	return value, tape.BackwardAll(ys, gys)
}

func (t *trainer) nonFinite(s *dataset.Sample, value float64) error {
	return &divergence{what: fmt.Sprintf("the network's output for case %s contains %v", s.ID, value)}
}

// forward runs the network on a sample and returns its outputs; see nn.Outputs.
func (t *trainer) forward(tape *nn.Tape, s *dataset.Sample) ([]nn.Var, error) {
	x, err := t.job.Backend.FromHost(s.Image, nn.Step)
	if err != nil {
		return nil, fmt.Errorf("train: case %s: %w", s.ID, err)
	}
	ys, err := nn.Outputs(t.net, tape, tape.Input(x))
	if err != nil {
		return nil, fmt.Errorf("train: case %s: %w", s.ID, err)
	}
	return ys, nil
}

// predictAll predicts every one of the cases with the current weights.
func (t *trainer) predictAll(ctx context.Context, of []dataset.Case, extent measure.Extent, label string) ([]outcome.Case, error) {
	var cases []outcome.Case
	for sample, err := range (dataset.Loader{Source: t.network.Source}).Valid(ctx, of) {
		if err != nil {
			return nil, err
		}
		start := time.Now()
		c, err := t.predict(ctx, sample, extent)
		if err != nil {
			return nil, err
		}
		cases = append(cases, c)
		t.clock.valid(time.Since(start))
		t.job.Progress.Update(fmt.Sprintf("%s  epoch %d/%d  %s %d/%d  %s",
			t.label, min(t.state.Epoch, t.job.Epochs), t.job.Epochs, label, len(cases), len(of),
			t.left(0, len(of)-len(cases))))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return cases, nil
}

func (t *trainer) predict(ctx context.Context, s *dataset.Sample, extent measure.Extent) (outcome.Case, error) {
	var bad *nn.NonFiniteError
	if err := t.infer(ctx, s); errors.As(err, &bad) {
		return outcome.Case{}, t.nonFinite(s, bad.Value)
	} else if err != nil {
		return outcome.Case{}, err
	}
	values, segments, err := measure.Case(t.job.Scheme, t.scan.logits, t.scan.label, s.Spacing, t.rule, extent)
	if err != nil {
		return outcome.Case{}, fmt.Errorf("train: case %s: %w", s.ID, err)
	}
	c := outcome.Case{ID: s.ID, Values: values, Segments: segments}
	if extent == measure.Everything && t.job.Detection != nil {
		if c.Detection, err = measure.Detect(*t.job.Detection, s.ID, t.scan.logits, t.scan.label, t.rule); err != nil {
			return outcome.Case{}, fmt.Errorf("train: case %s: %w", s.ID, err)
		}
	}
	if extent == measure.Everything {
		reference, err := measure.Reference(t.scan.mask(s))
		if err != nil {
			return outcome.Case{}, fmt.Errorf("train: case %s: %w", s.ID, err)
		}
		c.Reference = &reference
	}
	return c, nil
}

// loadBest loads the best weights from their file into the network.
func (t *trainer) loadBest() error {
	return t.loadWeights(t.bestPath(), t.state.BestEpoch)
}

// loadWeights loads the weights after the given number of epochs from the file that saveWeights
// has written into the network.
func (t *trainer) loadWeights(path string, epochs int) error {
	state, metadata, err := weights.Load(path)
	if err != nil {
		return err
	}
	if err := t.checkWeights(path, metadata, epochs); err != nil {
		return err
	}
	if err := nn.LoadStateDict(t.job.Backend, nn.WithoutHeads(t.net), state); err != nil {
		return fmt.Errorf("train: %s: %w", path, err)
	}
	freeNow()
	return nil
}

// finish writes the last weights, and evaluates the best weights from their file with all
// measures, on the cases that are reported.
func (t *trainer) finish(ctx context.Context) error {
	if err := t.saveWeights(t.lastPath(), len(t.state.History)); err != nil {
		return err
	}
	e := &evaluation{Epochs: len(t.state.History), BestEpoch: t.state.BestEpoch}
	if t.state.BestEpoch > 0 {
		if err := t.loadBest(); err != nil {
			return err
		}
		cases, err := t.predictAll(ctx, t.split.Reported(), measure.Everything, "evaluating the best weights")
		// The checkpoint must contain the last weights, even if interrupted here.
		if failed := t.loadWeights(t.lastPath(), len(t.state.History)); failed != nil {
			t.torn = true
			return failed
		}
		if err != nil {
			return err
		}
		e.Cases = cases
	}
	t.state.Evaluation = e
	return nil
}

// left describes the time left, given the samples and validation cases left of the epoch. In
// the final evaluation, the cases are those of the evaluation.
func (t *trainer) left(samples, cases int) string {
	follows := t.follows
	if epochs := t.job.Epochs - t.state.Epoch; epochs >= 0 && !t.state.trained(t.job.Epochs) {
		n := t.clock.current
		follows = append([]amount{{n, epochs * t.samples(), epochs*len(t.split.Valid) + len(t.split.Reported())}}, follows...)
	}
	return t.clock.left(amount{t.clock.current, samples, cases}, follows)
}

func (t *trainer) samples() int { return t.plan.samples(t.key.Fold) }

func (t *trainer) position() string { return t.state.position(t.plan) }

func (t *trainer) epochLine(e outcome.Epoch) string {
	show := func(m outcome.Measure) string { return e.Valid[m].Format(e.Cases, 3) }
	best := ""
	if t.state.BestEpoch == e.Epoch {
		best = "  best"
	}
	what := "foreground"
	if len(e.Segments) > 0 {
		what = "mean of " + string(t.job.Scheme.Kind)
		var each strings.Builder
		for _, s := range e.Segments {
			fmt.Fprintf(&each, " | %s Dice %s", s.Name, s.Means[outcome.Dice].Format(e.Cases, 3))
		}
		best = each.String() + best
	}
	return fmt.Sprintf("%s  epoch %d/%d  loss %.5g | soft Dice %s IoU %s | %s Dice %s IoU %s sens %s spec %s%s",
		t.label, e.Epoch, t.job.Epochs, e.TrainLoss,
		show(outcome.SoftDice), show(outcome.SoftIoU), what, show(outcome.Dice), show(outcome.IoU),
		show(outcome.Sensitivity), show(outcome.Specificity), best)
}

func (t *trainer) dir() string            { return t.plan.dir(t.job.Dir, t.key) }
func (t *trainer) checkpointPath() string { return filepath.Join(t.dir(), CheckpointName) }
func (t *trainer) bestPath() string       { return filepath.Join(t.dir(), BestName) }
func (t *trainer) lastPath() string       { return filepath.Join(t.dir(), lastName) }

// dropoutSeed returns a distinct seed for every sample of an epoch, given its number.
func dropoutSeed(seed uint64, epoch, number int) uint64 {
	return rand.NewPCG(seed, uint64(epoch)<<32|uint64(number)).Uint64()
}
