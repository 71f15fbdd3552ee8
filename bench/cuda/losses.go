package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/x/afl"
	benchpeer "github.com/x/afl/bench/internal/peer"
	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/internal/workload"
	"github.com/x/afl/internal/workload/gpu"
)

// lossesOptions are the flags of the command losses.
type lossesOptions struct {
	config
	device      int
	measure     bool
	repeats     int
	repeated    workload.Size // of the batch that repeats are evaluated on
	out, python string
	budget      time.Duration
	quick       bool
}

func parseLosses(args []string, w io.Writer) (*lossesOptions, error) {
	o := &lossesOptions{repeated: workload.PICAI}
	flags := flag.NewFlagSet("bench/cuda losses", flag.ContinueOnError)
	flags.SetOutput(w)
	sizes := flags.String("sizes", "brats,picai,brats8", "`list` of sizes: picai (160x128x24), brats (224x224x144), brats8 (eight samples of that), or X×Y×Z such as 96x96x96")
	compiled := flags.String("compile", "brats,picai", "`list` of those sizes at which compiled PyTorch is measured too, which takes some seconds per loss; or none")
	losses := flags.String("losses", "all", "`list` of losses, or all: "+strings.Join(afl.Names(), ", "))
	flags.IntVar(&o.turns, "turns", 5, "number of `turns` of each measurement")
	flags.DurationVar(&o.turn, "turn", 20*time.Millisecond, "minimum time of a turn")
	flags.IntVar(&o.device, "device", 0, "ordinal `number` of the device in CUDA")
	flags.IntVar(&o.repeats, "repeats", 1000, "evaluations of each loss whose bits are compared; 0 for none")
	flags.BoolVar(&o.measure, "measure", true, "measure the times")
	flags.DurationVar(&o.budget, "budget", 0, "time after which no measurement is begun and the current one has a minute left; the results name what was skipped, and the exit status is 3 (default no limit)")
	flags.StringVar(&o.out, "out", "", "`folder` of the results (default bench/results/<date>-<GPU>)")
	flags.StringVar(&o.python, "python", "", "`interpreter` that has PyTorch and NumPy (default: the first of python3, python and /usr/bin/python3 that has them); none for no comparison")
	flags.BoolVar(&o.quick, "quick", false, "a trial run: one short turn on "+workload.Quick.Name+" without compiling, and few repeats, in place of -sizes, -compile, -turns, -turn and -repeats")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q: all options are flags, see -h", flags.Arg(0))
	case o.turns < 1:
		return nil, fmt.Errorf("-turns is %d, want at least 1", o.turns)
	case o.turn <= 0:
		return nil, fmt.Errorf("-turn is %v, want more than 0", o.turn)
	case o.repeats < 0 || o.repeats == 1:
		return nil, fmt.Errorf("-repeats is %d, want 0 or at least 2", o.repeats)
	case o.budget < 0:
		return nil, fmt.Errorf("-budget is %v, want at least 0", o.budget)
	case !o.measure && o.repeats == 0:
		return nil, errors.New("nothing to do: -measure=false and -repeats 0")
	}
	var err error
	if o.sizes, err = workload.ParseSizes(*sizes); err != nil {
		return nil, err
	}
	if *compiled != "none" {
		if o.compiled, err = workload.ParseSizes(*compiled); err != nil {
			return nil, fmt.Errorf("-compile: %w", err)
		}
	}
	if o.losses, err = workload.ParseLosses(*losses); err != nil {
		return nil, err
	}
	if o.quick {
		o.repeated = workload.Quick
		o.sizes, o.compiled, o.turns, o.turn, o.repeats = []workload.Size{workload.Quick}, nil, 1, time.Millisecond, min(o.repeats, 20)
	}
	return o, nil
}

// runLosses checks the bits of the losses and measures them; it reports progress to w.
func runLosses(ctx context.Context, args []string, w io.Writer) error {
	o, err := parseLosses(args, w)
	if err != nil {
		return err
	}
	g, err := gpu.Open(o.device)
	if err != nil {
		return err
	}
	defer g.Close()
	return runLossesOn(ctx, args, o, g, w)
}

