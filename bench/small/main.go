// The small command measures the speed of the losses for small lesions, with their gradients,
// on images with one lesion, with 50 of one or of three classes, and (the blob loss) with 2000,
// on all cores. It compares with the arithmetic of MONAI or of the losses' authors in PyTorch
// and SciPy (peer.py), which alternate with it in a process of their own.
//
//	go run ./bench/small                          # some minutes
//	go run ./bench/small -quick                   # a trial run on a small input
//	go run ./bench/small -python venv/bin/python -sizes picai -losses lovasz,blob
//
// A peer's call of more than -slow is measured once, without a warm-up. The results are
// written to a folder: a table, a CSV with every number and a chart of the ratios.
package main

import (
	"context"
	_ "embed"
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
	"strings"
	"time"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/bench/internal/peer"
	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/bench/internal/timing"
)

//go:embed peer.py
var script string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "small:", err)
		os.Exit(1)
	}
}

// config says what is measured.
type config struct {
	sizes      []size
	benchmarks []benchmark
	repeats    int
	turn, slow time.Duration
}

func run(ctx context.Context, args []string, w io.Writer) error {
	flags := flag.NewFlagSet("small", flag.ContinueOnError)
	flags.SetOutput(w)
	names := func() (names []string) {
		for _, b := range benchmarks {
			names = append(names, b.name)
		}
		return names
	}()
	sizeList := flags.String("sizes", "picai,brats", "`list` of sizes: picai (160x128x24), brats (224x224x144)")
	losses := flags.String("losses", "all", "`list` of benchmarks, or all: "+strings.Join(names, ", "))
	repeats := flags.Int("repeats", 5, "number of `turns` of each benchmark, here and in PyTorch")
	turn := flags.Duration("turn", 100*time.Millisecond, "minimum time of a turn; a longer call is a turn of its own")
	slow := flags.Duration("slow", 2*time.Second, "a call of PyTorch that takes this long is not repeated")
	out := flags.String("out", "", "`folder` of the results (default bench/results/<date>-<CPU>-small)")
	python := flags.String("python", "", "interpreter that has PyTorch and SciPy (default: the first of python3, python and /usr/bin/python3 that has them), or none")
	quick := flags.Bool("quick", false, "a trial run: one short turn on 24x18x12, in place of -sizes, -repeats and -turn")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: all options are flags, see -h", flags.Arg(0))
	}
	if *repeats < 1 {
		return fmt.Errorf("-repeats is %d, want at least 1", *repeats)
	}
	cfg := config{repeats: *repeats, turn: *turn, slow: *slow}
	for _, name := range strings.Split(*sizeList, ",") {
		i := slices.IndexFunc(sizes, func(s size) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("-sizes: unknown size %q, want picai or brats", name)
		}
		cfg.sizes = append(cfg.sizes, sizes[i])
	}
	wanted := strings.Split(*losses, ",")
	if *losses == "all" {
		wanted = names
	}
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("-losses: unknown benchmark %q, want all or some of %s", name, strings.Join(names, ", "))
		}
	}
	for _, b := range benchmarks { // with those whose times are units
		if slices.Contains(wanted, b.name) || slices.ContainsFunc(benchmarks, func(o benchmark) bool { return o.relative == b.name && slices.Contains(wanted, o.name) }) {
			cfg.benchmarks = append(cfg.benchmarks, b)
		}
	}
	if *quick {
		cfg.sizes, cfg.repeats, cfg.turn = []size{{"quick", [3]int{24, 18, 12}, []content{{1, 2}, {5, 2}, {6, 4}}}}, 1, 0
	}
	r := &results{command: strings.Join(append([]string{"go run ./bench/small"}, args...), " "), date: time.Now(),
		machine: report.ThisMachine(), loadBefore: report.Load(), config: cfg}
	folder := *out
	if folder == "" {
		folder = filepath.Join("bench", "results", r.date.Format(time.DateOnly)+"-"+report.Slug(fmt.Sprint(r.machine.CPU, " ", r.machine.Cores))+"-small")
		if *quick {
			folder += "-quick"
		}
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	p, err := startPeer(ctx, *python, w)
	if err != nil {
		return err
	}
	if p != nil {
		defer p.Close() // an error here no longer matters
		if err := p.Ask(map[string]any{"do": "describe"}, &r.peer); err != nil {
			return err
		}
	}
	if err := r.measure(ctx, p, w); err != nil {
		return err
	}
	r.loadAfter = report.Load()
	return r.write(folder)
}

