package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// repeat trains networks for some steps again and again from the same start and compares the
// bits of the losses, parameters and running statistics.
func repeat(ctx context.Context, args []string, out, progress io.Writer) error {
	start := time.Now()
	flags := flag.NewFlagSet("stepbench repeats", flag.ContinueOnError)
	flags.SetOutput(progress)
	names := flags.String("models", "segresnet,unet", "`list` of networks")
	size := flags.String("size", "32,32,16", "`X,Y,Z` voxels")
	backendList := flags.String("backends", "cuda,cuda/tf32,cuda/bfloat16", "`list` of backends")
	convolutionList := flags.String("convolutions", "own", "`list` of what computes the convolutions on a GPU: own, cudnn, auto")
	channels := flags.Int("channels", 3, "`number` of channels of the volumes")
	times := flags.Int("times", 100, "`number` of repeats")
	steps := flags.Int("steps", 4, "`number` of steps of a repeat; a GPU launches the later ones as graphs")
	budget := flags.Duration("budget", 0, "`time` after which no network is begun; those left out are named, and the exit status is 3 (default no limit)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q (-h lists the flags)", flags.Arg(0))
	case *times < 2:
		return fmt.Errorf("-times is %d, want at least 2", *times)
	case *steps < 1:
		return fmt.Errorf("-steps is %d, want at least 1", *steps)
	case *channels < 1:
		return fmt.Errorf("-channels is %d, want at least 1", *channels)
	case *budget < 0:
		return fmt.Errorf("-budget is %s, want at least 0", *budget)
	}
	work, err := workloads(*names, *size, *channels)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "# Equal bits\n\nSteps from the same start: %d. Repeats: %d. The digest is of the losses, parameters and running statistics.\n\n", *steps, *times)
	fmt.Fprint(out, "| network | input | on | digest | outcome | s |\n|---|---|---|---|---|--:|\n")
	left := &unfinishedError{}
	for _, name := range strings.Split(*backendList, ",") {
		convolutions, err := parseConvolutions(*convolutionList, name)
		if err != nil {
			return err
		}
		for _, c := range convolutions {
			for _, w := range work {
				o := &ownNetwork{backendName: name, convolutions: c}
				if *budget > 0 && time.Since(start) > *budget {
					left.add(fmt.Sprintf("%s on %s", w, o.name()))
					continue
				}
				began := time.Now()
				digest, outcome, err := repeatOne(ctx, o, w, *times, *steps)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", w, o.name(), err)
				}
				fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %.1f |\n", w.name, w.input(), o.name(), digest, outcome, time.Since(began).Seconds())
			}
		}
	}
	return left.report(progress)
}

// repeatOne repeats the steps of one network and returns the digest that all repeats have, or
// none and why the network cannot run on this machine.
func repeatOne(ctx context.Context, o *ownNetwork, w workload, times, steps int) (digest, outcome string, err error) {
	b, err := o.openBackend()
	if why := (*unsupportedError)(nil); errors.As(err, &why) {
		return "", "skipped: " + why.reason, nil
	}
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	var first []byte
	for i := range times {
		if ctx.Err() != nil {
			return "", "", errors.New("interrupted")
		}
		now, err := digestOf(b, w, steps)
		switch {
		case err != nil:
			return "", "", err
		case i == 0:
			first = now
		case string(first) != string(now):
			return "", "", fmt.Errorf("repeat %d has other bits than the first", i+1)
		}
		runtime.GC() // so that the memory of the parameters is free for those of the next repeat
	}
	return fmt.Sprintf("%x", first[:6]), "equal bits", nil
}

// digestOf trains a new network and returns a digest of its state.
func digestOf(b nn.Backend, w workload, steps int) ([]byte, error) {
	s, err := newStepper(w, b)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	for range steps {
		loss, err := s.step()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(sum, "%x\n", loss)
	}
	add := func(name string, a nn.Array) error {
		host := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(a.Shape()...))
		if err := b.ToHost(a, host); err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s\n", name)
		return binary.Write(sum, binary.LittleEndian, host.Data())
	}
	for _, p := range s.net.Parameters() {
		if err := add(p.Name, p.Value); err != nil {
			return nil, err
		}
	}
	for _, f := range s.net.Buffers() {
		if f.Value == nil {
			continue
		}
		if err := add(f.Name, f.Value); err != nil {
			return nil, err
		}
	}
	return sum.Sum(nil), nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