// runLossesOn runs the command on an open device.
func runLossesOn(ctx context.Context, args []string, o *lossesOptions, g *gpu.GPU, w io.Writer) (err error) {
	fmt.Fprintln(w, g.Device())
	r := &results{command: commandLine(append([]string{"losses"}, args...)), date: time.Now(), machine: report.ThisMachine(), device: describe(g.Device()), turns: o.turns}
	if commit != "" {
		r.machine.Commit = commit
	}
	if o.budget > 0 {
		o.until = r.date.Add(o.budget)
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, o.until.Add(time.Minute), errors.New("the time (-budget) was exceeded by more than a minute"))
		defer stop()
	}
	folder := o.out
	if folder == "" {
		folder = filepath.Join("bench", "results", r.date.Format(time.DateOnly)+"-"+report.Slug(g.Device().Name))
		if o.quick {
			folder += "-quick"
		}
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	// Fail before minutes of work if the folder cannot be created.
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	r.stopped = r.fill(ctx, o, g, w)
	modules, took := g.LoadedKernels()
	fmt.Fprintf(w, "kernels: %d modules loaded in %v, compiled by the driver or from its cache\n", modules, took.Round(time.Millisecond))
	if ctx.Err() != nil { // the cause of whatever else failed
		r.stopped = context.Cause(ctx)
	}
	written, err := r.write(folder)
	if len(written) > 0 {
		fmt.Fprintf(w, "wrote %s\n", strings.Join(written, ", "))
	}
	if r.stopped == nil && r.late {
		err = errors.Join(err, errUnfinished)
	}
	return errors.Join(r.stopped, err)
}

// fill runs the checks and the measurements. After an error the results up to then are
// there.
func (r *results) fill(ctx context.Context, o *lossesOptions, g *gpu.GPU, w io.Writer) (err error) {
	if r.before, err = smi(ctx); err != nil {
		fmt.Fprintln(w, err)
		r.skipped = append(r.skipped, "The state of the device: "+err.Error())
	}
	if o.repeats > 0 {
		fmt.Fprintf(w, "repeats: %d of each loss\n", o.repeats)
		c, err := checkRepeats(ctx, g, o.repeated, o.losses, o.repeats)
		if err != nil {
			return fmt.Errorf("repeats: %w", err)
		}
		r.checks = append(r.checks, c)
	}
	if !o.measure {
		return nil
	}
	c := &comparison{config: o.config, g: g, log: w}
	if c.peer, err = openPeer(ctx, o, w); err != nil {
		return err
	}
	if c.peer != nil {
		defer c.peer.Close() // an error here no longer matters
		r.peer = &c.peer.version
	} else {
		r.skipped = append(r.skipped, "The comparison with PyTorch.")
	}
	err = c.run(ctx)
	r.rows = c.rows
	r.late = len(c.skipped) > 0
	for _, row := range c.skipped {
		r.skipped = append(r.skipped, fmt.Sprintf("%s: the time (-budget %v) was up.", row, o.budget))
	}
	if err != nil {
		return err
	}
	if len(r.before) > 0 {
		r.after, err = smi(ctx)
	}
	return err
}

// openPeer starts PyTorch on the device. If there is none, or none is wanted, it prints
// so and returns nil.
func openPeer(ctx context.Context, o *lossesOptions, w io.Writer) (*peer, error) {
	if o.python == "none" {
		fmt.Fprintln(w, "no comparison, as -python is none")
		return nil, nil
	}
	interpreter, err := benchpeer.Find(ctx, o.python, "numpy", "torch")
	if errors.Is(err, benchpeer.ErrNone) {
		fmt.Fprintf(w, "no comparison: %v\n", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := startPeer(ctx, interpreter, fmt.Sprintf("cuda:%d", o.device))
	if err != nil {
		return nil, fmt.Errorf("%w (-python none skips the comparison)", err)
	}
	fmt.Fprintf(w, "comparing with PyTorch %s on %s\n", p.version.Torch, p.version.Device)
	return p, nil
}
