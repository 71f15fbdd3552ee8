package train

import (
	"cmp"
	"context"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/nn"
)

// input is a training sample with what its step needs besides the image.
type input struct {
	*dataset.Sample
	box   nn.Box
	label *tensor.Dense // inside the box
	stats []afl.EvalOption
	// pinned are the tensors in pinned memory.
	pinned []*tensor.Dense
}

// startInputs begins to prepare the training samples of this process that are left of the epoch,
// in the order of mine.
func (t *trainer) startInputs(ctx context.Context, mine []bool) *dataset.Ahead[*input] {
	own := (min(t.job.UpdateSamples(), len(mine)) + t.job.Group.Size() - 1) / t.job.Group.Size()
	loader := dataset.Loader{
		Source: t.network.Source, Workers: t.job.Workers, Ahead: SamplesAhead(t.job.Workers, own), Patches: t.job.Patches,
		Skip: len(t.state.Done), Only: func(position int) bool { return position < len(mine) && mine[position] },
	}
	return dataset.TrainAhead(ctx, loader, t.split.Train, t.key.Seed, t.state.Epoch, t.input, t.release)
}

// SamplesAhead returns the number of samples that a process prepares beyond those of its current
// update, given the number of workers, 0 for the default, and of its samples in an update: as
// many as the workers prepare at once, and all of the next update.
func SamplesAhead(workers, update int) int {
	return max(cmp.Or(workers, dataset.DefaultWorkers), update)
}

// input prepares a sample for its step. The workers of the loader call it.
func (t *trainer) input(s *dataset.Sample) (*input, error) {
	stats, err := t.statistics(s)
	if err != nil {
		return nil, err
	}
	var scan onScan
	scan.takeLabel(s)
	in := &input{Sample: s, box: scan.box, label: scan.label, stats: stats}
	p, ok := t.job.Backend.(nn.Prefetcher)
	if !ok {
		return in, nil
	}
	for _, x := range []**tensor.Dense{&in.Image, &in.label} {
		if *x, err = p.Pin(*x); err != nil {
			t.release(in)
			return nil, err
		}
		in.pinned = append(in.pinned, *x)
	}
	return in, nil
}

// release gives the pinned memory of an input back, which is not used again.
func (t *trainer) release(in *input) {
	for _, x := range in.pinned {
		t.job.Backend.(nn.Prefetcher).Unpin(x)
	}
	in.pinned = nil
}

// prefetch begins to copy the next input to the device, if there is one and it is ready.
func (t *trainer) prefetch() error {
	p, ok := t.job.Backend.(nn.Prefetcher)
	if !ok {
		return nil
	}
	var next *input
	if len(t.coming) > 0 {
		next = t.coming[0]
	} else if t.inputs != nil {
		next, _ = t.inputs.Peek()
	}
	if next == nil {
		return nil
	}
	for _, x := range next.pinned {
		if err := p.Prefetch(x); err != nil {
			return err
		}
	}
	return nil
}
