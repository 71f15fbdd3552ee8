// Package cli implements the example programs. For the two training programs it
// provides the flags, the data set or the phantom that replaces it, the choice of
// networks and volume sizes that fit each other, and starting, stopping and resuming
// a run. It also provides the programs that predict with the trained weights and that export
// them.
//
// # Runs
//
// The folder of a run belongs to one process at a time (package runlock). Its run.json
// records the flags, the size and hash of every file of the data, and for every process
// that has worked on the run its start, version and machine. The run's ID is a hash of all
// that determines the bits of a training; every file of the run contains it (package
// train). A resumed run must find the same data, at the same or another place, and may
// have more epochs, losses, networks and seeds than before.
package cli

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
	"sync"
	"syscall"
	"time"

	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn/onednn"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/phantom"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/train"
)

// Program describes one of the training programs.
type Program struct {
	// Name is the program's name; About opens its -h text.
	Name, About string
	// Protocol is the paper's protocol for the data set. If it has a Size, -size
	// overrides it; -patch overrides its Crop.
	Protocol dataset.Protocol
	// Phantom is generated when no data are given. Flags override its Train, Valid
	// and Size.
	Phantom phantom.Options
	// PhantomChannels is the number of channels of the phantom's images.
	PhantomChannels int
	// Network returns the network that a name of -model stands for; nil: [models.ByName],
	// the published one.
	Network func(name string) (models.Architecture, error)
	// Detection is the default of -detection; empty: off.
	Detection string
}

func (p Program) resizes() bool { return p.Protocol.Size != [3]int{} }

// Exit codes of Main.
const (
	exitOK          = 0
	exitError       = 1   // the run failed
	exitUsage       = 2   // the flags are wrong
	exitInterrupted = 130 // stopped by a signal; the code shells report for Ctrl-C
)

// Main runs a training program with the command-line arguments after its name and
// returns the exit code. On the first SIGINT, SIGTERM or SIGHUP, or when the reader of its
// output is gone, the program completes the current step and writes a checkpoint; another
// SIGINT or SIGTERM, a second or more after the first, kills the process.
func Main(p Program, args []string) int {
	collectOften()
	return interruptible("step", func(ctx context.Context) int { return Run(ctx, p, args, os.Stdout, os.Stderr) })
}

// sameRequest is how long another SIGINT or SIGTERM counts as part of the first: timeout(1),
// for example, sends SIGTERM to the process and then to its group.
const sameRequest = time.Second

// interruptible calls run with a context that is canceled by the first signal; the program
// then completes the current unit of work, which unit names.
func interruptible(unit string, run func(ctx context.Context) int) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	asked := []os.Signal{os.Interrupt, syscall.SIGTERM}
	caught := make(chan os.Signal, 8)
	signal.Notify(caught, asked...)
	// These two stay caught: a terminal that closes can send several SIGHUPs, and every
	// write to a broken pipe, such as the one to a tee that Ctrl-C has stopped too, raises
	// SIGPIPE. By default either would kill the process before it has saved its state.
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(caught, syscall.SIGHUP)
	}
	signal.Notify(caught, syscall.SIGPIPE)
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		var restore <-chan time.Time
		for {
			select {
			case s := <-caught:
				if ctx.Err() == nil {
					cancel()
					fmt.Fprintln(os.Stderr, "\nStopping after the current "+unit+"; interrupt again to stop immediately.")
				}
				if restore == nil && slices.Contains(asked, s) {
					restore = time.After(sameRequest)
				}
			case <-restore:
				signal.Reset(asked...)
			case <-done:
				return
			}
		}
	})
	defer watcher.Wait()
	defer signal.Stop(caught)
	defer close(done)
	return run(ctx)
}

// Run is like [Main], with the context and the output streams given by the caller.
// With -dist it ends the process.
func Run(ctx context.Context, p Program, args []string, stdout, stderr io.Writer) int {
	together, err := run(ctx, p, args, stdout)
	if dist.Agreed(err) && !together.root() {
		stderr = io.Discard // the first process says it
	}
	code := exit(p.Name, err, stderr)
	together.leave(code, err)
	return code
}

// exit prints the program's error, if any, and returns the exit code.
func exit(name string, err error, stderr io.Writer) int {
	var wrong *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "%s: %v (%s -h lists the flags)\n", name, err, name)
		return exitUsage
	case errors.Is(err, train.ErrInterrupted), errors.Is(err, errStopped), errors.Is(err, context.Canceled):
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

// parse parses the arguments. It prints the usage where they ask for help, and reports that.
func parse(flags *flag.FlagSet, args []string, stdout io.Writer, name, about string) (help bool, err error) {
	err = flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(stdout, name, about, flags)
		return true, nil
	case err != nil:
		return false, usageErrorf("%v", err)
	}
	return false, nil
}

// run returns the processes that the program has trained with, also with an error.
func run(ctx context.Context, p Program, args []string, stdout io.Writer) (together *processes, err error) {
	flags, o := newFlags(p)
	if help, err := parse(flags, args, stdout, p.Name, p.About); help || err != nil {
		return nil, err
	}
	if flags.NArg() > 0 && !o.join {
		return nil, usageErrorf("unexpected argument %q", flags.Arg(0))
	}
	if err := o.check(flags); err != nil {
		return nil, err
	}
	if together, err = o.dist.open(); err != nil {
		return nil, err
	}
	return together, o.run(ctx, p, flags, together, report.NewProgress(together.output(stdout)))
}

