// The bench command measures the speed of package afl: every loss, forward and with
// its gradient, and the surface distances, at the input sizes of the two programs, on
// one core and on all, and some losses with every kind of call at the first size: other
// targets, a voxel weight, label smoothing, un-reduced, float64 logits, other numbers of
// channels and 2-D images. It compares with PyTorch and SciPy, which alternate with it in
// processes of their own (peer.py), one for each interpreter, and with the limit of the machine: the time to
// move the bytes that must move at the rate of a copy, or to evaluate the exponentials
// and logarithms that must be evaluated at the rate of these alone, both measured in
// the same run.
//
//	go run ./bench                          # everything, some minutes
//	go run ./bench -quick                   # a trial run on a small input
//	go run ./bench -calls soft,float64      # class indices and two other kinds of calls
//	go run ./bench -python /usr/bin/python3,venv/bin/python -compile
//	go run ./bench -sizes brats -losses afl,fl,dice
//
// afl's own numbers need Go alone, the comparison python3 with PyTorch and SciPy (the
// Debian packages python3-torch and python3-scipy). The results are written to a
// folder: a table, a CSV with every number and a chart of the ratios.
//
// The same computations, and some more metrics, are Go benchmarks without the
// comparison:
//
//	go test -run - -bench . ./bench
//
// A short comparison of the backends with each other is that of the module's root:
//
//	go test -run - -bench .
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/x/afl"
	benchpeer "github.com/x/afl/bench/internal/peer"
	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/internal/workload"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the command; it reports progress to w.
func run(ctx context.Context, args []string, w io.Writer) (err error) {
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.New("interrupted; nothing was written")
		}
	}()
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(w)
	sizes := flags.String("sizes", "picai,brats", "`list` of sizes: picai (160x128x24), brats (224x224x144), brats8 (eight samples of that), or X×Y×Z such as 96x96x96")
	losses := flags.String("losses", "all", "`list` of losses, or all, or none: "+strings.Join(afl.Names(), ", "))
	calls := flags.String("calls", "all", "`list` of kinds of calls to measure at the first size, with the losses fl, afl, dice, dice-focal and ce as far as -losses names them; or all, or none: "+strings.Join(workload.CallNames(), ", "))
	surface := flags.Bool("surface", true, "also measure the surface distances")
	repeats := flags.Int("repeats", 5, "number of `turns` of each benchmark, here and in PyTorch")
	turn := flags.Duration("turn", 100*time.Millisecond, "minimum time of a turn; a longer call is a turn of its own")
	out := flags.String("out", "", "`folder` of the results (default bench/results/<date>-<CPU>)")
	python := flags.String("python", "", "`list` of interpreters that have PyTorch and SciPy (default: the first of python3, python and /usr/bin/python3 that has them), each compared with; none for no comparison")
	monai := flags.Bool("monai", false, "compare with the classes of MONAI too, where an interpreter has it")
	compile := flags.Bool("compile", false, "compare with torch.compile too, where PyTorch has it; it takes some seconds for each loss, pass and number of cores")
	quick := flags.Bool("quick", false, "a trial run: one short turn on "+workload.Quick.Name+", in place of -sizes, -repeats and -turn")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: all options are flags, see -h", flags.Arg(0))
	}
	if *repeats < 1 {
		return fmt.Errorf("-repeats is %d, want at least 1", *repeats)
	}
	if *turn < 0 {
		return fmt.Errorf("-turn is %v, want at least 0", *turn)
	}
	cfg := config{surface: *surface, repeats: *repeats, turn: *turn, images: workload.Images}
	if cfg.sizes, err = workload.ParseSizes(*sizes); err != nil {
		return err
	}
	if *losses != "none" {
		if cfg.losses, err = workload.ParseLosses(*losses); err != nil {
			return err
		}
	}
	if cfg.calls, err = workload.ParseCalls(*calls); err != nil {
		return err
	}
	if len(cfg.losses) == 0 && !cfg.surface {
		return errors.New("nothing to measure: -losses none and -surface=false")
	}
	if *quick {
		cfg.sizes, cfg.repeats, cfg.turn = []workload.Size{workload.Quick}, 1, 0
		cfg.images = workload.QuickImages
	}

	r := &results{command: strings.Join(append([]string{"go run ./bench"}, args...), " "), date: time.Now(),
		machine: report.ThisMachine(), loadBefore: report.Load(), evaluations: measuredEvaluator.name, repeats: cfg.repeats}
	folder := *out
	if folder == "" {
		folder = filepath.Join("bench", "results", r.date.Format(time.DateOnly)+"-"+report.Slug(fmt.Sprint(r.machine.CPU, " ", r.machine.Cores)))
		if *quick {
			folder += "-quick"
		}
	}
	// Fail before minutes of work if the folder cannot be created.
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	peers, err := openPeers(ctx, *python, w)
	for _, p := range peers {
		defer p.Close() // an error here no longer matters
		fmt.Fprintf(w, "comparing with PyTorch %s and SciPy %s (%s)\n", p.version.Torch, p.version.SciPy, p.version.Interpreter)
	}
	if err != nil {
		return err
	}
	r.peers = contenders(peers, *compile, *monai)
	for _, asked := range []struct {
		way    way
		asked  bool
		refuse string
	}{
		{compiled, *compile, "-compile: no interpreter has a PyTorch with torch.compile"},
		{classes, *monai, "-monai: no interpreter has MONAI"},
	} {
		if asked.asked && !slices.ContainsFunc(r.peers, func(c contender) bool { return c.way == asked.way }) {
			return errors.New(asked.refuse)
		}
	}
	fmt.Fprintf(w, "exp and log of the limit: %s\n", r.evaluations)
	if r.rows, err = compare(ctx, cfg, r.peers, newProgress(w)); err != nil {
		return err
	}
	r.loadAfter = report.Load()
	written, err := r.write(folder)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "wrote %s\n", strings.Join(written, ", "))
	return nil
}

// openPeers starts the interpreters of a list, or the default one. If there is none, or
// none is wanted, it prints so. With an error it returns those that it has started.
func openPeers(ctx context.Context, list string, w io.Writer) (peers []*peer, err error) {
	if list == "none" {
		fmt.Fprintln(w, "no comparison, as -python is none")
		return nil, nil
	}
	if list == "" {
		found, err := findPython(ctx, "")
		if errors.Is(err, benchpeer.ErrNone) {
			fmt.Fprintf(w, "no comparison: %v; on Debian `apt-get install python3-torch python3-scipy`, or name one with -python\n", err)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		list = found
	}
	for _, word := range strings.Split(list, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			return peers, fmt.Errorf("-python is %q, want a list of interpreters without empty entries", list)
		}
		interpreter, err := findPython(ctx, word)
		if err != nil {
			return peers, err
		}
		p, err := startPeer(ctx, interpreter)
		if err != nil {
			return peers, err
		}
		same := func(other *peer) bool { return other.version.Torch == p.version.Torch }
		if i := slices.IndexFunc(peers, same); i >= 0 {
			p.Close()
			return peers, fmt.Errorf("-python names %s and %s, which both have PyTorch %s", peers[i].version.Interpreter, word, p.version.Torch)
		}
		peers = append(peers, p)
	}
	return peers, nil
}
