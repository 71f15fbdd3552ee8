package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	benchpeer "github.com/x/afl/bench/internal/peer"
	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/cuda"
)

// allOptions are the flags of the command without losses.
type allOptions struct {
	parts        []part
	named        bool // by -parts
	out, python  string
	pack, packed string
	budget       time.Duration
	dry, quick   bool
}

func parseAll(args []string, w io.Writer) (*allOptions, error) {
	o := &allOptions{}
	flags := flag.NewFlagSet("bench/cuda", flag.ContinueOnError)
	flags.SetOutput(w)
	names := flags.String("parts", "all", "`list` of parts, or all; -dry lists them. A part of a list is run even where it has passed before")
	flags.StringVar(&o.out, "out", "", "`folder` of the results, of which a later run with the same folder keeps and continues (default bench/results/<date>-<GPU>)")
	flags.StringVar(&o.python, "python", "", "`interpreter` that has PyTorch and NumPy (default: the first of python3, python and /usr/bin/python3 that has them); none for no comparison")
	flags.DurationVar(&o.budget, "budget", 0, "`time` for the whole run; parts that there is no time for are named, and the exit status is 3 (default no limit but that of each part)")
	flags.BoolVar(&o.dry, "dry", false, "print the parts and their commands and run none")
	flags.BoolVar(&o.quick, "quick", false, "a trial run of all parts on small inputs")
	flags.StringVar(&o.pack, "pack", "", "build everything that a machine without Go needs into a `folder`, and exit")
	flags.StringVar(&o.packed, "packed", "", "`folder` of the unpacked programs (default: build them)")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: the command is losses, or all options are flags, see -h", flags.Arg(0))
	}
	if o.budget < 0 {
		return nil, fmt.Errorf("-budget is %v, want at least 0", o.budget)
	}
	o.named = *names != "all"
	var err error
	o.parts, err = selectParts(allParts(o.quick), *names)
	return o, err
}

// runAll runs the parts.
func runAll(ctx context.Context, args []string, w io.Writer) error {
	start := time.Now()
	o, err := parseAll(args, w)
	if err != nil {
		return err
	}
	if o.pack != "" {
		return pack(ctx, o.pack, w)
	}
	if o.dry {
		return o.list(os.Stdout)
	}
	devices, err := cuda.Devices()
	if err != nil {
		return err
	}
	if len(devices) == 0 {
		return errors.New("the driver finds no GPU")
	}
	c := call{
		Date: start.Format("2006-01-02 15:04 MST"), Command: commandLine(args), Commit: commit,
		Device: describe(devices[0]), Machine: report.ThisMachine(),
	}
	if commit == "" {
		c.Commit = c.Machine.Commit
	}
	at := place{pack: o.packed, folder: o.out}
	if at.folder == "" {
		at.folder = filepath.Join("bench", "results", start.Format(time.DateOnly)+"-"+report.Slug(devices[0].Name))
	}
	if at.folder, err = filepath.Abs(at.folder); err != nil {
		return err
	}
	if err := os.MkdirAll(at.folder, 0o777); err != nil { // before minutes of work
		return err
	}
	all, err := readRecords(at.folder)
	if err != nil {
		return err
	}
	if err := all.continues(c); err != nil {
		return err
	}
	if at.pack == "" {
		if at.pack, err = os.MkdirTemp("", "afl-bench-cuda-"); err != nil {
			return err
		}
		defer os.RemoveAll(at.pack)
		if err := build(ctx, at.pack, "", w); err != nil {
			return err
		}
	}
	if at.pack, err = filepath.Abs(at.pack); err != nil { // as the tests run in another folder
		return err
	}
	if os.Getenv("CUDA_CACHE_PATH") == "" { // new, so that the first part compiles, and writable
		at.env = append(at.env, "CUDA_CACHE_PATH="+filepath.Join(at.pack, "ComputeCache"))
	}
	if err := at.findPython(ctx, o.python, &c, w); err != nil {
		return err
	}
	if c.Before, err = smi(ctx); err != nil {
		fmt.Fprintln(w, err)
	}
	all.Calls = append(all.Calls, c)
	return o.runParts(ctx, at, all, start, w)
}

