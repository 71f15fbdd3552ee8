package main

import (
	"context"
	_ "embed"
	"slices"
	"time"

	"gorgonia.org/tensor"

	benchpeer "github.com/x/afl/bench/internal/peer"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/workload"
)

//go:embed peer.py
var peerScript string

// peer is peer.py, which documents the protocol, in a process of its own.
type peer struct {
	*benchpeer.Peer
	version peerVersion
}

type peerVersion struct {
	Interpreter string `json:"-"`
	Python      string `json:"python"`
	Torch       string `json:"torch"`
	SciPy       string `json:"scipy"`
	Compile     bool   `json:"compile"` // PyTorch has torch.compile
}

// contender is what afl is compared with: the libraries of a peer, which evaluates losses
// directly or through torch.compile.
type contender struct {
	*peer
	compile bool
}

// contenders returns every peer, followed with compile by the same with torch.compile
// where it has that.
func contenders(peers []*peer, compile bool) []contender {
	var list []contender
	for _, p := range peers {
		list = append(list, contender{peer: p})
		if compile && p.version.Compile {
			list = append(list, contender{peer: p, compile: true})
		}
	}
	return list
}

// torch names PyTorch with the version.
func (c contender) torch() string {
	if c.compile {
		return "PyTorch " + c.version.Torch + " compiled"
	}
	return "PyTorch " + c.version.Torch
}

// sciPy names SciPy with the version.
func (c contender) sciPy() string { return "SciPy " + c.version.SciPy }

// library names what a row is compared with.
func (c contender) library(r *row) string {
	if r.isSurface() {
		return c.sciPy()
	}
	return c.torch()
}

func findPython(ctx context.Context, named string) (string, error) {
	return benchpeer.Find(ctx, named, "numpy", "scipy", "torch")
}

// startPeer starts the script, which runs until Close or the end of the context.
func startPeer(ctx context.Context, python string) (*peer, error) {
	process, err := benchpeer.Start(ctx, python, peerScript)
	if err != nil {
		return nil, err
	}
	p := &peer{Peer: process, version: peerVersion{Interpreter: python}}
	if err := p.Ask(map[string]any{"do": "describe"}, &p.version); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *peer) sendBatch(b *workload.Batch) error {
	maps := slices.Equal(b.Labels.Shape(), b.Logits.Shape())
	tensors := map[string]*tensor.Dense{"logits": b.Logits, "target": b.Labels}
	if b.VoxelWeight != nil {
		tensors["weight"] = b.VoxelWeight
	}
	return p.Send(map[string]any{"do": "batch", "shape": b.Size.Shape(), "maps": maps,
		"logits_type": b.Logits.Dtype().String(), "target_type": b.Labels.Dtype().String()}, tensors)
}

func (p *peer) sendMasks(s workload.Size, m workload.MaskPair) error {
	return p.Send(map[string]any{"do": "masks", "shape": s.Space},
		map[string]*tensor.Dense{"prediction": m.Prediction, "reference": m.Reference})
}

// measured is the response to a timed request.
type measured struct {
	Values  []float64
	Seconds timing.Samples
}

// loss evaluates a loss with the options of a call on the batch that was sent last.
func (p contender) loss(name string, c workload.Call, gradient bool, threads int, atLeast time.Duration) (m measured, err error) {
	options := map[string]any{}
	if c.LabelSmoothing > 0 {
		options["smoothing"] = c.LabelSmoothing
	}
	if c.Unreduced {
		options["reduction"] = "none"
	}
	err = p.Ask(map[string]any{"do": "loss", "loss": name, "gradient": gradient, "options": options, "compile": p.compile,
		"threads": threads, "seconds": atLeast.Seconds()}, &m)
	return m, err
}

func (p *peer) surface(spacing [3]float64, atLeast time.Duration) (m measured, err error) {
	err = p.Ask(map[string]any{"do": "surface", "spacing": spacing, "tolerance": surfaceTolerance, "seconds": atLeast.Seconds()}, &m)
	return m, err
}
