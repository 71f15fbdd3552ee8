// Package cli is what the programs are made of: for the two that train, flags,
// the data or the phantom in its place, the networks and their legal sizes, and the
// way a run begins, stops and goes on; and the program that predicts with what
// they trained.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/nn/onednn"
	"github.com/x/afl/examples/internal/phantom"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/train"
)

// Program is what makes one program differ from the other.
type Program struct {
	// Name is the program's name; About opens its -h text.
	Name, About string
	// Protocol is the paper's for the data set. Its Size, where it has one, can
	// be changed by -size, its Crop by -crop.
	Protocol dataset.Protocol
	// Phantom is what stands in for the data where there are none; its Train,
	// Valid and Size can be changed by flags.
	Phantom phantom.Options
	// PhantomChannels is the number of channels of the phantom's images.
	PhantomChannels int
}

func (p Program) resizes() bool { return p.Protocol.Size != [3]int{} }
func (p Program) crops() bool   { return p.Protocol.Crop != [3]int{} }

// Exit codes of Main.
const (
	exitOK          = 0
	exitError       = 1   // the run failed
	exitUsage       = 2   // the flags are wrong
	exitInterrupted = 130 // stopped by a signal; what shells give for Ctrl-C
)

// Main runs a program with its arguments, without the name, and returns the
// exit code. The first SIGINT or SIGTERM lets the running step end and the
// state be written; the second ends the process at once.
func Main(p Program, args []string) int {
	return interruptible("step", func(ctx context.Context) int { return Run(ctx, p, args, os.Stdout, os.Stderr) })
}

// interruptible runs a program whose context the first SIGINT or SIGTERM ends,
// after which the program finishes the running unit of its work.
func interruptible(unit string, run func(ctx context.Context) int) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	told := context.AfterFunc(ctx, func() {
		stop() // from here on a signal has its usual effect
		fmt.Fprintln(os.Stderr, "\nStopping after the running "+unit+"; once more to stop at once.")
	})
	defer told()
	return run(ctx)
}

// Run is Main with the signals and the output in the caller's hands.
func Run(ctx context.Context, p Program, args []string, stdout, stderr io.Writer) int {
	return exit(p.Name, run(ctx, p, args, stdout), stderr)
}

// exit tells an error of the program and returns the exit code.
func exit(name string, err error, stderr io.Writer) int {
	var wrong *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "%s: %v (%s -h lists the flags)\n", name, err, name)
		return exitUsage
	case errors.Is(err, train.ErrInterrupted), errors.Is(err, errStopped):
		return exitInterrupted
	default:
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return exitError
	}
}

// usageError is an error in the flags.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

func run(ctx context.Context, p Program, args []string, stdout io.Writer) error {
	flags, o := newFlags(p)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			usage(stdout, p.Name, p.About, flags)
			return nil
		}
		return usageErrorf("%v", err)
	}
	if flags.NArg() > 0 {
		return usageErrorf("%q is no flag", flags.Arg(0))
	}
	if err := o.check(flags); err != nil {
		return err
	}
	rec, err := o.begin(p, flags)
	if err != nil {
		return err
	}

	progress := report.NewProgress(stdout)
	job, err := newJob(p, flags, o, rec, progress)
	if err != nil {
		return err
	}
	result, err := job.Run(ctx)
	if o.profile {
		progress.Println("\n" + onednn.Table(onednn.Profile(job.Backend), 1))
	}
	if errors.Is(err, train.ErrInterrupted) {
		progress.Println(fmt.Sprintf("Resume with the flags: -model_dir %s -resume", o.modelDir))
		return err
	}
	if err != nil {
		return err
	}
	progress.Println("\n" + result.Markdown())
	progress.Println(fmt.Sprintf("Written to %s: results.md, epochs.csv, cases.csv; loss.png and dice.png of each network; best.safetensors and last.safetensors of each loss.", o.modelDir))
	return nil
}

// begin checks -resume against what lies in -model_dir. It returns the record
// of the run to go on with, nil for a new one.
func (o *options) begin(p Program, flags *flag.FlagSet) (*record, error) {
	rec, err := readRecord(o.modelDir)
	switch {
	case err != nil:
		return nil, err
	case rec == nil && o.resume:
		return nil, usageErrorf("-resume: %s holds no run (no %s)", o.modelDir, recordName)
	case rec == nil:
		return nil, o.noCheckpoints()
	case !o.resume:
		if o.noCheckpoints() == nil {
			return nil, nil // it came to nothing: begin anew
		}
		return nil, usageErrorf("-model_dir: %s holds a run already; go on with it by -resume or name another folder", o.modelDir)
	case rec.Program != p.Name:
		return nil, usageErrorf("-resume: the run in %s is one of %s", filepath.Join(o.modelDir, recordName), rec.Program)
	}
	if err := rec.takeOver(flags, o.modelDir); err != nil {
		return nil, err
	}
	return rec, nil
}

// noCheckpoints refuses a folder that holds checkpoints of a run whose record
// is gone: they would be taken for those of the new run.
func (o *options) noCheckpoints() error {
	found, err := checkpointIn(o.modelDir, 2) // in folders of losses, or of networks and losses
	if err != nil {
		return fmt.Errorf("-model_dir: %w", err)
	}
	if found != "" {
		return usageErrorf("-model_dir: %s is there, but %s is not; delete it or name another folder", found, filepath.Join(o.modelDir, recordName))
	}
	return nil
}

// checkpointIn returns the path of a checkpoint in a folder or, so many levels
// down, in those in it; "" if there is none. What may not be read is not ours.
func checkpointIn(dir string, levels int) (string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.Name() == train.CheckpointName {
			return path, nil
		}
		if levels > 0 && e.IsDir() {
			if found, err := checkpointIn(path, levels-1); found != "" || err != nil {
				return found, err
			}
		}
	}
	return "", nil
}
