// The stepbench command measures a complete training step of the networks: forward pass,
// adaptive focal loss, backward pass and update. It compares them with the same networks
// in PyTorch, which run alternately in a separate process (peer.py):
//
//	go run -tags onednn ./examples/internal/stepbench                 # all, several minutes
//	go run -tags onednn ./examples/internal/stepbench -models unet -profile
//	go run ./examples/internal/stepbench -backend portable -python none
//
// The comparison needs python3 with PyTorch (Debian: python3-torch). The results are
// printed to standard output as a table; with -out they are also written to a folder as a
// table, a CSV file and a chart.
package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/x/afl/internal/machine"

	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/nn/onednn"
	"github.com/x/afl/internal/atomicfile"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "stepbench:", err)
		os.Exit(1)
	}
}

// result holds the measurements of one network.
type result struct {
	workload
	parameters  int
	ours, peers []float64 // seconds per step
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("stepbench", flag.ContinueOnError)
	flags.SetOutput(progress)
	names := flags.String("models", "all", "`list` of networks, or all: "+strings.Join(networks, ", "))
	size := flags.String("size", "", "`X,Y,Z` voxels; empty: 160,128,24, and 64,64,32 for r2unet")
	backendName := flags.String("backend", backends.Default(), "`backend`: "+strings.Join(backends.Names(), ", "))
	turns := flags.Int("turns", 3, "number of `turns` per network, for both afl and PyTorch")
	least := flags.Duration("turn", time.Second, "minimum time of a turn, which has at least one step")
	python := flags.String("python", "/usr/bin/python3", "`interpreter` that has PyTorch; none: skip the comparison")
	profiled := flags.Bool("profile", false, "print the time of each operation and shape")
	folder := flags.String("out", "", "`folder` for the results; empty: write no files")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q (-h lists the flags)", flags.Arg(0))
	case *turns < 1:
		return fmt.Errorf("-turns is %d, want at least 1", *turns)
	case *least < 0:
		return fmt.Errorf("-turn is %s, want at least 0", *least)
	}
	if *folder != "" { // fail before the long measurement
		if err := os.MkdirAll(*folder, 0o755); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
	}
	list := networks
	if *names != "all" {
		list = strings.Split(*names, ",")
	}
	var work []workload
	for _, name := range list {
		w, err := newWorkload(name, *size)
		if err != nil {
			return err
		}
		work = append(work, w)
	}
	var p *peer
	if *python != "none" {
		var err error
		if p, err = startPeer(ctx, *python); err != nil {
			return err
		}
		defer p.process.Close()
	}
	scratch, err := os.MkdirTemp("", "stepbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	choices := filepath.Join(scratch, "convolutions.json")
	var results []*result
	for _, w := range work {
		fmt.Fprintf(progress, "%s …\n", w)
		r, err := measure(ctx, w, p, *backendName, choices, *turns, *least, *profiled, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		results = append(results, r)
	}
	head := fmt.Sprintf("Measured on %s with %s, %s, %d threads", time.Now().Format("2006-01-02"), runtime.Version(), machine.CPU(), runtime.GOMAXPROCS(0))
	if p != nil {
		head += ", compared with PyTorch " + p.version.Torch
	}
	text := markdown(head, *backendName, results)
	if _, err := fmt.Fprint(out, text); err != nil && *folder == "" {
		return err // nothing else holds the measurements
	}
	if *folder == "" {
		return nil
	}
	write := func(name string, content []byte) error {
		return atomicfile.Write(filepath.Join(*folder, name), func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
	}
	if err := write("steps.md", []byte(text)); err != nil {
		return err
	}
	if err := write("steps.csv", table(results)); err != nil {
		return err
	}
	if p == nil {
		return nil // no ratios to draw
	}
	return writeChart(filepath.Join(*folder, "steps.png"), results)
}

// measure times training steps, alternating between this backend and PyTorch.
func measure(ctx context.Context, w workload, p *peer, backend, choices string, turns int, least time.Duration, profiled bool, progress io.Writer) (*result, error) {
	s, err := newStepper(w, backend, profiled, choices)
	if err != nil {
		return nil, err
	}
	r := &result{workload: w, parameters: s.parameters}
	// The first step creates kernels and allocates memory that later steps reuse.
	if _, err := s.step(); err != nil {
		return nil, err
	}
	if p != nil {
		n, err := p.network(w, runtime.GOMAXPROCS(0))
		if err != nil {
			return nil, err
		}
		if n != s.parameters {
			return nil, fmt.Errorf("the PyTorch network has %d parameters, want %d as in ours", n, s.parameters)
		}
		if _, err := p.step(0); err != nil {
			return nil, err
		}
	}
	s.profile() // discard the times of the first step
	for range turns {
		var spent time.Duration
		for n := 0; n == 0 || spent < least; n++ {
			if ctx.Err() != nil {
				return nil, errors.New("interrupted; nothing was written")
			}
			start := time.Now()
			if _, err = s.step(); err != nil {
				return nil, err
			}
			took := time.Since(start)
			r.ours = append(r.ours, took.Seconds())
			spent += took
		}
		if p == nil {
			continue
		}
		times, err := p.step(least.Seconds())
		if err != nil {
			return nil, err
		}
		r.peers = append(r.peers, times...)
	}
	if profiled {
		fmt.Fprintf(progress, "\nTime per step:\n\n%s\n", onednn.Table(s.profile(), len(r.ours)))
	}
	return r, nil
}

func least(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return slices.Min(v)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// ratio returns the time of PyTorch's fastest step divided by that of ours.
func (r *result) ratio() float64 { return least(r.peers) / least(r.ours) }

func markdown(head, backend string, results []*result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Training step\n\n%s.\n\n", head)
	fmt.Fprintf(&b, "Forward pass, adaptive focal loss, backward pass and SGD with Nesterov momentum,\nfloat32; the fastest and the median step.\n\n")
	fmt.Fprintf(&b, "| network | input | parameters | %s s | median | PyTorch s | median | ratio |\n|---|---|--:|--:|--:|--:|--:|--:|\n", backend)
	product := 1.0
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %s | %s |\n", r.name, r.input(), r.parameters,
			number(least(r.ours)), number(median(r.ours)), number(least(r.peers)), number(median(r.peers)), number(r.ratio()))
		product *= r.ratio()
	}
	if mean := math.Pow(product, 1/float64(len(results))); !math.IsNaN(mean) {
		fmt.Fprintf(&b, "\nGeometric mean of the ratios (PyTorch's fastest step over ours): %s.\n", number(mean))
	}
	return b.String()
}

func number(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// table returns a CSV with every step.
func table(results []*result) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"network", "input", "parameters", "who", "step", "seconds"})
	for _, r := range results {
		for _, side := range []struct {
			who   string
			times []float64
		}{{"afl", r.ours}, {"pytorch", r.peers}} {
			for i, t := range side.times {
				w.Write([]string{r.name, r.input(), strconv.Itoa(r.parameters), side.who, strconv.Itoa(i), strconv.FormatFloat(t, 'g', -1, 64)})
			}
		}
	}
	w.Flush()
	return b.Bytes()
}
