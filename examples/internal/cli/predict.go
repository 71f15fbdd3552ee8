package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/examples/internal/weights"
)

const predictName = "predict"

const predictAbout = `
Segments the tumor in one case with trained weights and writes the mask as NIfTI
on the grid of the case's first image: same voxels, same position. The scan is
preprocessed as in validation and covered by overlapping windows; the foreground
probability is interpolated back to the scan's grid and thresholded at one half.
With -label the mask is also evaluated.

Weights written by this project's programs record their network and how its scans
were preprocessed. PyTorch files (.pth) do not: for them give -protocol, -model
and, if the network is not built as published, -options.`

// errStopped is the error of a prediction stopped by a signal.
var errStopped = errors.New("stopped; nothing was written")

// PredictMain runs the prediction program with the command-line arguments after its
// name and returns the exit code. The first SIGINT or SIGTERM stops it after the
// current window without writing anything; the second kills the process.
func PredictMain(args []string) int {
	return interruptible("window", func(ctx context.Context) int { return Predict(ctx, args, os.Stdout, os.Stderr) })
}

// Predict is like [PredictMain], with the context and the output streams given by the
// caller.
func Predict(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := predict(ctx, args, stdout)
	if errors.Is(err, errStopped) {
		fmt.Fprintf(stderr, "%s: %v\n", predictName, err)
	}
	return exit(predictName, err, stderr)
}

func predict(ctx context.Context, args []string, stdout io.Writer) error {
	flags, o := newPredictFlags()
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			usage(stdout, predictName, predictAbout, flags)
			return nil
		}
		return usageErrorf("%v", err)
	}
	if flags.NArg() > 0 {
		return usageErrorf("unexpected argument %q", flags.Arg(0))
	}
	if err := o.check(); err != nil {
		return err
	}
	c, err := o.findCase()
	if err != nil {
		return err
	}
	if err := o.checkOut(c); err != nil {
		return err
	}
	file, err := openWeights(o.weights, "")
	if err != nil {
		return err
	}
	defer file.Close()
	u, err := o.use(flags, file.Metadata())
	if err != nil {
		return err
	}
	p := &prediction{options: o, use: u, dataCase: c, progress: report.NewProgress(stdout)}
	return p.run(ctx, file)
}

// prediction is the prediction of one case.
type prediction struct {
	options  *predictOptions
	use      *use
	dataCase dataset.Case
	progress *report.Progress
}

func (p *prediction) printf(format string, args ...any) {
	p.progress.Println(fmt.Sprintf(format, args...))
}

func (p *prediction) run(ctx context.Context, file *weights.File) error {
	scan, err := volume.ReadHeader(p.dataCase.Images[0])
	if err != nil {
		return err
	}
	sample, err := p.use.Protocol.Valid(p.dataCase)
	if err != nil {
		return err
	}
	size := [3]int(sample.Image.Shape()[2:])
	channels := sample.Image.Shape()[1]
	p.printf("Case: %s, image channels: %d, %s voxels of %s mm.", sample.ID, channels, times(scan.Dims), formatSpacing(scan.Spacing()))

	backend, err := backends.Open(string(p.options.backend), backends.Options{})
	if err != nil {
		return usageErrorf("-backend %s: %v", p.options.backend, err)
	}
	if p.use.Config.InChannels == 0 {
		p.use.Config.InChannels = channels
	}
	if want := p.use.Config.InChannels; channels != want {
		return fmt.Errorf("case %s has %d image channels, but the network in %s takes %d", sample.ID, channels, p.options.weights, want)
	}
	net, err := models.New(p.use.Config, backend, 0)
	if err != nil {
		return err
	}
	fitted, err := fitWeights(file, net, p.options.weightsPrefix)
	if err != nil {
		return err
	}
	if err := nn.LoadStateDict(backend, net, fitted.State); err != nil {
		return fmt.Errorf("-weights: %s: %w", p.options.weights, err)
	}
	window := infer.Window{Size: p.use.window, Overlap: p.options.overlap, Blend: infer.Blend(p.options.blend.value)}
	plan, err := infer.NewPlan(net, size, window)
	if err != nil {
		return err
	}
	p.printf("Network: %s, %d parameters; weights: %s.%s", p.use.Config.Name(), nn.CountParameters(net), p.options.weights, describeFit(fitted))
	p.printf("Network grid: %s voxels of %s mm; windows: %d of %s, overlap %g, %s weights.",
		times(size), formatSpacing(sample.Spacing), plan.Count, times(plan.Size), window.Overlap, window.Blend)
	p.printf("Mask: %s.", ruleDescriptions[p.use.rule])

	logits, err := p.logits(ctx, backend, net, plan, sample)
	if err != nil {
		return err
	}
	mask, err := infer.Mask(p.use.rule, logits, sample.Affine, scan.Dims, scan.Affine)
	if err != nil {
		return err
	}
	result, err := p.measure(logits, sample, mask, plan)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errStopped
	}
	return p.write(mask, result)
}

