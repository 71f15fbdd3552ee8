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

	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/nn/cuda"
)

// measureConvolutions times every distinct convolution of the networks, its result and both
// gradients, by own kernels, cuDNN and PyTorch.
func measureConvolutions(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	start := time.Now()
	flags := flag.NewFlagSet("stepbench convolutions", flag.ContinueOnError)
	flags.SetOutput(progress)
	names := flags.String("models", "all", "`list` of networks, or all: "+strings.Join(networks, ", "))
	size := flags.String("size", "160,128,24", "`X,Y,Z` voxels of the networks' volumes")
	channels := flags.Int("channels", 3, "`number` of channels of the volumes")
	backendName := flags.String("backend", "cuda", "`backend` without a precision")
	precisionList := flags.String("precisions", "tf32,bfloat16,float32", "`list` of precisions of the products")
	convolutionList := flags.String("convolutions", "own,cudnn", "`list` of what computes the convolutions on a GPU: own, cudnn, auto")
	python := flags.String("python", "/usr/bin/python3", "`interpreter` that has PyTorch; none: skip the comparison")
	least := flags.Duration("least", 10*time.Millisecond, "minimum `time` of a measurement")
	shapes := flags.Int("shapes", 0, "`number` of shapes, those with the most work first; 0 for all")
	budget := flags.Duration("budget", 0, "`time` after which no shape is begun; the report says how many were left out, and the exit status is 3 (default no limit)")
	folder := flags.String("out", "", "`folder` for the results, of which those of an earlier run with the same settings are kept. Required")
	if err := flags.Parse(args); err != nil {
		return err
	}
	_, precision, onGPU := backends.GPU(*backendName)
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q (-h lists the flags)", flags.Arg(0))
	case *channels < 1:
		return fmt.Errorf("-channels is %d, want at least 1", *channels)
	case precision != cuda.Float32:
		return fmt.Errorf("-backend is %s, want one without a precision, see -precisions", *backendName)
	case *least <= 0:
		return fmt.Errorf("-least is %s, want more than 0", *least)
	case *shapes < 0:
		return fmt.Errorf("-shapes is %d, want at least 0", *shapes)
	case *budget < 0:
		return fmt.Errorf("-budget is %s, want at least 0", *budget)
	case *folder == "":
		return errors.New("-out is empty, want a folder for the results")
	}
	precisions, err := parsePrecisions(*precisionList)
	if err != nil {
		return err
	}
	convolutions, err := parseConvolutions(*convolutionList, *backendName)
	if err != nil {
		return err
	}
	work, err := workloads(*names, *size, *channels)
	if err != nil {
		return err
	}
	all, err := collect(work)
	if err != nil {
		return err
	}
	if *shapes > 0 {
		all = all[:min(*shapes, len(all))]
	}
	r := &convolutionReport{size: fmt.Sprintf("%d channels, %s voxels", *channels, strings.ReplaceAll(*size, ",", "×")),
		networks: networksOf(work), shapes: all, machine: thisMachine(), date: time.Now().Format(time.DateOnly)}
	if err := os.MkdirAll(*folder, 0o755); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	if r.rows, err = readConvolutions(filepath.Join(*folder, "convolutions.csv")); err != nil {
		return fmt.Errorf("-out: %w", err)
	}

	b, err := backends.Open(*backendName, backends.Options{})
	if err != nil {
		return err
	}
	held := &arrays{backend: b}
	if onGPU {
		held.engine = cuda.Engine(b)
		defer func() { err = errors.Join(err, held.engine.Close()) }()
		r.machine += ", " + held.engine.Device().Name
	}
	var convolvers []convolver
	for _, c := range convolutions {
		convolvers = append(convolvers, &ownConvolver{arrays: held, convolutions: c})
	}
	if *python != "none" {
		t, err := startConvolver(ctx, *python, *backendName)
		if err != nil {
			return err
		}
		defer t.process.Close() // an error here no longer matters
		convolvers = append(convolvers, t)
		for _, p := range precisions {
			if err := r.measureLimits(t, p); err != nil {
				return err
			}
		}
	}
	left := &unfinishedError{}
	err = r.measure(ctx, convolvers, precisions, *least, *folder, func(done int, p cuda.Precision) bool {
		if *budget == 0 || time.Since(start) <= *budget {
			return true
		}
		left.add(fmt.Sprintf("%d of %d shapes in %v", len(all)-done, len(all), p))
		return false
	}, progress)
	if onGPU {
		r.machine += ", " + cuda.DescribeConvolutions(b)[0]
	}
	if err := errors.Join(err, r.write(*folder)); err != nil { // what was measured is not lost
		return err
	}
	if _, err := fmt.Fprint(out, r.summary()); err != nil {
		return err
	}
	return left.report(progress)
}

