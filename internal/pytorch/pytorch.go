// Package pytorch runs a Python script that answers requests, one JSON object per
// line. The benchmarks use it to have PyTorch do the same work.
package pytorch

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
	"strings"
)

// Process is a running script. It must not be used by several goroutines at once.
type Process struct {
	cmd      *exec.Cmd
	requests io.WriteCloser
	answers  *bufio.Scanner
}

// Start runs the source text script with the interpreter python. The script shares
// this program's standard error and is killed when ctx is done.
func Start(ctx context.Context, python, script string) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(ctx, python, "-c", script)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.requests, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = bufio.NewScanner(out)
	p.answers.Buffer(nil, 16<<20) // one line holds all timings of a request
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

//go:embed serve.py
var serveScript string

// Serve starts a process that answers requests by the methods of the class Peer, which the source
// text script has to define: serve.py says how.
func Serve(ctx context.Context, python, script string) (*Process, error) {
	return Start(ctx, python, script+"\n"+serveScript+"\nserve(Peer())\n")
}

// Ask sends a request and decodes the response into answer unless that is nil. A
// response with an "error" field is returned as an error.
func (p *Process) Ask(request map[string]any, answer any) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := p.requests.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("ask PyTorch: %w", err)
	}
	if !p.answers.Scan() {
		return fmt.Errorf("PyTorch process ended without an answer to %s: %w", line, errors.Join(p.answers.Err(), io.ErrUnexpectedEOF))
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(p.answers.Bytes(), &failed); err != nil {
		return fmt.Errorf("PyTorch process answered %q: %w", p.answers.Text(), err)
	}
	if failed.Error != "" {
		return fmt.Errorf("PyTorch process failed on request %s: %s", line, strings.TrimSpace(failed.Error))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(p.answers.Bytes(), answer)
}

// Close closes the script's input, at whose end the script exits, and waits for it.
func (p *Process) Close() error {
	p.requests.Close()
	return p.cmd.Wait()
}
