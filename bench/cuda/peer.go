package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"gorgonia.org/tensor"

	benchpeer "github.com/x/afl/bench/internal/peer"
)

//go:embed peer.py
var peerScript string

// peer is peer.py in a process of its own, whose protocol is written there.
type peer struct {
	*benchpeer.Peer
	version peerVersion
}

type peerVersion struct {
	Python, Torch, CUDA, Triton, NumPy, Device string
}

// The ways in which PyTorch evaluates a loss.
type manner string

const (
	eager    manner = "eager"
	compiled manner = "compile"
	released manner = "released" // A-FL alone, its statistics on the CPU
)

// manners are all of them, in the order of the reports.
var manners = []manner{eager, compiled, released}

// startPeer starts the script on a device, as PyTorch names it. The context's end
// ends it.
func startPeer(ctx context.Context, python, device string) (*peer, error) {
	process, err := benchpeer.Start(ctx, python, peerScript)
	if err != nil {
		return nil, err
	}
	p := &peer{Peer: process}
	if err := p.Ask(map[string]any{"do": "open", "device": device}, &p.version); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// giveBatch makes so many sets of a batch on the device.
func (p *peer) giveBatch(in *input, sets int) error {
	return p.Give(map[string]any{"do": "batch", "shape": in.size.Shape(), "sets": sets,
		"logits_type": in.types.logits.name, "labels_type": in.types.labels.name},
		map[string]*tensor.Dense{"logits": in.logits, "labels": in.labels})
}

// prepare evaluates a loss once, which compiles it where that is the manner, and
// returns its value and, with its gradient, the sums of the gradient's positive
// and negative numbers.
func (p *peer) prepare(loss string, gradient bool, how manner) (values []float64, took float64, err error) {
	var a struct {
		Values  []float64
		Seconds float64
	}
	err = p.Ask(map[string]any{"do": "prepare", "loss": loss, "gradient": gradient, "how": how}, &a)
	if err == nil && len(a.Values) == 0 {
		err = fmt.Errorf("PyTorch's process returned no value of %s", loss)
	}
	return a.Values, a.Seconds, err
}

// time returns the seconds of a call, the mean of as many as take at least so
// long together.
func (p *peer) time(loss string, gradient bool, how manner, least time.Duration) (float64, error) {
	var a struct {
		Seconds float64
		Calls   int
	}
	err := p.Ask(map[string]any{"do": "time", "loss": loss, "gradient": gradient, "how": how, "seconds": least.Seconds()}, &a)
	if err == nil && (a.Calls < 1 || !(a.Seconds > 0)) {
		err = fmt.Errorf("PyTorch's process took %v s in %d calls of %s", a.Seconds, a.Calls, loss)
	}
	return a.Seconds, err
}