// measure times the shapes that have no rows, precision by precision, so that a run that is cut
// short has all shapes in the first ones. It asks goOn before each.
func (r *convolutionReport) measure(ctx context.Context, convolvers []convolver, precisions []cuda.Precision, least time.Duration, folder string,
	goOn func(done int, p cuda.Precision) bool, progress io.Writer) error {
	for _, p := range precisions {
		for i, u := range r.shapes {
			if !goOn(i, p) {
				break
			}
			before := len(r.rows)
			fmt.Fprintf(progress, "%v, %d of %d: %s\n", p, i+1, len(r.shapes), u)
			for _, c := range convolvers {
				if r.has(u.shape, p, c.name()) {
					continue
				}
				rows, err := timeShape(ctx, c, u, p, least)
				if err != nil {
					return fmt.Errorf("%s by %s in %v: %w", u, c.name(), p, err)
				}
				r.rows = append(r.rows, rows...)
			}
			if len(r.rows) == before {
				continue
			}
			if err := r.writeRows(folder); err != nil { // the process may be killed
				return err
			}
		}
	}
	return nil
}

func parsePrecisions(list string) (all []cuda.Precision, err error) {
	for _, name := range strings.Split(list, ",") {
		p, err := cuda.ParsePrecision(name)
		if err != nil {
			return nil, fmt.Errorf("-precisions: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

func networksOf(work []workload) (names []string) {
	for _, w := range work {
		names = append(names, w.name)
	}
	return names
}

// startConvolver starts PyTorch on the device of a backend.
func startConvolver(ctx context.Context, python, backend string) (*torchConvolver, error) {
	p, err := startPeer(ctx, python, convolutionScript)
	if err != nil {
		return nil, err
	}
	device, err := p.deviceFor(backend)
	if err != nil {
		p.process.Close()
		return nil, err
	}
	return &torchConvolver{p, device}, nil
}

// timeShape times the computations of a shape. What a convolver cannot compute is a row that says
// why.
func timeShape(ctx context.Context, c convolver, u *used, p cuda.Precision, least time.Duration) (rows []convolutionRow, err error) {
	row := convolutionRow{shape: u.String(), precision: p.String(), who: c.name(), peer: c.isPeer()}
	if err := c.prepare(u.shape, p); err != nil {
		var why *unsupportedError
		if !errors.As(err, &why) {
			return nil, err
		}
		row.failure = why.reason
		return []convolutionRow{row}, nil
	}
	defer func() { err = errors.Join(err, c.release()) }()
	for _, operation := range u.computations() {
		row := row
		row.operation = operation
		seconds, err := c.time(ctx, operation, least)
		if why := (*unsupportedError)(nil); errors.As(err, &why) {
			row.failure = why.reason
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", operation, err)
		}
		row.seconds = seconds
		rows = append(rows, row)
	}
	return rows, nil
}

// computations returns those that the networks need of a shape.
func (u *used) computations() []string {
	if u.inputIsFirst {
		return []string{forward, gradientOfWt}
	}
	return []string{forward, gradientOfX, gradientOfWt}
}
