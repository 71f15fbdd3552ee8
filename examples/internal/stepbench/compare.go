package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	gpu "github.com/x/afl/cuda"
	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/examples/internal/nn/onednn"
)

// contender trains a network step by step: one of our backends, or PyTorch in some mode.
type contender interface {
	name() string
	isPeer() bool
	// open creates the network and makes a first step, which compiles and allocates what later
	// steps reuse. An *unsupportedError says that the contender cannot run this network.
	open(w workload, threads int) (parameters int, err error)
	// turn makes at least the given number of steps, for at least the given time, and returns the
	// seconds of each.
	turn(ctx context.Context, steps int, least time.Duration) ([]float64, error)
	// deviceMemory returns the most memory of a GPU that was in use, in bytes; 0 on the CPU.
	deviceMemory() int64
	close() error
}

// result holds the measurements of one network.
type result struct {
	network, input string
	parameters     int
	date, machine  string
	sides          []side
}

// side holds the steps of one contender.
type side struct {
	who     string
	peer    bool
	seconds []float64 // of each step; empty if the contender failed
	failure string
}

// compare times training steps of all contenders, which alternate.
func compare(ctx context.Context, w workload, contenders []contender, turns, steps int, least time.Duration, progress io.Writer) (r *result, err error) {
	r = &result{network: w.name, input: w.input(), date: time.Now().Format(time.DateOnly), machine: thisMachine()}
	var opened []contender
	defer func() {
		for _, c := range opened {
			err = errors.Join(err, c.close())
		}
		runtime.GC() // releases the memory of backends
	}()
	at := map[contender]int{}
	for i, c := range contenders {
		r.sides = append(r.sides, side{who: c.name(), peer: c.isPeer()})
		start := time.Now()
		n, err := c.open(w, runtime.GOMAXPROCS(0))
		if unsupported := (*unsupportedError)(nil); errors.As(err, &unsupported) {
			r.sides[i].failure = unsupported.reason
			fmt.Fprintf(progress, "  %s failed: %s\n", c.name(), unsupported.reason)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name(), err)
		}
		opened = append(opened, c)
		at[c] = i
		fmt.Fprintf(progress, "  %s: first step after %.1f s\n", c.name(), time.Since(start).Seconds())
		if r.parameters == 0 {
			r.parameters = n
		}
		if o, ok := c.(*ownNetwork); ok && o.gpu != nil && at[c] == 0 {
			r.machine += ", " + o.gpu.Device().Name
		}
		if n != r.parameters {
			return nil, fmt.Errorf("%s has %d parameters, want %d as in ours", c.name(), n, r.parameters)
		}
	}
	for range turns {
		for _, c := range opened {
			if ctx.Err() != nil {
				return nil, errors.New("interrupted")
			}
			times, err := c.turn(ctx, steps, least)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name(), err)
			}
			r.sides[at[c]].seconds = append(r.sides[at[c]].seconds, times...)
		}
	}
	for _, c := range opened {
		if m := c.deviceMemory(); m > 0 {
			fmt.Fprintf(progress, "  %s: %.2f GiB of the GPU's memory\n", c.name(), float64(m)/(1<<30))
		}
		if o, ok := c.(*ownNetwork); ok && o.profiled {
			fmt.Fprintf(progress, "\nTime per step, %s:\n\n%s\n", c.name(), onednn.Table(o.profile(), len(r.sides[at[c]].seconds)))
		}
	}
	return r, nil
}

// compareAlone times training steps of one contender after the other.
func compareAlone(ctx context.Context, w workload, contenders []contender, turns, steps int, least time.Duration, progress io.Writer) (*result, error) {
	var all *result
	for _, c := range contenders {
		r, err := compare(ctx, w, []contender{c}, turns, steps, least, progress)
		switch {
		case err != nil:
			return nil, err
		case all == nil:
			all = r
			continue
		case all.parameters == 0: // those before failed
			all.parameters = r.parameters
		case r.parameters != 0 && r.parameters != all.parameters:
			return nil, fmt.Errorf("%s has %d parameters, want %d as in ours", c.name(), r.parameters, all.parameters)
		}
		all.sides = append(all.sides, r.sides...)
	}
	return all, nil
}

// ownNetwork is a network of package models on one of our backends.
type ownNetwork struct {
	*stepper
	backendName string
	profiled    bool

	convolutions cuda.Convolutions // on a GPU
	gpu          *gpu.Engine       // nil on the CPU
}

func (o *ownNetwork) name() string {
	if o.convolutions != cuda.Own {
		return o.backendName + " " + o.convolutions.String()
	}
	return o.backendName
}

func (o *ownNetwork) isPeer() bool { return false }

func (o *ownNetwork) open(w workload, _ int) (parameters int, err error) {
	b, err := o.openBackend()
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(unsupported(err), o.close())
		}
	}()
	if o.stepper, err = newStepper(w, b); err != nil {
		return 0, err
	}
	if _, err = o.step(); err != nil {
		return 0, err
	}
	o.profile() // discard the times of the first step
	return o.parameters, nil
}

// openBackend opens the backend that computes the network's convolutions as is wanted.
func (o *ownNetwork) openBackend() (nn.Backend, error) {
	b, err := backends.Open(o.backendName, backends.Options{Profile: o.profiled})
	if err != nil {
		return nil, err
	}
	if o.gpu = cuda.Engine(b); o.gpu == nil {
		return b, nil
	}
	if err := cuda.SetConvolutions(b, o.convolutions); err != nil {
		return nil, errors.Join(&unsupportedError{oneLine(err.Error())}, o.close()) // cuDNN is not installed
	}
	return b, nil
}

func (o *ownNetwork) turn(ctx context.Context, steps int, least time.Duration) (seconds []float64, err error) {
	for spent := time.Duration(0); len(seconds) < steps || spent < least; {
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
		start := time.Now()
		if _, err := o.step(); err != nil {
			return nil, err
		}
		took := time.Since(start)
		seconds = append(seconds, took.Seconds())
		spent += took
	}
	return seconds, nil
}

// deviceMemory includes what the pool kept for reuse.
func (o *ownNetwork) deviceMemory() int64 { return o.gpu.Memory().PeakReserved }

func (o *ownNetwork) close() error {
	o.stepper = nil
	return o.gpu.Close() // of the CPU nothing is left to close
}

// merge returns the results with one of a network added, in place of an earlier one.
func merge(results []*result, r *result) []*result {
	all := append(slices.DeleteFunc(slices.Clone(results), func(b *result) bool { return b.network == r.network }), r)
	slices.SortStableFunc(all, func(a, b *result) int {
		return slices.Index(networks, a.network) - slices.Index(networks, b.network)
	})
	return all
}