// runParts runs the parts that all does not have, and records and reports each at once.
func (o *allOptions) runParts(ctx context.Context, at place, all *records, start time.Time, w io.Writer) error {
	late, wrong := false, []string(nil)
	for _, p := range o.parts {
		r := all.of(p)
		if !o.named && (r.Outcome == passed || r.Outcome == failed) {
			fmt.Fprintf(w, "%s: %s before\n", p.name, r.Outcome)
			continue
		}
		limit := p.most
		if o.budget > 0 {
			limit = min(limit, o.budget-time.Since(start)-reserve)
		}
		var done result
		began := time.Now()
		switch why := p.missing(); {
		case why != "":
			done = result{skipped, why}
		case ctx.Err() != nil:
			done = result{unfinished, "interrupted"}
		case limit < p.least:
			done = result{unfinished, "the time was up before it"}
		default:
			fmt.Fprintf(w, "%s …\n", p.name)
			var err error
			if done, err = p.run(ctx, at, limit); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			r.Runs++
		}
		late = late || done.outcome == unfinished
		if done.outcome == failed {
			wrong = append(wrong, p.name)
		}
		r.Outcome, r.Reason, r.Seconds = done.outcome, done.reason, r.Seconds+time.Since(began).Seconds()
		fmt.Fprintf(w, "%s: %s\n", p.name, strings.TrimSuffix(done.outcome+": "+done.reason, ": "))
		if err := all.write(at.folder); err != nil {
			return err
		}
	}
	if ctx.Err() == nil {
		if after, err := smi(ctx); err == nil {
			all.Calls[len(all.Calls)-1].After = after
		}
	}
	if err := all.write(at.folder); err != nil {
		return err
	}
	fmt.Fprintf(w, "wrote %s\n", filepath.Join(at.folder, "README.md"))
	switch {
	case len(wrong) > 0:
		return fmt.Errorf("failed: %s", strings.Join(wrong, ", "))
	case late:
		return errUnfinished
	}
	return nil
}

// reserve is the time of a budget in which a stopped part writes its results, and the report is
// written.
const reserve = 15 * time.Second

// missing says what a part needs and the machine does not have.
func (p part) missing() string {
	if p.tool == "" {
		return ""
	}
	if _, err := sanitizer(); err != nil {
		return err.Error()
	}
	return ""
}

// list prints the parts.
func (o *allOptions) list(w io.Writer) error {
	at := place{pack: "DIR", folder: "FOLDER", python: "PYTHON"}
	for _, p := range o.parts {
		why := p.missing()
		if why != "" {
			why = " (will be skipped: " + why + ")"
		}
		if _, err := fmt.Fprintf(w, "%s, at most %v: %s%s\n\t%s\n", p.name, p.most, p.about, why, strings.Join(p.words(at, p.most), " ")); err != nil {
			return err
		}
	}
	return nil
}

// findPython finds the interpreter with a PyTorch that runs on the GPU, and makes its environment
// the active one, in which cuDNN is looked for too. Without one there is no comparison.
func (at *place) findPython(ctx context.Context, named string, c *call, w io.Writer) error {
	at.python = "none"
	if named == "none" {
		c.PyTorch = "none, as -python is none"
		return nil
	}
	interpreter, err := benchpeer.Find(ctx, named, "numpy", "torch")
	if errors.Is(err, benchpeer.ErrNone) {
		c.PyTorch = "none: " + err.Error()
		fmt.Fprintln(w, "no comparison:", err)
		return nil
	}
	if err != nil {
		return err
	}
	const describe = "import sys, torch; print(sys.prefix); print(torch.__version__, 'with CUDA', torch.version.cuda, 'and cuDNN', torch.backends.cudnn.version()); print(torch.cuda.is_available())"
	out, err := exec.CommandContext(ctx, interpreter, "-c", describe).Output()
	if err != nil {
		return fmt.Errorf("-python %s: describing its PyTorch: %w", interpreter, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 3 {
		return fmt.Errorf("-python %s: describing its PyTorch printed %q", interpreter, out)
	}
	if c.PyTorch = lines[1]; lines[2] != "True" {
		c.PyTorch = "none: the PyTorch " + lines[1] + " of " + interpreter + " does not run on the GPU"
		fmt.Fprintln(w, "no comparison:", c.PyTorch)
		return nil
	}
	at.python = interpreter
	if os.Getenv("VIRTUAL_ENV") == "" {
		at.env = append(at.env, "VIRTUAL_ENV="+lines[0])
	}
	return nil
}
