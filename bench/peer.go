package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/x/afl/internal/pytorch"

	"gorgonia.org/tensor"
)

//go:embed peer.py
var peerScript string

// errNoPeer says that no Python with PyTorch and SciPy was found.
var errNoPeer = errors.New("no python3 with PyTorch and SciPy found: on Debian `apt-get install python3-torch python3-scipy`, or name one that has them with -python")

// peer is peer.py in a process of its own, whose protocol is written there.
type peer struct {
	version peerVersion
	process *pytorch.Process
	folder  string // of the inputs
}

type peerVersion struct {
	Interpreter string `json:"-"`
	Python      string `json:"python"`
	Torch       string `json:"torch"`
	SciPy       string `json:"scipy"`
}

// findPython returns an interpreter that has PyTorch and SciPy: the named one,
// or where none is named the first python3 on the path or the system's own,
// which is the one that Debian's packages are for.
func findPython(ctx context.Context, named string) (string, error) {
	const has = `import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in ("numpy", "scipy", "torch")))`
	candidates := []string{"python3", "python", "/usr/bin/python3"}
	if named != "" {
		candidates = []string{named}
	}
	for _, c := range candidates {
		err := exec.CommandContext(ctx, c, "-c", has).Run()
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if named != "" {
			return "", fmt.Errorf("-python %s does not run or lacks numpy, scipy or torch: %w", named, err)
		}
	}
	return "", errNoPeer
}

// startPeer starts the script; the context's end ends it.
func startPeer(ctx context.Context, python string) (_ *peer, err error) {
	p := &peer{}
	if p.folder, err = os.MkdirTemp("", "afl-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.process, err = pytorch.Start(ctx, python, peerScript); err != nil {
		return nil, err
	}
	p.version.Interpreter = python
	return p, p.process.Ask(map[string]any{"do": "describe"}, &p.version)
}

// close ends the process and removes its folder.
func (p *peer) close() error {
	var err error
	if p.process != nil {
		err = p.process.Close()
	}
	return errors.Join(err, os.RemoveAll(p.folder))
}

// give writes tensors to files and sends a request that names them.
func (p *peer) give(request map[string]any, tensors map[string]*tensor.Dense) error {
	for name, t := range tensors {
		path := filepath.Join(p.folder, name)
		if err := writeRaw(path, t); err != nil {
			return err
		}
		request[name] = path
	}
	return p.process.Ask(request, nil)
}

func (p *peer) giveBatch(b *batch) error {
	return p.give(map[string]any{"do": "batch", "shape": b.size.shape()},
		map[string]*tensor.Dense{"logits": b.logits, "labels": b.labels})
}

func (p *peer) giveMasks(s size, m maskPair) error {
	return p.give(map[string]any{"do": "masks", "shape": s.space},
		map[string]*tensor.Dense{"prediction": m.prediction, "reference": m.reference})
}

// measured is the answer to a request that is timed.
type measured struct {
	Values  []float64
	Seconds samples
}

func (p *peer) loss(name string, gradient bool, threads int, least time.Duration) (m measured, err error) {
	err = p.process.Ask(map[string]any{"do": "loss", "loss": name, "gradient": gradient, "threads": threads, "seconds": least.Seconds()}, &m)
	return m, err
}

func (p *peer) surface(spacing [3]float64, least time.Duration) (m measured, err error) {
	err = p.process.Ask(map[string]any{"do": "surface", "spacing": spacing, "tolerance": surfaceTolerance, "seconds": least.Seconds()}, &m)
	return m, err
}
