package main

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/internal/pytorch"
)

//go:embed common.py
var commonScript string

//go:embed peer.py
var script string

// modes are the ways in which PyTorch runs a network. eager, in the default memory layout,
// is that of most programs; peer.py documents the others.
var modes = []string{"eager", "channels_last_3d", "compile", "compile_channels_last_3d"}

// compiles reports whether a mode needs torch.compile.
func compiles(mode string) bool { return strings.HasPrefix(mode, "compile") }

// peer is a process that runs peer.py or convpeer.py, which document the protocol.
type peer struct {
	version struct {
		Python  string `json:"python"`
		Torch   string `json:"torch"`
		Compile bool   `json:"compile"` // has torch.compile
		CUDA    bool   `json:"cuda"`    // can run on a GPU
	}
	interpreter string
	process     *pytorch.Process
}

// startPeer starts a script, which is killed when ctx is done.
func startPeer(ctx context.Context, python, script string) (*peer, error) {
	process, err := pytorch.Serve(ctx, python, commonScript+script)
	if err != nil {
		return nil, fmt.Errorf("-python %s: %w (-python none skips the comparison)", python, err)
	}
	p := &peer{process: process, interpreter: python}
	if err := p.process.Ask(map[string]any{"do": "describe"}, &p.version); err != nil {
		p.process.Close()
		return nil, fmt.Errorf("-python %s has no PyTorch (Debian: python3-torch; -python none skips the comparison): %w", python, err)
	}
	return p, nil
}

// startPeers starts every interpreter of a list. With an error it returns those that it has
// started.
func startPeers(ctx context.Context, list string) (peers []*peer, err error) {
	if list == "none" {
		return nil, nil
	}
	for _, python := range strings.Split(list, ",") {
		p, err := startPeer(ctx, strings.TrimSpace(python), script)
		if err != nil {
			return peers, err
		}
		peers = append(peers, p)
		for _, other := range peers[:len(peers)-1] {
			if other.version.Torch == p.version.Torch {
				return peers, fmt.Errorf("-python names %s and %s, which both have PyTorch %s", other.interpreter, p.interpreter, p.version.Torch)
			}
		}
	}
	return peers, nil
}

// parseModes returns the modes of a list.
func parseModes(list string) ([]string, error) {
	var asked []string
	for _, mode := range strings.Split(list, ",") {
		if !slices.Contains(modes, mode) {
			return nil, fmt.Errorf("-modes: unknown mode %q, want some of %s", mode, strings.Join(modes, ", "))
		}
		asked = append(asked, mode)
	}
	return asked, nil
}

// deviceFor returns PyTorch's name of a backend's device, or an error if the process cannot run there.
func (p *peer) deviceFor(backend string) (string, error) {
	index, _, onGPU := backends.GPU(backend)
	switch {
	case !onGPU:
		return "cpu", nil
	case !p.version.CUDA:
		return "", fmt.Errorf("-python %s: its PyTorch %s does not run on a GPU, as -backend %s does (-python none skips the comparison)", p.interpreter, p.version.Torch, backend)
	}
	return fmt.Sprintf("cuda:%d", index), nil
}

// peerContenders returns every peer in every mode that it supports. A mode that none supports
// is an error.
func peerContenders(peers []*peer, modes []string, limit time.Duration, backend string) ([]contender, error) {
	_, precision, _ := backends.GPU(backend)
	var list []contender
	for _, p := range peers {
		device, err := p.deviceFor(backend)
		if err != nil {
			return nil, err
		}
		for _, mode := range modes {
			if p.version.Compile || !compiles(mode) {
				list = append(list, &torchNetwork{peer: p, mode: mode, limit: limit, device: device, precision: precision.String()})
			}
		}
	}
	for _, mode := range modes {
		has := func(c contender) bool { return c.(*torchNetwork).mode == mode }
		if len(peers) > 0 && !slices.ContainsFunc(list, has) {
			return nil, fmt.Errorf("-modes: no interpreter has a PyTorch that supports %s", mode)
		}
	}
	return list, nil
}

// torchNetwork is a network in PyTorch, run in one mode.
type torchNetwork struct {
	*peer
	mode  string
	limit time.Duration // of compilation

	device, precision string // as in PyTorch: cpu or cuda:0; and peer.py
	memory            int64  // of the GPU, at most
}

func (t *torchNetwork) name() string {
	name := "PyTorch " + t.version.Torch + " " + t.mode
	if t.precision != "float32" {
		name += " " + t.precision
	}
	return name
}

func (t *torchNetwork) isPeer() bool { return true }

// open creates the network, compiles it if that is the mode, and makes one step.
func (t *torchNetwork) open(w workload, threads int) (parameters int, err error) {
	var a struct {
		Parameters int
		Failed     string
	}
	shape := []int{1, w.cfg.InChannels, w.size[0], w.size[1], w.size[2]}
	err = t.process.Ask(map[string]any{"do": "network", "name": w.name, "shape": shape, "threads": threads,
		"mode": t.mode, "limit": t.limit.Seconds(),
		"device": t.device, "precision": t.precision, "strides": w.strides()}, &a)
	if err == nil && a.Failed != "" {
		err = &unsupportedError{a.Failed}
	}
	return a.Parameters, err
}

func (t *torchNetwork) turn(_ context.Context, steps int, least time.Duration) ([]float64, error) {
	var a struct {
		Seconds []float64
		Memory  int64
	}
	err := t.process.Ask(map[string]any{"do": "step", "mode": t.mode, "steps": steps, "seconds": least.Seconds()}, &a)
	if err == nil && len(a.Seconds) < steps {
		err = fmt.Errorf("the PyTorch process made %d steps, want at least %d", len(a.Seconds), steps)
	}
	t.memory = a.Memory
	return a.Seconds, err
}

func (t *torchNetwork) close() error {
	return t.process.Ask(map[string]any{"do": "release", "mode": t.mode}, nil)
}

func (t *torchNetwork) deviceMemory() int64 { return t.memory }

// unsupportedError says why a contender cannot run a network: torch.compile did not compile it,
// or the memory of the GPU is too small.
type unsupportedError struct{ reason string }

func (e *unsupportedError) Error() string { return e.reason }
