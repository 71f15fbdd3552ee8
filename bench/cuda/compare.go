package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"gorgonia.org/tensor"

	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/workload"
	"github.com/x/afl/internal/workload/gpu"
)

// config says what to measure.
type config struct {
	sizes    []workload.Size
	compiled []workload.Size // sizes at which compiled PyTorch is measured too
	losses   []string
	turns    int
	turn     time.Duration // minimum of a turn
	until    time.Time     // no row is begun after it; zero for no limit
}

// plan is what each size is measured with.
type plan struct {
	types  types
	losses []string // nil for all
	call   workload.Call
}

// plans are float32 logits and uint8 labels for every loss, and other types and other kinds
// of calls for some.
func plans() []plan {
	list := []plan{
		{types: types{float32s, uint8s}},
		{types: types{float32s, int64s}, losses: []string{"afl"}}, // the usual labels in PyTorch
		{types: types{bfloat16s, uint8s}, losses: []string{"afl", "ce", "dice", "dice-ce"}},
		{types: types{float16s, uint8s}, losses: []string{"afl", "ce", "dice", "dice-ce"}},
	}
	for _, c := range workload.Calls {
		if c.Unreduced || c.Float64 || c.Channels != 0 || c.Images {
			continue
		}
		p := plan{types: types{float32s, uint8s}, call: c}
		if c.Target == workload.OneHot || c.Target == workload.Soft {
			p.types.labels = float32s
		}
		for _, name := range []string{"afl", "ce", "dice-focal"} {
			if c.Loss(name) == name {
				p.losses = append(p.losses, name)
			}
		}
		list = append(list, p)
	}
	return list
}

// comparison measures rows on a device, alternating with PyTorch if there is a peer.
type comparison struct {
	config
	g       *gpu.GPU
	peer    *peer // or nil
	log     io.Writer
	rows    []*row
	skipped []string // rows that there was no time for
}