var ruleDescriptions = map[afl.PredictionRule]string{
	afl.SigmoidChannel1: "sigmoid of channel 1 above 0.5",
	afl.Argmax:          "the larger of the two channels",
}

// logits predicts the sample and reports the progress.
func (p *prediction) logits(ctx context.Context, backend nn.Backend, net nn.Network, plan *infer.Plan, sample *dataset.Sample) (*tensor.Dense, error) {
	start := time.Now()
	logits, err := plan.Logits(ctx, backend, net, sample.Image, func(done int) {
		left := time.Since(start) / time.Duration(done) * time.Duration(plan.Count-done)
		p.progress.Update(fmt.Sprintf("%s  window %d/%d  left %s", sample.ID, done, plan.Count, report.Duration(left)))
	})
	if ctx.Err() != nil {
		return nil, errStopped
	}
	return logits, err
}

// measure compares the prediction with the label, if there is one: the mask as
// written, on the scan's grid, and the logits on the network's grid, as training does.
func (p *prediction) measure(logits *tensor.Dense, sample *dataset.Sample, mask *volume.Volume, plan *infer.Plan) (*report.Prediction, error) {
	if p.dataCase.Label == "" {
		return nil, nil
	}
	network, err := measure.Logits(logits, sample.Label, sample.Spacing, p.use.rule, measure.Everything)
	if err != nil {
		return nil, err
	}
	label, err := volume.Read(p.dataCase.Label) // Protocol.Valid has checked its values and grid
	if err != nil {
		return nil, err
	}
	scan, err := measure.Masks(maskTensor(mask), maskTensor(label), mask.Spacing())
	if err != nil {
		return nil, err
	}
	return &report.Prediction{
		Facts: map[string]any{
			"case": p.dataCase.ID, "images": p.dataCase.Images, "label": p.dataCase.Label, "mask": p.options.out,
			"weights": p.options.weights, "settings": p.use.Settings, "decision": p.use.rule.String(),
			"window": plan.Size, "windows": plan.Count, "overlap": p.options.overlap, "blend": p.options.blend.value,
		},
		Grids: []report.GridValues{{Grid: "scan", Values: scan}, {Grid: "network", Values: network}},
	}, nil
}

// maskTensor returns the voxels of a mask as 0 and 1, where 1 marks nonzero voxels.
func maskTensor(v *volume.Volume) *tensor.Dense {
	values := make([]uint8, len(v.Data))
	for i, x := range v.Data {
		if x != 0 {
			values[i] = 1
		}
	}
	return tensor.New(tensor.WithShape(v.Dims[0], v.Dims[1], v.Dims[2]), tensor.WithBacking(values))
}

// write writes the mask and, next to it, the measures.
func (p *prediction) write(mask *volume.Volume, result *report.Prediction) error {
	out := p.options.out
	if err := volume.Write(out, mask, volume.WriteOptions{Type: volume.Uint8}); err != nil {
		return err
	}
	voxels := 0
	for _, v := range mask.Data {
		voxels += int(v)
	}
	s := mask.Spacing()
	p.printf("Written to %s: %d tumor voxels, %.3g ml.", out, voxels, float64(voxels)*s[0]*s[1]*s[2]/1000)
	if result == nil {
		return nil
	}
	stem := out[:len(out)-len(niftiExtension(out))]
	if err := result.WriteCSV(stem + ".csv"); err != nil {
		return err
	}
	if err := result.WriteJSON(stem + ".json"); err != nil {
		return err
	}
	p.printf("\n%s\n- scan: the written mask against the given label. network: on the network's grid, as in\n"+
		"  training; the soft measures need probabilities, which exist only there.\n\nWritten to %s and %s.",
		result.Table(), stem+".csv", stem+".json")
	return nil
}

// niftiExtension returns the NIfTI extension of a file name, or "" if it has none.
func niftiExtension(path string) string {
	for _, ext := range []string{".nii.gz", ".nii"} {
		if strings.HasSuffix(strings.ToLower(path), ext) && len(filepath.Base(path)) > len(ext) {
			return path[len(path)-len(ext):]
		}
	}
	return ""
}

// formatSpacing formats a spacing as 0.5×0.5×3.
func formatSpacing(s [3]float64) string {
	round := func(v float64) float64 { return math.Round(v*1e4) / 1e4 }
	return fmt.Sprintf("%g×%g×%g", round(s[0]), round(s[1]), round(s[2]))
}
