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
	"github.com/x/afl/examples/internal/dist"
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
	volumes *volumes // shared by the trainings of a job
	follows []amount // work that follows this training in the run
	// publish shows the results after every epoch.
	publish func() error

	net       nn.Network
	optimizer nn.Optimizer
	reducer   *dist.Reducer // nil for a single process
	state     state
	saved     string // state in the checkpoint, as stored; empty if there is none
	// torn is set during an update: the network's running statistics have changed, but the
	// samples are not in the state.
	torn bool
	// pending is an update that the device may not have done yet. Its samples are not in the
	// state either.
	pending *update
	settled time.Time // when the last update was added to the state

	inputs *dataset.Ahead[*input] // of the epoch, while it trains
	coming []*input               // samples of the update whose passes have not begun
	waited time.Duration          // for data, in this session's steps of the epoch

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
		if err := t.job.Group.Do("results of an epoch", t.publish); err != nil {
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
// no state that could be continued to the same bits, so the last checkpoint is kept, as after one
// that other processes do not know of.
func (t *trainer) stop(ctx context.Context, err error) error {
	interrupted := ctx.Err() != nil && errors.Is(err, ctx.Err())
	if t.torn || t.pending != nil || t.job.Group.Size() > 1 && !interrupted && !dist.Agreed(err) {
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
		return dist.Common(err)
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
	done, all := len(t.state.Done), t.samples()
	if done == all {
		return nil
	}
	rate, err := t.job.rate(t.state.Epoch)
	if err != nil {
		return err
	}
	t.optimizer.SetLearningRate(rate)
	// The samples of this process are at these positions of the epoch.
	mine := make([]bool, all)
	for at := done; at < all; at += t.job.UpdateSamples() {
		from, to := t.share(min(t.job.UpdateSamples(), all-at))
		for i := from; i < to; i++ {
			mine[at+i] = true
		}
	}
	// An interrupted epoch continues behind the samples that it has done.
	t.inputs, t.waited = t.startInputs(ctx, mine), 0
	defer func() {
		t.inputs.Close()
		t.inputs = nil
	}()
	elapsed := t.job.watch(stepping)
	for done < all {
		n := min(t.job.UpdateSamples(), all-done)
		from, to := t.share(n)
		samples, err := t.take(to - from)
		previous := t.pending
		u, err := t.update(samples, from, n, err)
		// While the device computes an update, the next one is prepared.
		if failed := t.settle(previous); failed != nil {
			return failed
		}
		if t.pending = u; err != nil {
			return err
		}
		done += n
		if !u.ahead || done == all || ctx.Err() != nil {
			if err := t.settle(u); err != nil {
				return err
			}
		}
		if done == all {
			if err := t.compareEpoch(elapsed()); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// share returns which of n samples of an update this process computes.
func (t *trainer) share(n int) (from, to int) {
	return dist.Share(n, t.job.Group.Rank(), t.job.Group.Size())
}

// take returns the next n samples of this process.
func (t *trainer) take(n int) ([]*input, error) {
	var samples []*input
	for range n {
		sample, err := t.next()
		if err != nil {
			return samples, err
		}
		samples = append(samples, sample)
		if t.reducer == nil {
			if err := t.checkBatch(inBatch(samples)); err != nil {
				return samples, err
			}
		}
	}
	return samples, nil
}

// inBatch describes the last of the samples of an update.
func inBatch(samples []*input) []trained {
	all := make([]trained, len(samples))
	for i, s := range samples {
		all[i] = trained{ID: s.ID, Size: [3]int(s.Image.Shape()[2:])}
	}
	return all
}

// checkBatch returns an error if the last of the samples of an update has another size than
// the first of its batch.
func (t *trainer) checkBatch(samples []trained) error {
	last := len(samples) - 1
	first, s := samples[last-last%t.plan.batch()], samples[last]
	if s.Size != first.Size {
		return fmt.Errorf("train: case %s has %s voxels, but case %s in the same batch of %d has %s; resize all volumes to one size or take patches no larger than any of them (-patch), or accumulate the gradients of several steps instead (-accumulate), whose sizes may differ",
			s.ID, times(s.Size), first.ID, t.plan.batch(), times(first.Size))
	}
	return nil
}

// times formats a size.
func times(size [3]int) string { return fmt.Sprintf("%d×%d×%d", size[0], size[1], size[2]) }

// update is an update of the weights that may still be computed.
type update struct {
	done   []trained    // all samples
	finite func() error // see optimize
	start  time.Time
	ahead  bool // the device has not been waited for
}

// update performs one update with the mean of the gradients of n samples. samples are those of
// this process, from number from on; failed is the error if they are not complete. A single
// process does not wait for its device.
func (t *trainer) update(samples []*input, from, n int, failed error) (*update, error) {
	defer func() {
		t.coming = nil
		for _, s := range samples {
			t.release(s)
		}
	}()
	if t.reducer == nil && failed != nil {
		return nil, failed
	}
	t.torn, t.coming = true, samples
	u := &update{start: time.Now()}
	norms := t.newNormExchange()
	step := func() error { return t.updateStep(u, norms, samples, from, n, failed) }
	var err error
	if norms == nil && t.reducer == nil {
		err = nn.RunStep(t.job.Backend, step)
	} else {
		err = step()
	}
	if err != nil {
		return nil, err
	}
	t.torn = false
	return u, nil
}

// updateStep is update where t.job.Backend runs a step.
func (t *trainer) updateStep(u *update, norms *normExchange, samples []*input, from, n int, err error) error {
	b, params := t.job.Backend, t.net.Parameters()
	defer b.EndStep()
	u.ahead = nn.InStep(b)
	switch {
	case norms == nil && err == nil:
		u.done, err = t.gradients(samples, from)
	case norms != nil && err == nil:
		u.done, err = t.syncGradients(norms, samples, from)
	case norms != nil:
		err = norms.finish(err, 0)
	}
	if errors.As(err, new(exchangeError)) {
		return err
	}
	if t.reducer != nil {
		u.done, err = t.together(u.done, from, err)
	}
	if err != nil {
		return err
	}
	if err := scale(b, params, n); err != nil {
		return err
	}
	for _, s := range u.done {
		if err := nn.UpdateStatistics(b, unpack(t.net, s.Statistics)); err != nil {
			return err
		}
	}
	if norms != nil {
		if err := nn.UpdateStatistics(b, norms.found); err != nil {
			return err
		}
	}
	u.finite, err = t.optimize()
	return err
}

// settle waits for the numbers of an update, which may be nil, and adds it to the state. If they
// are not finite, the error is a divergence and the device has changed no weights since.
func (t *trainer) settle(u *update) error {
	if u == nil {
		return nil
	}
	err := u.read()
	if err != nil {
		t.pending = nil
		if u.ahead {
			err = errors.Join(err, nn.ResumeUpdates(t.job.Backend))
		}
		return err
	}
	// Where updates overlap, each takes the time since the one before.
	now, start := time.Now(), u.start
	if t.settled.After(start) {
		start = t.settled
	}
	t.settled = now
	for _, s := range u.done {
		t.state.LossSum += s.Loss
		t.state.Done = append(t.state.Done, s.ID)
		t.clock.sample(now.Sub(start) / time.Duration(len(u.done)))
	}
	if t.pending == u {
		t.pending = nil
	}
	done, all := len(t.state.Done), t.samples()
	t.job.Progress.Update(fmt.Sprintf("%s  epoch %d/%d  step %d/%d  %s  loss %.5g",
		t.label, t.state.Epoch, t.job.Epochs, t.plan.steps(done), t.plan.steps(all),
		t.left(all-done, len(t.split.Valid)), u.meanLoss()))
	return nil
}

// read waits for the losses of the samples and whether the gradients were finite.
func (u *update) read() error {
	for i := range u.done {
		if err := u.done[i].read(); err != nil {
			return atSample(err, i)
		}
	}
	return u.finite()
}

// meanLoss returns the mean of the losses before the update, once they are read.
func (u *update) meanLoss() (mean float64) {
	for _, s := range u.done {
		mean += s.Loss / float64(len(u.done))
	}
	return mean
}

// read waits for the loss of the sample.
func (s *trained) read() (err error) {
	if s.later != nil {
		s.Loss, err = s.later()
		s.later = nil
	}
	return err
}

// used returns the number of samples of the epoch that updates have used.
func (t *trainer) used() int {
	n := len(t.state.Done)
	if t.pending != nil {
		n += len(t.pending.done)
	}
	return n
}

// gradients computes the gradients of the samples of this process, the first of which has the
// number from in the update. A single process stores their sum in the parameters; several give it
// to the Reducer, while the last gradients are computed.
func (t *trainer) gradients(samples []*input, from int) (done []trained, err error) {
	b, params := t.job.Backend, t.net.Parameters()
	sum := gradients{all: len(samples)}
	for i, s := range samples {
		last := i == len(samples)-1
		var ready func(p *nn.Param) error
		if last && t.reducer != nil {
			ready = sum.sender(b, t.reducer, params)
		}
		result, err := t.backward(s, t.used()+from+i, nil, ready)
		if err != nil {
			return done, atSample(err, from+i)
		}
		done = append(done, result)
		if ready != nil {
			return done, sum.sendRest(b, t.reducer)
		}
		if err := sum.add(b, params); err != nil {
			return done, err
		}
		if !last {
			b.EndStep(sum.arrays()...)
		}
	}
	if t.reducer == nil {
		sum.sum(params)
	}
	return done, nil
}

// atSample returns err, a divergence with the number of samples before it in the update.
func atSample(err error, before int) error {
	var d *divergence
	if errors.As(err, &d) {
		d.after = before
	}
	return err
}

// together adds what the other processes have computed: it stores the sum of all gradients in the
// parameters and returns all samples. err is the error of this process.
func (t *trainer) together(done []trained, from int, err error) ([]trained, error) {
	failed := t.reducer.Finish()
	own := share[trained]{Results: done}
	if errors.Is(err, errElsewhere) {
		own.Results, err = nil, nil
	}
	if err != nil {
		own.Failure = &failure{At: from + len(done)}
	}
	results, err := gatherResults(t.job, "step", own, err)
	if err = errors.Join(failed, err); err != nil {
		return nil, err
	}
	var all []trained
	for _, part := range results {
		for _, s := range part {
			all = append(all, s)
			if err := t.checkBatch(all); err != nil {
				return nil, dist.Common(err)
			}
		}
	}
	return all, receive(t.job.Backend, t.reducer, t.net.Parameters())
}

// backward computes the gradients of the loss of one sample, with the dropout of the sample of
// the given number in the epoch, from 0. sync, which may be nil, synchronizes its batch norms with
// those of other samples. ready, which may be nil, is called with each parameter whose gradient is
// final. The batch norms of an update of several samples are updated by their statistics after it.
func (t *trainer) backward(s *input, number int, sync nn.SyncFunc, ready func(*nn.Param) error) (done trained, err error) {
	tape := nn.NewTape(t.job.Backend, nn.Training, dropoutSeed(t.key.Seed, t.state.Epoch, number))
	tape.OnGradient(ready)
	if sync != nil {
		tape.SyncBatchNorm(sync)
	} else if t.job.UpdateSamples() > 1 {
		tape.KeepStatistics()
	}
	t.coming = t.coming[1:]
	ys, err := t.forward(tape, s.Sample)
	if err != nil {
		return done, err
	}
	outputs := make([]nn.Array, len(ys))
	for i, y := range ys {
		outputs[i] = y.Array()
	}
	value, gys, err := t.lossOf(outputs, s)
	if err != nil {
		return done, err
	}
	done = trained{ID: s.ID, Size: [3]int(s.Image.Shape()[2:]), later: value}
	if !nn.InStep(t.job.Backend) {
		if err := done.read(); err != nil {
			return done, err
		}
	}
	if err := t.prefetch(); err != nil { // if the next sample was not ready in forward
		return done, err
	}
	found, err := tape.Statistics()
	if err != nil {
		return done, err
	}
	if done.Statistics = pack(t.net, found); len(found) > 0 {
		// They change the running statistics, which a divergence leaves as they are.
		if err := done.read(); err != nil {
			return done, err
		}
	}
	return done, tape.BackwardAll(ys, gys)
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
	if err := t.prefetch(); err != nil {
		return nil, err
	}
	ys, err := nn.Outputs(t.net, tape, tape.Input(x))
	if err != nil {
		return nil, fmt.Errorf("train: case %s: %w", s.ID, err)
	}
	return ys, nil
}

// predictAll predicts every one of the cases with the current weights. Case i is predicted by
// process i mod p.
func (t *trainer) predictAll(ctx context.Context, of []dataset.Case, extent measure.Extent, label string) ([]outcome.Case, error) {
	rank, size := t.job.Group.Rank(), t.job.Group.Size()
	var mine []dataset.Case
	for i := rank; i < len(of); i += size {
		mine = append(mine, of[i])
	}
	cases, err := t.predictEach(ctx, mine, extent, label, len(of))
	if size == 1 || ctx.Err() != nil {
		return cases, err
	}
	own := share[outcome.Case]{Results: cases}
	if err != nil {
		own.Failure = &failure{At: rank + size*len(cases)}
	}
	results, err := gatherResults(t.job, label, own, err)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all := make([]outcome.Case, len(of))
	for i := range all {
		all[i] = results[i%size][i/size]
	}
	return all, nil
}

// predictEach predicts cases of this process, a part of all, until it is asked to stop.
func (t *trainer) predictEach(ctx context.Context, of []dataset.Case, extent measure.Extent, label string, all int) ([]outcome.Case, error) {
	size := t.job.Group.Size()
	var cases []outcome.Case
	for sample, err := range (dataset.Loader{Source: t.network.Source}).Valid(ctx, of) {
		if err != nil {
			return cases, err
		}
		start := time.Now()
		c, err := t.predict(ctx, sample, extent)
		if err != nil {
			return cases, err
		}
		cases = append(cases, c)
		t.clock.valid(time.Since(start) / time.Duration(size))
		done := min(size*len(cases), all)
		t.job.Progress.Update(fmt.Sprintf("%s  epoch %d/%d  %s %d/%d  %s",
			t.label, min(t.state.Epoch, t.job.Epochs), t.job.Epochs, label, done, all,
			t.left(0, all-done)))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if t.job.asked.Err() != nil { // the other processes hear of it when their cases are done
			break
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
	state, err := t.readWeights(t.bestPath(), t.state.BestEpoch)
	if err != nil {
		return err
	}
	return t.replaceWeights(state)
}

// readWeights reads the weights after the given number of epochs from the file that saveWeights
// has written.
func (t *trainer) readWeights(path string, epochs int) (map[string]*tensor.Dense, error) {
	state, metadata, err := weights.Load(path)
	if err != nil {
		return nil, err
	}
	return state, t.checkWeights(path, metadata, epochs)
}

// replaceWeights loads weights of a file into the network.
func (t *trainer) replaceWeights(state map[string]*tensor.Dense) error {
	if err := nn.LoadStateDict(t.job.Backend, nn.WithoutHeads(t.net), state); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	freeNow()
	return nil
}

// loadWeights loads the weights after the given number of epochs into the network of every
// process, of which only the first one reads their file.
func (t *trainer) loadWeights(path string, epochs int) error {
	if t.job.Group.Size() == 1 {
		state, err := t.readWeights(path, epochs)
		if err != nil {
			return err
		}
		return t.replaceWeights(state)
	}
	raw, err := t.job.Group.Send("weights of a file", func() ([]byte, error) {
		state, err := t.readWeights(path, epochs)
		if err != nil {
			return nil, err
		}
		return weights.Encode(state, nil)
	})
	if err != nil {
		return err
	}
	state, _, err := weights.Decode(raw)
	if err != nil {
		return err
	}
	return t.replaceWeights(state)
}

// finish writes the last weights, and evaluates the best weights from their file with all
// measures, on the cases that are reported.
func (t *trainer) finish(ctx context.Context) error {
	if err := t.saveWeights(t.lastPath(), len(t.state.History)); err != nil {
		return err
	}
	e := &evaluation{Epochs: len(t.state.History), BestEpoch: t.state.BestEpoch}
	if t.state.BestEpoch > 0 {
		if err := t.loadWeights(t.bestPath(), t.state.BestEpoch); err != nil {
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