// startPeer returns nil where there is no interpreter, or none is wanted.
func startPeer(ctx context.Context, python string, w io.Writer) (*peer.Peer, error) {
	if python == "none" {
		return nil, nil
	}
	found, err := peer.Find(ctx, python, "numpy", "scipy", "torch")
	if errors.Is(err, peer.ErrNone) {
		fmt.Fprintf(w, "no comparison: %v\n", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return peer.Start(ctx, found, script)
}

// row is a benchmark on a scene.
type row struct {
	benchmark   benchmark
	size        size
	content     content
	afl, peer   timing.Samples // seconds
	value, want float64        // of afl and of the peer, NaN without it
}

func (r *results) measure(ctx context.Context, p *peer.Peer, w io.Writer) error {
	for _, s := range r.config.sizes {
		for _, c := range s.contents {
			sc := newScene(s, c)
			if p != nil {
				if err := p.Send(map[string]any{"do": "batch", "shape": sc.logits.Shape(), "threads": runtime.NumCPU()},
					map[string]*tensor.Dense{"logits": sc.logits, "target": sc.target}); err != nil {
					return err
				}
			}
			for _, b := range r.config.benchmarks {
				if c.lesions > 50 && !b.many || c.channels > 2 && b.two {
					continue
				}
				if err := ctx.Err(); err != nil {
					return errors.New("interrupted; nothing was written")
				}
				fmt.Fprintf(w, "%s, %v: %s\n", s.name, c, b.name)
				with := p
				if b.mostLesions > 0 && c.lesions > b.mostLesions {
					with = nil
				}
				one, err := r.compare(b, sc, with)
				if err != nil {
					return fmt.Errorf("%s: %w", b.name, err)
				}
				r.rows = append(r.rows, one)
			}
		}
	}
	return nil
}

// compare measures a benchmark in turns. The value of the peer is that of afl.
func (r *results) compare(b benchmark, s scene, p *peer.Peer) (*row, error) {
	one := &row{benchmark: b, size: s.size, content: s.content, value: math.NaN(), want: math.NaN()}
	loss, opts, err := b.make(s)
	if err != nil {
		return nil, err
	}
	logits := s.logits
	if l, ok := loss.(lesionChannel); ok {
		loss = l.Loss
		x := s.logits.Data().([]float32)
		shape := slices.Clone(s.logits.Shape())
		shape[1] = 1
		logits = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x[len(x)/2:]))
	}
	grad := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(logits.Shape()...))
	call := func() (err error) {
		one.value, err = afl.GradInto(loss, logits, s.target, grad, opts...)
		return err
	}
	if err := call(); err != nil { // a warm-up
		return nil, err
	}
	for range r.config.repeats {
		runtime.GC()
		turn, err := timing.Calls(r.config.turn, call)
		if err != nil {
			return nil, err
		}
		one.afl = append(one.afl, turn...)
		if p == nil || len(one.peer) > 0 && one.peer.Max() >= r.config.slow.Seconds() {
			continue
		}
		var answer struct {
			Value   float64
			Seconds []float64
		}
		if err := p.Ask(map[string]any{"do": "measure", "loss": b.name, "at_least": r.config.turn.Seconds(), "at_most": r.config.slow.Seconds()}, &answer); err != nil {
			return nil, err
		}
		one.want = answer.Value
		one.peer = append(one.peer, answer.Seconds...)
	}
	if p != nil && !(math.Abs(one.value-one.want) <= 1e-3*math.Abs(one.value)) {
		return nil, fmt.Errorf("%s with %v: the loss is %v, but %v in PyTorch", s.size.name, s.content, one.value, one.want)
	}
	return one, nil
}
