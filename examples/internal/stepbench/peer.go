package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/x/afl/internal/pytorch"
)

//go:embed peer.py
var script string

// peer is a process that runs peer.py, which documents the protocol.
type peer struct {
	version struct {
		Python string `json:"python"`
		Torch  string `json:"torch"`
	}
	process *pytorch.Process
}

// startPeer starts the script, which is killed when ctx is done.
func startPeer(ctx context.Context, python string) (*peer, error) {
	process, err := pytorch.Start(ctx, python, script)
	if err != nil {
		return nil, fmt.Errorf("-python %s: %w (-python none skips the comparison)", python, err)
	}
	p := &peer{process: process}
	if err := p.process.Ask(map[string]any{"do": "describe"}, &p.version); err != nil {
		p.process.Close()
		return nil, fmt.Errorf("-python %s has no PyTorch (Debian: python3-torch; -python none skips the comparison): %w", python, err)
	}
	return p, nil
}

// network creates the network and returns its number of parameters.
func (p *peer) network(w workload, threads int) (int, error) {
	var a struct{ Parameters int }
	shape := []int{1, inChannels, w.size[0], w.size[1], w.size[2]}
	err := p.process.Ask(map[string]any{"do": "network", "name": w.name, "shape": shape, "threads": threads}, &a)
	return a.Parameters, err
}

// step trains for at least the given time and at least one step, and returns the seconds
// of each step.
func (p *peer) step(seconds float64) ([]float64, error) {
	var a struct{ Seconds []float64 }
	err := p.process.Ask(map[string]any{"do": "step", "seconds": seconds}, &a)
	if err == nil && len(a.Seconds) == 0 {
		err = errors.New("the PyTorch process returned no steps")
	}
	return a.Seconds, err
}
