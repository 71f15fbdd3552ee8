// Command scalebench measures training steps in several processes and estimates how training
// would scale to many machines.
//
//	go run -tags onednn ./examples/internal/scalebench -out DIR
//
// It starts itself by mpirun with 1, 2 and 4 processes on this machine, each of which trains on
// one random volume per step, and writes measured.csv. From the times at which a single process
// has the gradient of each parameter it estimates, by a model of the networks named in
// fabrics, the steps of up to 1,024 processes, each with the cores of this machine, and writes
// model.csv and scaling.png. The two are never mixed: a row is either measured or modeled.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/models"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scalebench:", err)
		os.Exit(1)
	}
}

// settings are the values of the flags.
type settings struct {
	out, launcher, processes, models, alone, backend string
	steps                                            int
	process                                          bool
}

func run(args []string) error {
	var s settings
	f := flag.NewFlagSet("scalebench", flag.ContinueOnError)
	f.StringVar(&s.out, "out", "", "`folder` to which the results are written")
	f.StringVar(&s.launcher, "launcher", "mpirun.mpich", "`command` that starts processes with -n; its words are separated by spaces")
	f.StringVar(&s.processes, "processes", "1,2,4", "`numbers` of processes to measure")
	f.StringVar(&s.models, "models", strings.Join(models.PaperNames(), ","), "`networks`")
	f.StringVar(&s.alone, "alone", "", "`networks` of which only steps of a single process are measured, for the model")
	f.StringVar(&s.backend, "backend", backends.Default(), "compute `backend`")
	f.IntVar(&s.steps, "steps", 5, "`number` of steps, after one that is not counted")
	f.BoolVar(&s.process, "process", false, "be one of the processes")
	if err := f.Parse(args); err != nil {
		return err
	}
	if s.steps < 1 {
		return fmt.Errorf("-steps is %d, want at least 1", s.steps)
	}
	if s.process {
		return s.asProcess()
	}
	if s.out == "" {
		return errors.New("-out is missing")
	}
	var measured []measurement
	alone := strings.FieldsFunc(s.alone, func(r rune) bool { return r == ',' })
	for i, model := range append(strings.Split(s.models, ","), alone...) {
		processes := strings.Split(s.processes, ",")
		if i > strings.Count(s.models, ",") {
			processes = []string{"1"}
		}
		for _, text := range processes {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return fmt.Errorf("-processes: %q is not a number of processes", text)
			}
			m, err := s.measure(model, n)
			if err != nil {
				return fmt.Errorf("%s, %d processes: %w", model, n, err)
			}
			fmt.Printf("%-14s %d processes of %d threads: %.3f s a step, %.0f %% waiting, %.1f MB\n", model, n, m.Threads, m.Step, 100*m.Waiting, float64(m.Bytes)/1e6)
			measured = append(measured, m)
		}
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	return errors.Join(
		writeMeasured(filepath.Join(s.out, "measured.csv"), measured),
		writeModel(filepath.Join(s.out, "model.csv"), filepath.Join(s.out, "scaling.png"), measured),
	)
}

// measure starts n processes that train together.
func (s *settings) measure(model string, n int) (m measurement, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	words := append(strings.Fields(s.launcher), "-n", strconv.Itoa(n), self, "-process", "-models", model, "-backend", s.backend, "-steps", strconv.Itoa(s.steps))
	cmd := exec.CommandContext(context.Background(), words[0], words[1:]...)
	threads := max(1, runtime.NumCPU()/n)
	cmd.Env = append(slices.Clone(os.Environ()), fmt.Sprintf("GOMAXPROCS=%d", threads), fmt.Sprintf("OMP_NUM_THREADS=%d", threads), "OMP_WAIT_POLICY=passive")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("%w: %s", err, &stderr)
	}
	// Only the first process prints.
	return m, json.Unmarshal(out, &m)
}
