// Package peer runs the computations of a benchmark in PyTorch, in a process of its
// own. The benchmarks' scripts share the losses of losses.py.
package peer

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/pytorch"
	"github.com/x/afl/internal/workload"
)

//go:embed losses.py monai_losses.py
var modules embed.FS

// ErrNone says that no Python has the modules.
var ErrNone = errors.New("no python3 found that has them; Debian has python3-numpy, python3-scipy and python3-torch")

// Find returns an interpreter that has the given modules: the named one, or without a
// name the first on the path or else /usr/bin/python3, for which a distribution's
// packages are.
func Find(ctx context.Context, named string, modules ...string) (string, error) {
	has := `import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))`
	candidates := []string{"python3", "python", "/usr/bin/python3"}
	if named != "" {
		candidates = []string{named}
	}
	for _, c := range candidates {
		err := exec.CommandContext(ctx, c, append([]string{"-c", has}, modules...)...).Run()
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if named != "" {
			return "", fmt.Errorf("-python %s does not run or lacks one of the modules %s: %w", named, strings.Join(modules, ", "), err)
		}
	}
	return "", fmt.Errorf("%s: %w", strings.Join(modules, ", "), ErrNone)
}

// Peer is a script in a process of its own, which documents its protocol, and a folder
// for its inputs.
type Peer struct {
	*pytorch.Process
	folder string // removed by Close
}

// Start starts a process that answers requests by the methods of the script's class
// Peer. The script imports losses.py and monai_losses.py as modules. The process runs until Close
// or the end of the context.
func Start(ctx context.Context, python, script string) (_ *Peer, err error) {
	p := &Peer{}
	if p.folder, err = os.MkdirTemp("", "afl-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(p.folder)
		}
	}()
	// Files rather than a command line argument, as compilers of Python functions may
	// read their source.
	if err := os.CopyFS(p.folder, modules); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(p.folder, "peer.py"), []byte(script), 0o600); err != nil {
		return nil, err
	}
	start := "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, %q); from peer import Peer"
	p.Process, err = pytorch.Serve(ctx, python, fmt.Sprintf(start, p.folder))
	return p, err
}

// Send writes tensors to files and sends a request that names them.
func (p *Peer) Send(request map[string]any, tensors map[string]*tensor.Dense) error {
	for name, t := range tensors {
		path := filepath.Join(p.folder, name)
		if err := workload.WriteRaw(path, t); err != nil {
			return err
		}
		request[name] = path
	}
	return p.Ask(request, nil)
}

// Close ends the process and removes its folder.
func (p *Peer) Close() error {
	return errors.Join(p.Process.Close(), os.RemoveAll(p.folder))
}