func (o *options) run(ctx context.Context, p Program, flags *flag.FlagSet, together *processes, progress *report.Progress) error {
	if err := together.describe(progress); err != nil {
		return err
	}
	var lock *runFolder
	defer func() {
		if lock != nil {
			lock.release()
		}
	}()
	var job *train.Job
	rec, err := together.recordOf(func() (rec *record, err error) {
		if lock, err = o.lock(p.Name, progress); err != nil || o.join {
			return nil, err
		}
		if rec, err = o.begin(p, flags); err != nil {
			return nil, err
		}
		if err = removeTemporaries(o.modelDir); err != nil {
			return nil, err
		}
		job, rec, err = newJob(ctx, p, flags, o, rec, together, progress)
		return rec, err
	})
	switch {
	case err != nil:
		return err
	case o.join:
		return o.joinRuns(p, flags, progress)
	case together.root():
		job.Guard = lock.Check
	default:
		if err = rec.restoreFlags(flags, o.modelDir); err == nil {
			job, _, err = newJob(ctx, p, flags, o, rec, together, progress)
		}
	}
	if err := together.agree("preparation", err); err != nil {
		return err
	}
	if err := together.sameData(job.Splits); err != nil {
		return err
	}
	result, err := together.train(ctx, o, job)
	if o.conv.value != "own" {
		progress.Println(strings.Join(backends.Convolutions(job.Backend), "\n"))
	}
	if steps := backends.Steps(job.Backend); steps != "" {
		progress.Println(steps)
	}
	if modules, took := backends.LoadedKernels(job.Backend); modules > 0 {
		progress.Println(fmt.Sprintf("The driver loaded %d modules of kernels in %v; it compiles those that its cache does not have.", modules, took.Round(time.Millisecond)))
	}
	if o.profile {
		progress.Println("\n" + onednn.Table(onednn.Profile(job.Backend), 1))
	}
	if err != nil {
		if lock != nil && lock.Check() == nil {
			progress.Println(fmt.Sprintf("To resume, use the flags: -model_dir %s -resume", o.modelDir))
		}
		return err
	}
	progress.Println("\n" + result.Markdown())
	progress.Println(writtenText(o.modelDir, result))
	if allDiverged(result) {
		return dist.Common(errors.New("every training diverged; a smaller -lr may help"))
	}
	return nil
}

// writtenText lists the files of a run in dir.
func writtenText(dir string, run *report.Run) string {
	tables, curves := writtenNames(run)
	if _, err := os.Stat(filepath.Join(dir, "qualitative.png")); err == nil { // none without a lesion
		tables += ", qualitative.png"
	}
	text := fmt.Sprintf("Written to %s: %s, report.html; %s of each network; best.safetensors and last.safetensors of each training", dir, tables, curves)
	if slices.ContainsFunc(run.Results, func(l outcome.Result) bool { return l.Diverged != nil }) {
		text += ", no best.safetensors of one that diverged in its first epoch"
	}
	return text + "."
}

// writtenNames lists the files with tables and those with curves.
func writtenNames(run *report.Run) (tables, curves string) {
	if run.Detects() {
		return "results.md, epochs.csv, cases.csv, comparisons.csv, strata.csv, detection.csv, detection_curves.csv", "loss.png, dice.png and detection.png"
	}
	return "results.md, epochs.csv, cases.csv, comparisons.csv, strata.csv", "loss.png and dice.png"
}

// allDiverged reports whether no training of the run ended well.
func allDiverged(run *report.Run) bool {
	for _, l := range run.Results {
		if l.Diverged == nil {
			return false
		}
	}
	return true
}

// begin checks -resume against the contents of -model_dir. It returns the record of
// the run to resume, or nil for a new run.
func (o *options) begin(p Program, flags *flag.FlagSet) (*record, error) {
	rec, err := readRecord(o.modelDir)
	switch {
	case err != nil:
		return nil, err
	case rec == nil && o.resume:
		return nil, o.noRun()
	case rec == nil:
		return nil, o.noCheckpoints()
	case !o.resume:
		if o.noCheckpoints() == nil {
			return nil, nil // the recorded run saved no checkpoint: start a new one
		}
		return nil, usageErrorf("-model_dir: %s already contains a run; continue it with -resume or use another folder", o.modelDir)
	case rec.Program != p.Name:
		return nil, usageErrorf("-resume: the run recorded in %s was started by %s", filepath.Join(o.modelDir, recordName), rec.Program)
	}
	if err := rec.restoreFlags(flags, o.modelDir); err != nil {
		return nil, err
	}
	return rec, o.check(flags)
}

func (o *options) noRun() error {
	return usageErrorf("-resume: %s contains no run (no %s)", o.modelDir, recordName)
}

// noCheckpoints returns an error if -model_dir contains a checkpoint. Without a record
// of its run it would be mistaken for a checkpoint of the new run.
func (o *options) noCheckpoints() error {
	found := ""
	err := inFolder(o.modelDir, train.Depth, func(path string, e os.DirEntry) error {
		if e.Name() == train.CheckpointName && found == "" {
			found = path
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("-model_dir: %w", err)
	}
	if found != "" {
		return usageErrorf("-model_dir: %s exists, but %s does not; delete it or use another folder", found, filepath.Join(o.modelDir, recordName))
	}
	return nil
}
