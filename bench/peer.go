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
	MONAI       string `json:"monai"`   // version, empty without it
	// MONAILosses names the losses for which MONAI has a class.
	MONAILosses []string `json:"monai_losses"`
}

// way is how a peer evaluates losses.
type way string

const (
	operations way = "operations" // PyTorch's, one by one
	compiled   way = "compiled"   // the same through torch.compile
	classes    way = "classes"    // MONAI's
)

// contender is what afl is compared with: the libraries of a peer, which evaluates losses
// in one way.
type contender struct {
	*peer
	way way
}

// contenders returns every peer, followed on request by the same with torch.compile and
// with MONAI's classes, where it has them.
func contenders(peers []*peer, compile, monai bool) []contender {
	var list []contender
	for _, p := range peers {
		list = append(list, contender{p, operations})
		if compile && p.version.Compile {
			list = append(list, contender{p, compiled})
		}
		if monai && p.version.MONAI != "" {
			list = append(list, contender{p, classes})
		}
	}
	return list
}

// torch names what evaluates losses, with the version.
func (c contender) torch() string {
	switch c.way {
	case compiled:
		return "PyTorch " + c.version.Torch + " compiled"
	case classes:
		return "MONAI " + c.version.MONAI
	}
	return "PyTorch " + c.version.Torch
}

// tolerance is how far values may lie from afl's. MONAI's classes sum over 7 million voxels
// in an order that loses more digits.
func (c contender) tolerance() float64 {
	if c.way == classes {
		return 2e-4
	}
	return 2e-5
}

// measures reports whether a contender takes part in a row: surfaces are measured once
// for a peer, and MONAI has classes for some losses, without voxel weights and label
// smoothing. (Its un-reduced losses have other shapes.)
func (c contender) measures(r *row) bool {
	switch {
	case c.way == operations:
		return true
	case r.isSurface():
		return false
	}
	return c.way == compiled || slices.Contains(c.version.MONAILosses, r.name) &&
		!r.call.Unreduced && !r.call.VoxelWeight && r.call.LabelSmoothing == 0
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
	err = p.Ask(map[string]any{"do": "loss", "loss": name, "gradient": gradient, "options": options, "way": string(p.way),
		"threads": threads, "seconds": atLeast.Seconds()}, &m)
	return m, err
}

// surface measures the surfaces of the masks that were sent last: their voxels, or with the
// areas by code their elements.
func (p *peer) surface(spacing [3]float64, areas []float64, atLeast time.Duration) (m measured, err error) {
	err = p.Ask(map[string]any{"do": "surface", "spacing": spacing, "areas": areas, "tolerance": surfaceTolerance, "seconds": atLeast.Seconds()}, &m)
	return m, err
}
