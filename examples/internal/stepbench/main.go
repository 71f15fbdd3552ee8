// The stepbench command measures a complete training step of the networks: forward pass,
// adaptive focal loss, backward pass and update. It compares them with the same networks
// in PyTorch, which run alternately in processes of their own (peer.py), one for each
// interpreter, in several modes:
//
//	go run -tags onednn ./examples/internal/stepbench                 # all, several minutes
//	go run -tags onednn ./examples/internal/stepbench -models unet -profile
//	go run -tags onednn ./examples/internal/stepbench -python /usr/bin/python3,venv/bin/python -modes eager,channels_last_3d,compile
//	go run ./examples/internal/stepbench -backend portable -python none
//	go run ./examples/internal/stepbench -backend cuda/tf32 -size 224,224,144 -channels 4
//
// On a GPU PyTorch runs on the same one in the same precision (peer.py says how), and a step
// ends when the device has completed its work. Three commands take a part of a step on a GPU:
//
//	go run ./examples/internal/stepbench kernels          # the driver compiles every module
//	go run ./examples/internal/stepbench repeats          # steps from the same start have equal bits
//	go run ./examples/internal/stepbench convolutions     # each convolution of the networks, beside cuDNN and PyTorch
//
// A run that -budget has cut short has the exit status 3; -resume continues it.
//
// The comparison needs python3 with PyTorch (Debian: python3-torch). The results are
// printed to standard output as a table; with -out they are also written to a folder as a
// table, a CSV file and a chart, together with those that the folder has of other networks.
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

	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/nn/cuda"
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
		if left := (*unfinishedError)(nil); errors.As(err, &left) {
			os.Exit(statusUnfinished)
		}
		os.Exit(1)
	}
}

