package train

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/nn"
)

// normExchange combines what the batch norms of an update find in the samples of all processes.
//
// The processes exchange at every batch norm, in the forward and the backward pass, and once more
// when all have ended their passes. A process that has no samples, or whose passes have ended,
// takes part until then; one that fails says so in the next exchange, in which all others end
// their passes.
type normExchange struct {
	group *dist.Group
	norms map[*nn.Buffer]int // position of the running mean among the buffers
	net   nn.Network
	// found are the statistics over all samples, in the order of the forward pass.
	found []nn.Statistics
}

// passState says where a process is in the passes of an update.
type passState string

const (
	atNorm passState = "norm"
	ended  passState = "ended"
	failed passState = "failed"
)

// normMessage is what a process contributes to an exchange. The sums are the bytes of their bits.
type normMessage struct {
	State         passState `json:"state"`
	Norm          int       `json:"norm,omitempty"` // see normExchange.norms
	Backward      bool      `json:"backward,omitempty"`
	Count         float64   `json:"count,omitempty"`
	First, Second []byte    `json:",omitempty"`
}

// errElsewhere ends the passes of a process because those of another one have failed, whose error
// all processes get from gatherResults.
var errElsewhere = errors.New("train: another process has failed")

// exchangeError is an error of an exchange itself, after which no process may wait for another.
type exchangeError struct{ error }

func (e exchangeError) Unwrap() error { return e.error }

// newNormExchange returns the exchange of an update, or nil if batch norms use the statistics of
// each sample alone.
func (t *trainer) newNormExchange() *normExchange {
	if !t.job.SyncBatchNorm || len(t.net.Buffers()) == 0 {
		return nil
	}
	e := &normExchange{group: t.job.Group, net: t.net, norms: map[*nn.Buffer]int{}}
	for i, f := range t.net.Buffers() {
		e.norms[f] = i
	}
	return e
}

// reduce combines the sums of the samples of this process, and those of all processes, as a
// binary tree over the samples; see gradients.
func (e *normExchange) reduce(samples []*nn.ChannelSums) (*nn.ChannelSums, error) {
	sums := mergeTree(samples)
	if e.group.Size() > 1 {
		all, err := e.exchange(&normMessage{
			State: atNorm, Norm: e.norms[sums.Norm.RunningMean], Backward: sums.Backward, Count: sums.Count,
			First: packBits(sums.First), Second: packBits(sums.Second),
		})
		if err != nil {
			return nil, err
		}
		sums = all
	}
	e.record(sums)
	return sums, nil
}

// record keeps the statistics of a forward pass.
func (e *normExchange) record(sums *nn.ChannelSums) {
	if !sums.Backward {
		e.found = append(e.found, sums.Statistics())
	}
}

// finish takes part in the exchanges of other processes until all have ended their passes. err is
// the error of the passes of this one, which had samples or not.
func (e *normExchange) finish(err error, samples int) error {
	if e.group.Size() == 1 || errors.Is(err, errElsewhere) || errors.As(err, new(exchangeError)) {
		return err
	}
	own := normMessage{State: ended}
	if err != nil {
		own.State = failed
	}
	for {
		sums, elsewhere := e.exchange(&own)
		switch {
		case err != nil && !errors.As(elsewhere, new(exchangeError)):
			return err
		case elsewhere != nil:
			return errors.Join(err, elsewhere)
		case sums == nil:
			return nil
		case samples > 0:
			return exchangeError{fmt.Errorf("train: process %d has passed all batch norms, but others have not", e.group.Rank())}
		}
		e.record(sums)
	}
}

// exchange returns the sums over all processes, nil if all have ended their passes. It returns
// errElsewhere if one of them has failed.
func (e *normExchange) exchange(own *normMessage) (*nn.ChannelSums, error) {
	raw, err := json.Marshal(own)
	if err != nil {
		return nil, exchangeError{fmt.Errorf("train: %w", err)}
	}
	all, err := e.group.Gather("batch norm", raw)
	if err != nil {
		return nil, exchangeError{err}
	}
	parts := make([]*nn.ChannelSums, len(all))
	var first *nn.ChannelSums
	stopped := false
	for r, raw := range all {
		var m normMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, exchangeError{fmt.Errorf("train: batch norm of process %d: %w", r, err)}
		}
		if m.State != atNorm {
			stopped = stopped || m.State == failed
			continue
		}
		buffers := e.net.Buffers()
		parts[r] = &nn.ChannelSums{
			Norm:     &nn.BatchNorm{RunningMean: buffers[m.Norm], RunningVar: buffers[m.Norm+1], Batches: buffers[m.Norm+2]},
			Backward: m.Backward, Count: m.Count, First: unpackBits(m.First), Second: unpackBits(m.Second),
		}
		if first == nil {
			first = parts[r]
		}
		if p := parts[r]; p.Norm.RunningMean != first.Norm.RunningMean || p.Backward != first.Backward {
			return nil, exchangeError{dist.Common(fmt.Errorf("train: the processes are at different batch norms, %s and %s", first.Norm.RunningMean.Name, p.Norm.RunningMean.Name))}
		}
	}
	if stopped {
		return nil, errElsewhere
	}
	return mergeTree(parts), nil
}

// mergeTree merges sums in the order of a binary tree; see dist.Half. nil are those of no samples.
func mergeTree(sums []*nn.ChannelSums) *nn.ChannelSums {
	if len(sums) == 1 {
		return sums[0]
	}
	half := dist.Half(len(sums))
	a, b := mergeTree(sums[:half]), mergeTree(sums[half:])
	switch {
	case a == nil:
		return b
	case b != nil:
		a.Merge(b)
	}
	return a
}

// syncGradients is gradients with synchronized batch norms: the samples of this process pass the
// network together. Their gradients are summed, and sent to the other processes, after the passes.
func (t *trainer) syncGradients(e *normExchange, samples []*input, from int) ([]trained, error) {
	b, params := t.job.Backend, t.net.Parameters()
	position := make(map[*nn.Param]int, len(params))
	for i, p := range params {
		position[p] = i
	}
	done, found := make([]trained, len(samples)), make([][]nn.Array, len(samples))
	failed, err := nn.SyncPasses(len(samples), func(i int, sync nn.SyncFunc) (err error) {
		found[i] = make([]nn.Array, len(params))
		done[i], err = t.backward(samples[i], t.used()+from+i, sync, func(p *nn.Param) error {
			found[i][position[p]] = p.Grad
			return nil
		})
		return err
	}, e.reduce)
	if err := e.finish(err, len(samples)); err != nil {
		return done[:failed], atSample(err, from+failed)
	}
	sum := gradients{all: len(samples)}
	for i, arrays := range found {
		for k, p := range params {
			p.Grad = arrays[k]
		}
		if i < len(samples)-1 || t.reducer == nil {
			if err := sum.add(b, params); err != nil {
				return done[:i], err
			}
			continue
		}
		send := sum.sender(b, t.reducer, params)
		for _, p := range params {
			if p.Grad == nil {
				continue
			}
			if err := send(p); err != nil {
				return done[:i], err
			}
		}
		if err := sum.sendRest(b, t.reducer); err != nil {
			return done[:i], err
		}
	}
	if t.reducer == nil {
		sum.sum(params)
	}
	return done, nil
}