// run measures all rows. After an error c.rows holds those that were completed.
func (c *comparison) run(ctx context.Context) error {
	for _, s := range c.sizes {
		var host *workload.Batch
		for _, p := range plans() {
			rows, err := c.plan(s, p)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				continue
			}
			if c.late() {
				c.skip(rows)
				continue
			}
			if host == nil {
				host = workload.NewBatch(s)
			}
			if err := c.batch(ctx, host, p, rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// late reports whether the time is up.
func (c config) late() bool { return !c.until.IsZero() && time.Now().After(c.until) }

// skip notes rows that are not measured.
func (c *comparison) skip(rows []*row) {
	for _, r := range rows {
		c.skipped = append(c.skipped, r.String())
	}
}

func (c *comparison) plan(s workload.Size, p plan) ([]*row, error) {
	var rows []*row
	for _, name := range c.losses {
		if p.losses != nil && !slices.Contains(p.losses, name) {
			continue
		}
		for _, gradient := range []bool{false, true} {
			r, err := newRow(name, gradient, s, p.types, p.call)
			if err != nil {
				return nil, err
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// batch measures the rows of one batch.
func (c *comparison) batch(ctx context.Context, host *workload.Batch, p plan, rows []*row) (err error) {
	var in *input
	if isOther(p.call) {
		in = newCallInput(p.call, host.Size, p.types)
	} else if in, err = newInput(host, p.types); err != nil {
		return err
	}
	fewest, most := int64(math.MaxInt64), int64(0)
	for _, r := range rows {
		fewest, most = min(fewest, r.work.Bytes), max(most, r.work.Bytes)
	}
	b, err := c.g.NewBatch(in.logits, in.labels, in.voxelWeight)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", in.size, p.types, err)
	}
	defer func() { err = errors.Join(err, b.Release()) }()
	copies, err := c.g.NewCopies(fewest, most)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", in.size, p.types, err)
	}
	defer func() { err = errors.Join(err, copies.Release()) }()
	if c.peer != nil && !isOther(p.call) {
		if err := c.peer.sendBatch(in, b.Sets()); err != nil {
			return fmt.Errorf("%s, %s: %w", in.size, p.types, err)
		}
	}
	for i, r := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.late() {
			c.skip(rows[i:])
			return nil
		}
		if err := c.measure(ctx, r, in, b, copies, host.Grad); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
		c.rows = append(c.rows, r)
		fmt.Fprintln(c.log, r.line())
	}
	return nil
}

// modes are the modes in which PyTorch evaluates a row. Of other kinds of calls there is
// no comparison.
func (c *comparison) modes(r *row) []mode {
	if c.peer == nil || isOther(r.call) {
		return nil
	}
	list := []mode{eager}
	if slices.Contains(c.compiled, r.size) && r.types.logits == float32s {
		list = append(list, compiled)
	}
	if r.loss == "afl" && r.gradient && r.types.logits == float32s {
		list = append(list, released)
	}
	return list
}

// measure measures a row: it compares the value and gradient, then times the calls, the
// copies and PyTorch in alternation. hostGrad is memory for the CPU's gradient.
func (c *comparison) measure(ctx context.Context, r *row, in *input, b *gpu.Batch, copies *gpu.Copies, hostGrad *tensor.Dense) error {
	l, err := r.call.NewLoss(r.loss)
	if err != nil {
		return err
	}
	r.sets = b.Sets()
	value, deviceGrad, err := b.Evaluate(l, r.gradient)
	if err != nil {
		return err
	}
	var grad []float32
	if r.gradient {
		if grad, err = widen(deviceGrad); err != nil {
			return err
		}
	}
	r.value = value
	if !r.gradient {
		hostGrad = nil
	}
	cpu, err := onCPU(l, in, hostGrad)
	if err != nil {
		return err
	}
	if err := cpu.agrees(value, grad, r.types); err != nil {
		return err
	}

	var peers []mode
	for _, how := range c.modes(r) {
		values, took, err := c.peer.prepare(r.loss, r.gradient, how)
		if err != nil {
			if err := c.failed(ctx, r, how, err); err != nil {
				return err
			}
			continue
		}
		if err := agreesWithPeer(value, grad, values, r.types); err != nil {
			return fmt.Errorf("PyTorch (%s): %w", how, err)
		}
		r.peerValues[how] = values[0]
		if how == compiled {
			r.compiling = took
		}
		peers = append(peers, how)
	}

	rounds := b.Sets()
	graph, err := c.g.Capture(func() error {
		for i := range rounds {
			if err := b.Enqueue(l, i, r.gradient); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer graph.Close()
	copyGraph, err := c.g.Capture(func() error {
		for i := range copies.Pairs() {
			if err := copies.Enqueue(i, r.work.Bytes); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer copyGraph.Close()

	watches := []struct {
		watch *gpu.Stopwatch
		into  *timing.Samples
	}{
		{&gpu.Stopwatch{Call: func(i int) error { return b.Enqueue(l, i, r.gradient) }, Per: 1}, &r.calls},
		{&gpu.Stopwatch{Call: func(i int) error { return copies.Enqueue(i, r.work.Bytes) }, Per: 1}, &r.copies},
		{&gpu.Stopwatch{Call: func(int) error { return graph.Launch() }, Per: rounds}, &r.graph},
		{&gpu.Stopwatch{Call: func(int) error { return copyGraph.Launch() }, Per: copies.Pairs()}, &r.copyGraph},
	}
	for _, w := range watches { // warm-up
		if _, err := w.watch.Turn(c.g, c.turn); err != nil {
			return err
		}
	}
	for range c.turns {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, w := range watches {
			seconds, err := w.watch.Turn(c.g, c.turn)
			if err != nil {
				return err
			}
			*w.into = append(*w.into, seconds)
		}
		for _, how := range peers {
			if r.failed[how] != "" {
				continue
			}
			seconds, err := c.peer.time(r.loss, r.gradient, how, c.turn)
			if err != nil {
				if err := c.failed(ctx, r, how, err); err != nil {
					return err
				}
				continue
			}
			r.peers[how] = append(r.peers[how], seconds)
		}
	}
	return c.g.Synchronize()
}

// failed notes that PyTorch could not evaluate a loss, which it may be unable to compile
// or lack the memory for. That is a result and does not end the run, unless the context
// has ended.
func (c *comparison) failed(ctx context.Context, r *row, how mode, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.failed[how] = err.Error()
	delete(r.peers, how)
	fmt.Fprintf(c.log, "%s: PyTorch (%s): %v\n", r, how, err)
	return nil
}

// line summarizes a row for the log.
func (r *row) line() string {
	s := fmt.Sprintf("%s: %s µs, %.2f of a copy", r, micro(r.calls), r.share())
	for _, how := range modes {
		if len(r.peers[how]) > 0 {
			s += fmt.Sprintf(", %s %.1f×", how, r.ratio(how))
		}
	}
	return s
}
