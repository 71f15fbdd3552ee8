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
)

//go:embed peer.py
var script string

// peer is peer.py in a process of its own, whose protocol is written there.
type peer struct {
	version struct {
		Python string `json:"python"`
		Torch  string `json:"torch"`
	}
	cmd      *exec.Cmd
	requests io.WriteCloser
	answers  *bufio.Scanner
}

// startPeer starts the script; the context's end ends it.
func startPeer(ctx context.Context, python string) (*peer, error) {
	p := &peer{cmd: exec.CommandContext(ctx, python, "-c", script)}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.requests, p.answers = in, bufio.NewScanner(out)
	p.answers.Buffer(nil, 1<<24)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("-python %s: %w; -python none goes without", python, err)
	}
	if err := p.ask(map[string]any{"do": "describe"}, &p.version); err != nil {
		p.close()
		return nil, fmt.Errorf("-python %s has no PyTorch (on Debian: python3-torch); -python none goes without: %w", python, err)
	}
	return p, nil
}

func (p *peer) ask(request map[string]any, answer any) error {
	raw, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := p.requests.Write(append(raw, '\n')); err != nil {
		return fmt.Errorf("PyTorch's process: %w", err)
	}
	if !p.answers.Scan() {
		if err := p.answers.Err(); err != nil {
			return err
		}
		return errors.New("PyTorch's process ended")
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(p.answers.Bytes(), &failed); err != nil {
		return err
	}
	if failed.Error != "" {
		return errors.New("PyTorch: " + failed.Error)
	}
	return json.Unmarshal(p.answers.Bytes(), answer)
}

// network makes the network and returns its number of parameters.
func (p *peer) network(w workload, threads int) (int, error) {
	var a struct{ Parameters int }
	shape := []int{1, inChannels, w.size[0], w.size[1], w.size[2]}
	err := p.ask(map[string]any{"do": "network", "name": w.name, "shape": shape, "threads": threads}, &a)
	return a.Parameters, err
}

// step trains for at least the given seconds, at least once.
func (p *peer) step(seconds float64) ([]float64, error) {
	var a struct{ Seconds []float64 }
	err := p.ask(map[string]any{"do": "step", "seconds": seconds}, &a)
	if err == nil && len(a.Seconds) == 0 {
		err = errors.New("PyTorch's process took no step")
	}
	return a.Seconds, err
}

func (p *peer) close() {
	p.requests.Close()
	p.cmd.Wait()
}
