package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gorgonia.org/tensor"
)

//go:embed peer.py
var peerScript []byte

// errNoPeer says that no Python with PyTorch and SciPy was found.
var errNoPeer = errors.New("no python3 with PyTorch and SciPy found: on Debian `apt-get install python3-torch python3-scipy`, or name one that has them with -python")

// peer is peer.py in a process of its own, whose protocol is written there.
type peer struct {
	version  peerVersion
	cmd      *exec.Cmd
	requests io.WriteCloser
	answers  *bufio.Scanner
	folder   string // of the script and the inputs
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
	script := filepath.Join(p.folder, "peer.py")
	if err := os.WriteFile(script, peerScript, 0o600); err != nil {
		return nil, err
	}
	p.cmd = exec.CommandContext(ctx, python, script)
	p.cmd.Stderr = os.Stderr
	if p.requests, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = bufio.NewScanner(out)
	p.answers.Buffer(nil, 16<<20) // one line holds all seconds of a request
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.version.Interpreter = python
	return p, p.ask(map[string]any{"do": "describe"}, &p.version)
}

// close ends the process and removes its folder.
func (p *peer) close() error {
	var err error
	if p.cmd != nil && p.cmd.Process != nil {
		p.requests.Close() // the script ends with its input
		err = p.cmd.Wait()
	}
	return errors.Join(err, os.RemoveAll(p.folder))
}

// ask sends a request and reads the answer into answer, where it is not nil.
func (p *peer) ask(request map[string]any, answer any) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := p.requests.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("ask PyTorch: %w", err)
	}
	if !p.answers.Scan() {
		return fmt.Errorf("PyTorch's process ended without an answer to %s: %w", line, errors.Join(p.answers.Err(), io.ErrUnexpectedEOF))
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(p.answers.Bytes(), &failed); err != nil {
		return fmt.Errorf("PyTorch's process answered %q: %w", p.answers.Text(), err)
	}
	if failed.Error != "" {
		return fmt.Errorf("PyTorch's process, asked %s: %s", line, strings.TrimSpace(failed.Error))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(p.answers.Bytes(), answer)
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
	return p.ask(request, nil)
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
	err = p.ask(map[string]any{"do": "loss", "loss": name, "gradient": gradient, "threads": threads, "seconds": least.Seconds()}, &m)
	return m, err
}

func (p *peer) surface(spacing [3]float64, least time.Duration) (m measured, err error) {
	err = p.ask(map[string]any{"do": "surface", "spacing": spacing, "tolerance": surfaceTolerance, "seconds": least.Seconds()}, &m)
	return m, err
}
