package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/nn/cuda"
)

// assemble has the driver compile every module of kernels, those of the losses and those of the
// training engine, and prints the time of each.
func assemble(_ context.Context, args []string, out, progress io.Writer) (err error) {
	flags := flag.NewFlagSet("stepbench kernels", flag.ContinueOnError)
	flags.SetOutput(progress)
	backendName := flags.String("backend", "cuda", "`backend` on the GPU that the kernels are compiled for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q (-h lists the flags)", flags.Arg(0))
	}
	if _, _, ok := backends.GPU(*backendName); !ok {
		return fmt.Errorf("-backend is %q, want one on a GPU, such as cuda", *backendName)
	}
	b, err := backends.Open(*backendName, backends.Options{})
	if err != nil {
		return err
	}
	engine := cuda.Engine(b)
	defer func() { err = errors.Join(err, engine.Close()) }()
	fmt.Fprintf(out, "# Kernels\n\nCompiled by the driver (CUDA %s) for %s.\n\n| of | module | s |\n|---|---|--:|\n", engine.Device().CUDA(), engine.Device())
	start, modules := time.Now(), 0
	line := func(of string) func(string, time.Duration) {
		return func(module string, took time.Duration) {
			modules++
			fmt.Fprintf(out, "| %s | %s | %.2f |\n", of, module, took.Seconds())
		}
	}
	if _, err := engine.LoadKernels(line("losses")); err != nil {
		return err
	}
	if err := cuda.LoadKernels(b, line("training")); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%d modules in %.1f s; one that is used when a device is opened is not listed.\n", modules, time.Since(start).Seconds())
	return err
}
