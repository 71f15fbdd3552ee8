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

// peer is peer.py, which documents the protocol, in a process of its own.
type peer struct {
	*benchpeer.Peer
	version peerVersion
}

type peerVersion struct {
	Python, Torch, CUDA, Triton, NumPy, Device string
}

// mode is a way in which PyTorch evaluates a loss.
type mode string

const (
	eager    mode = "eager"
	compiled mode = "compile"
	released mode = "released" // A-FL only, with the label's statistics on the CPU
)

// modes are all modes in the order of the reports.
var modes = []mode{eager, compiled, released}

// startPeer starts the script on a device, given by its name in PyTorch. It runs until
// Close or the end of the context.
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

// sendBatch copies a batch to the device as many times as there are sets.
func (p *peer) sendBatch(in *input, sets int) error {
	return p.Send(map[string]any{"do": "batch", "shape": in.size.Shape(), "sets": sets,
		"logits_type": in.types.logits.name, "labels_type": in.types.labels.name},
		map[string]*tensor.Dense{"logits": in.logits, "labels": in.labels})
}

// prepare evaluates a loss once, which compiles it in the mode compiled. It returns the
// value and, if the gradient is wanted, the sums of its positive and negative numbers.
func (p *peer) prepare(loss string, gradient bool, how mode) (values []float64, took float64, err error) {
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

// time returns the seconds of a call, the mean of as many as together take at least the
// given time.
func (p *peer) time(loss string, gradient bool, how mode, atLeast time.Duration) (float64, error) {
	var a struct {
		Seconds float64
		Calls   int
	}
	err := p.Ask(map[string]any{"do": "time", "loss": loss, "gradient": gradient, "how": how, "seconds": atLeast.Seconds()}, &a)
	if err == nil && (a.Calls < 1 || !(a.Seconds > 0)) {
		err = fmt.Errorf("PyTorch's process took %v s in %d calls of %s", a.Seconds, a.Calls, loss)
	}
	return a.Seconds, err
}
