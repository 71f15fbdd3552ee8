package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/report"
)

const predictName = "predict"

const predictAbout = `
Segments the tumor in one case or in a folder of cases with trained weights and
writes the mask as NIfTI on the grid of the case's first image: same voxels, same
position. The scan is preprocessed as in validation and covered by overlapping
windows; the foreground probability is interpolated back to the scan's grid and
thresholded at one half. Of several networks and of mirrored scans the
probabilities are averaged. With -label the mask is also evaluated. -detection
finds lesion candidates on the scan's grid, among the interpolated probabilities.

A network of several classes gives a label map: each voxel has the label of its
most probable class. Of regions, each is thresholded at one half, and a voxel gets
the label that belongs to exactly the regions found there; if there is none, the
regions are painted in order.

Next to the mask, a JSON file records how it was made and the SHA-256 of every file
written. Existing files are overwritten only if such a record shows that predict
wrote them and that they have not changed since, or with -force.

Weights written by this project's programs record their network, what it segments
and how its scans were preprocessed. PyTorch files (.pth) do not: for them give
-protocol, -model and, if the network is not built as published, -options; of
several classes or regions also -classes or -regions.`

// errStopped is the error of a prediction stopped by a signal.
var errStopped = errors.New("stopped")

// PredictMain runs the prediction program with the command-line arguments after its
// name and returns the exit code. The first SIGINT or SIGTERM stops it after the
// current window without writing anything of the current case; the second kills the process.
func PredictMain(args []string) int {
	collectOften()
	return interruptible("window", func(ctx context.Context) int { return Predict(ctx, args, os.Stdout, os.Stderr) })
}

// Predict is like [PredictMain], with the context and the output streams given by the
// caller.
func Predict(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := predict(ctx, args, stdout)
	if errors.Is(err, errStopped) { // exit leaves it to the caller to say what was saved
		fmt.Fprintf(stderr, "%s: %v\n", predictName, err)
	}
	return exit(predictName, err, stderr)
}

func predict(ctx context.Context, args []string, stdout io.Writer) error {
	flags, o := newPredictFlags()
	if help, err := parse(flags, args, stdout, predictName, predictAbout); help || err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return usageErrorf("unexpected argument %q", flags.Arg(0))
	}
	if err := o.check(); err != nil {
		return err
	}
	for i, path := range o.weights {
		var err error
		if o.weights[i], err = o.weightsIn(flags, path); err != nil {
			return err
		}
		if slices.Contains(o.weights[:i], o.weights[i]) {
			return usageErrorf("-weights: %s is given twice", o.weights[i])
		}
	}
	cases, err := o.findCases()
	if err != nil {
		return err
	}
	if o.casesPath == "" {
		// Before the weights are read; their classes may add files, which are checked below.
		if err := o.checkOutputs(cases, nil); err != nil {
			return err
		}
	}
	members, err := o.openMembers(flags)
	if err != nil {
		return err
	}
	defer func() {
		for _, m := range members {
			m.file.Close()
		}
	}()
	if err := o.checkDetection(members[0].use.Protocol.Scheme); err != nil {
		return err
	}
	progress := report.NewProgress(stdout)
	for i := range cases {
		var warning string
		if cases[i], warning, err = orderChannels(cases[i], o.listed, channelsOf(members), o.images != ""); err != nil {
			return err
		}
		if warning != "" {
			progress.Println(warning)
		}
	}
	if err := o.checkOutputs(cases, members); err != nil {
		return err
	}
	backend, err := backends.Open(string(o.backend), backends.Options{Convolutions: o.conv.value})
	if err != nil {
		return usageErrorf("-backend %s: %v", o.backend, err)
	}
	p := &predictor{options: o, members: members, backend: backend, cases: len(cases), progress: progress}
	return p.all(ctx, cases)
}

// all predicts every case and, if they have labels, sums up their measures.
func (p *predictor) all(ctx context.Context, cases []dataset.Case) error {
	var results []report.CasePrediction
	for i, c := range cases {
		if p.cases > 1 {
			p.printf("Case %d of %d", i+1, p.cases)
		}
		result, err := p.predict(ctx, c)
		switch {
		case errors.Is(err, errStopped) && i == 0:
			return fmt.Errorf("%w; nothing was written", errStopped)
		case errors.Is(err, errStopped):
			return fmt.Errorf("%w; %d of %d cases were written", errStopped, i, p.cases)
		case err != nil:
			return err
		}
		results = append(results, report.CasePrediction{ID: c.ID, Prediction: result})
	}
	if p.options.casesPath == "" || !labeled(cases) {
		return nil
	}
	out := p.options.summary()
	facts := map[string]any{"cases": len(cases), "networks": p.networkFacts()}
	err := out.write(&report.Prediction{}, facts, func(path string) error {
		if path == out.files[0] {
			return report.WritePredictionsCSV(path, results)
		}
		return report.WriteDetectionEntriesCSV(path, detected(results))
	})
	if err != nil {
		return err
	}
	p.printf("\nMeans over %d cases:\n\n%s\nWritten to %s.", len(cases), report.PredictionsTable(results), out.files[0])
	return p.detectionSummary(detected(results), out)
}

// summary returns the files of the measures of all cases.
func (o *predictOptions) summary() outputs {
	out := outputs{record: filepath.Join(o.out, "measures.json"), files: []string{filepath.Join(o.out, "measures.csv")}}
	if o.detects() {
		out.files = append(out.files, filepath.Join(o.out, "detection.csv"))
	}
	return out
}

// checkOutputs checks, before the long computation, that the files of every case can be
// written and overwrite no file that predict did not write. Without members it does so for
// the masks and measures alone.
func (o *predictOptions) checkOutputs(cases []dataset.Case, members []*member) error {
	if err := o.makeFolder(); err != nil {
		return err
	}
	inputs := append([]string(nil), o.weights...)
	for _, c := range cases {
		inputs = append(append(inputs, c.Images...), c.Label)
	}
	var all []outputs
	for _, c := range cases {
		all = append(all, o.outputs(c, members))
	}
	if o.casesPath != "" && labeled(cases) {
		all = append(all, o.summary())
	}
	for _, out := range all {
		if err := out.check(o.force, inputs); err != nil {
			return err
		}
	}
	return nil
}

// sameScheme returns an error unless all members segment the same.
func sameScheme(members []*member) error {
	for _, m := range members[1:] {
		first := members[0]
		if !reflect.DeepEqual(m.use.Protocol.Scheme, first.use.Protocol.Scheme) {
			return usageErrorf("-weights: %s segments %v, but %s segments %v", first.path, first.use.Protocol.Scheme, m.path, m.use.Protocol.Scheme)
		}
	}
	return nil
}
