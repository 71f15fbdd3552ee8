// The cuda command checks and measures on a GPU everything that this module has for GPUs: the
// losses, the training engine, its convolutions and training steps of the networks. Each part of
// it runs in a process of its own, so that one that fails does not end the others:
//
//	go run ./bench/cuda -dry                              # the parts and their commands
//	go run ./bench/cuda -out FOLDER                       # all of it
//	go run ./bench/cuda -out FOLDER -parts kernels,repeats
//	go run ./bench/cuda losses -sizes brats -losses afl,dice   # the losses alone
//
// A machine with a GPU often has no Go, and time on it is often short. On another machine
// everything can be packed into a folder, which runs wherever there is a driver, and PyTorch for
// the comparisons:
//
//	go run ./bench/cuda -pack DIR              # on Linux, amd64, with a C compiler
//	DIR/run -out FOLDER -budget 8m             # there; again, to continue
//
// Parts are in the order of their value. With -budget none is begun that there is no time for, and
// the last one is stopped; the results of every part are written at once. A later run with the
// same folder continues with what is missing, and its report merges both. Parts that the machine
// has no tool for are named with the reason. The settings of the device are read and never
// changed.
//
// The command losses evaluates every loss a thousand times and compares the bits; then times
// every loss, forward and with its gradient, and compares it with a copy on the device that moves
// as many bytes and with PyTorch, eager and compiled, in a process of its own (peer.py), and A-FL
// also with a step of its authors' released code. Some losses are timed with target maps, voxel
// weights and label smoothing too, without PyTorch. Its results are a table with the goals and
// the device, a CSV with every number and a chart of the ratios.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// commit is set by the linker in a pack, which is outside of the repository.
var commit string

// errUnfinished says that there was no time for all of the work. What was done is written.
var errUnfinished = errors.New("the time (-budget) is up; the results name what is missing")

// statusUnfinished is the exit status with which programs say so.
const statusUnfinished = 3

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench/cuda:", err)
		if errors.Is(err, errUnfinished) {
			os.Exit(statusUnfinished)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, w io.Writer) error {
	if len(args) > 0 && args[0] == "losses" {
		return runLosses(ctx, args[1:], w)
	}
	return runAll(ctx, args, w)
}

// commandLine is the command as it was typed.
func commandLine(args []string) string {
	words := []string{"go run ./bench/cuda"}
	if commit != "" {
		words[0] = "run"
	}
	for i, a := range args { // -packed is from the script run
		if a != "-packed" && (i == 0 || args[i-1] != "-packed") {
			words = append(words, a)
		}
	}
	return strings.Join(words, " ")
}