// commands are those besides the measurement of steps, by their name, the first argument.
var commands = map[string]func(ctx context.Context, args []string, out, progress io.Writer) error{
	"kernels": assemble, "repeats": repeat, "convolutions": measureConvolutions,
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) > 0 && commands[args[0]] != nil {
		return commands[args[0]](ctx, args[1:], out, progress)
	}
	start := time.Now()
	flags := flag.NewFlagSet("stepbench", flag.ContinueOnError)
	flags.SetOutput(progress)
	names := flags.String("models", "all", "`list` of networks, or all: "+strings.Join(networks, ", "))
	size := flags.String("size", "", "`X,Y,Z` voxels; empty: 160,128,24, and 64,64,32 for r2unet")
	backendName := flags.String("backend", backends.Default(), "`backend`: "+strings.Join(backends.Names(), ", "))
	channels := flags.Int("channels", 3, "`number` of channels of the volumes")
	convolutionList := flags.String("convolutions", "own", "`list` of what computes the convolutions on a GPU, each measured: own, cudnn, auto")
	turns := flags.Int("turns", 3, "number of `turns` per network, for both afl and PyTorch")
	steps := flags.Int("steps", 3, "minimum number of `steps` of a turn; the first ones may wait for memory that the system has taken meanwhile")
	least := flags.Duration("turn", time.Second, "minimum time of a turn")
	python := flags.String("python", "/usr/bin/python3", "`list` of interpreters that have PyTorch, each compared with; none: skip the comparison")
	modeList := flags.String("modes", "eager,channels_last_3d", "`list` of ways to run PyTorch, each where the interpreter supports it: "+strings.Join(modes, ", "))
	limit := flags.Duration("compile_limit", 10*time.Minute, "longest time to compile one network, after which that is reported as failed")
	profiled := flags.Bool("profile", false, "print the time of each operation and shape")
	budget := flags.Duration("budget", 0, "`time` after which no network is begun; those left out are named, and the exit status is 3 (default no limit)")
	alone := flags.Bool("alone", false, "open one contender after the other instead of alternating, for networks of which several do not fit in a GPU's memory")
	resume := flags.Bool("resume", false, "leave out the networks of which the folder -out has results")
	folder := flags.String("out", "", "`folder` for the results, in which those of other networks are kept; empty: write no files")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q (-h lists the flags)", flags.Arg(0))
	case *turns < 1:
		return fmt.Errorf("-turns is %d, want at least 1", *turns)
	case *steps < 1:
		return fmt.Errorf("-steps is %d, want at least 1", *steps)
	case *channels < 1:
		return fmt.Errorf("-channels is %d, want at least 1", *channels)
	case *budget < 0:
		return fmt.Errorf("-budget is %s, want at least 0", *budget)
	case *least < 0:
		return fmt.Errorf("-turn is %s, want at least 0", *least)
	case *resume && *folder == "":
		return errors.New("-resume needs the folder -out")
	case *limit <= 0:
		return fmt.Errorf("-compile_limit is %s, want more than 0", *limit)
	}
	asked, err := parseModes(*modeList)
	if err != nil {
		return err
	}
	var before []*result
	if *folder != "" { // fail before the long measurement
		if err := os.MkdirAll(*folder, 0o755); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
		if before, err = readTable(filepath.Join(*folder, "steps.csv")); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
	}
	work, err := workloads(*names, *size, *channels)
	if err != nil {
		return err
	}
	if *resume {
		work = slices.DeleteFunc(work, func(w workload) bool {
			return slices.ContainsFunc(before, func(r *result) bool { return r.network == w.name && r.input == w.input() })
		})
	}
	peers, err := startPeers(ctx, *python)
	for _, p := range peers {
		defer p.process.Close() // an error here no longer matters
	}
	if err != nil {
		return err
	}
	convolutions, err := parseConvolutions(*convolutionList, *backendName)
	if err != nil {
		return err
	}
	var contenders []contender
	for _, c := range convolutions {
		contenders = append(contenders, &ownNetwork{backendName: *backendName, profiled: *profiled, convolutions: c})
	}
	torch, err := peerContenders(peers, asked, *limit, *backendName)
	if err != nil {
		return err
	}
	contenders = append(contenders, torch...)
	results, left := before, &unfinishedError{}
	for _, w := range work {
		if *budget > 0 && time.Since(start) > *budget {
			left.add(w.String())
			continue
		}
		fmt.Fprintf(progress, "%s …\n", w)
		measure := compare
		if *alone {
			measure = compareAlone
		}
		r, err := measure(ctx, w, contenders, *turns, *steps, *least, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		results = merge(results, r)
		if *folder != "" { // what was measured is not lost if a later network fails
			if err := write(*folder, results); err != nil {
				return err
			}
		}
	}
	if len(results) == 0 {
		return left.report(progress)
	}
	if _, err := fmt.Fprint(out, markdown(results)); err != nil && *folder == "" {
		return err // nothing else holds the measurements
	}
	return left.report(progress)
}

// parseConvolutions returns what computes the convolutions of a backend, given a list.
func parseConvolutions(list, backend string) (all []cuda.Convolutions, err error) {
	for _, name := range strings.Split(list, ",") {
		c, err := cuda.ParseConvolutions(name)
		if err != nil {
			return nil, fmt.Errorf("-convolutions: %w", err)
		}
		if _, _, ok := backends.GPU(backend); !ok && c != cuda.Own {
			return nil, fmt.Errorf("-convolutions %s needs a GPU, and -backend is %s", list, backend)
		}
		all = append(all, c)
	}
	return all, nil
}

// write writes the table, the CSV file and, after a comparison, the chart.
func write(folder string, results []*result) error {
	if err := atomicfile.WriteString(filepath.Join(folder, "steps.md"), markdown(results)); err != nil {
		return err
	}
	if err := atomicfile.WriteString(filepath.Join(folder, "steps.csv"), string(table(results))); err != nil {
		return err
	}
	if !compared(results) {
		return nil
	}
	return writeChart(filepath.Join(folder, "steps.png"), results)
}
