package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/qualitative"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/surface"
	"github.com/x/afl/examples/internal/weights"
)

// removeFigure deletes the figure of an earlier run before a training changes, so that a
// figure that exists shows the trainings as they are.
func (r *results) removeFigure() error {
	return r.write(figureName, func(path string) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("train: %w", err)
		}
		return nil
	})
}

// figure writes the figure if it does not exist.
func (r *results) figure(ctx context.Context) error {
	_, err := os.Stat(filepath.Join(r.job.Dir, figureName))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = r.drawFigure(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		r.job.Progress.Println(fmt.Sprintf("Stopped before %s was drawn; the trainings are complete", figureName))
		return ErrInterrupted
	}
	return err
}

// drawFigure writes the figure of the reported cases that [qualitative.Choose] chooses, with
// the predictions of the best weights of each network and loss, from the first seed and the
// fold that reports the case. It leaves out rows without best weights, and writes nothing if
// no case has anything to segment. The slices show the first channel.
func (r *results) drawFigure(ctx context.Context) error {
	columns, cases, err := r.columns(ctx)
	if err != nil {
		return err
	}
	if len(columns) == 0 {
		r.job.Progress.Println(fmt.Sprintf("No %s: no %s case has anything to segment.", figureName, map[bool]string{false: "validation", true: "test"}[r.job.Report.Held()]))
		return nil
	}
	f := &qualitative.Figure{Title: fmt.Sprintf("%s (run %s)", r.job.Title, r.job.ID), Columns: columns}
	folds := len(r.job.Splits)
	for i, row := range slices.Collect(slices.Chunk(r.trainings, r.job.seeds()*folds)) {
		t := row[0]
		masks, err := r.rowMasks(ctx, row[:folds], cases)
		if err != nil {
			return err
		}
		if masks == nil {
			continue
		}
		name := t.title
		if len(r.job.Networks) > 1 {
			name = t.network.Title + ", " + t.title
		}
		f.Rows = append(f.Rows, qualitative.Row{Name: name, Color: report.Color(i % len(r.job.Losses))})
		for c := range columns {
			columns[c].Masks = append(columns[c].Masks, masks[c])
		}
	}
	return r.write(figureName, f.WritePNG)
}

// rowMasks returns what the trainings of one network, loss and seed, one for each fold, predict
// of the cases, each by the first that reports it. The result is nil if one of them has no best
// weights.
func (r *results) rowMasks(ctx context.Context, folds []*trainer, cases []dataset.Case) ([][]bool, error) {
	masks := make([][]bool, len(cases))
	for _, t := range folds {
		var own []int
		for i, c := range cases {
			if masks[i] == nil && slices.ContainsFunc(t.split.Reported(), func(k dataset.Case) bool { return k.ID == c.ID }) {
				own = append(own, i)
			}
		}
		if len(own) == 0 {
			continue
		}
		if t.state.BestEpoch == 0 {
			return nil, nil
		}
		var of []dataset.Case
		for _, i := range own {
			of = append(of, cases[i])
		}
		predicted, err := t.masks(ctx, of)
		if err != nil {
			return nil, err
		}
		for k, i := range own {
			masks[i] = predicted[k]
		}
	}
	return masks, nil
}

// reported returns the cases that the run reports, each once.
func (r *results) reported() []dataset.Case {
	var cases []dataset.Case
	known := map[string]bool{}
	for i := range r.job.Splits {
		for _, c := range r.job.Splits[i].Reported() {
			if !known[c.ID] {
				known[c.ID] = true
				cases = append(cases, c)
			}
		}
	}
	return cases
}

// columns returns the columns of the figure, without predictions, and their cases. They are
// chosen among the samples of the first network.
func (r *results) columns(ctx context.Context) ([]qualitative.Column, []dataset.Case, error) {
	source := r.job.Networks[0].Source
	var lesions []outcome.Reference
	var scan onScan
	reported := r.reported()
	for sample, err := range (dataset.Loader{Source: source}).Valid(ctx, reported) {
		if err != nil {
			return nil, nil, err
		}
		lesion, err := measure.Reference(scan.mask(sample))
		if err != nil {
			return nil, nil, fmt.Errorf("train: case %s: %w", sample.ID, err)
		}
		lesions = append(lesions, lesion)
		r.job.Progress.Update(fmt.Sprintf("%s  reading labels %d/%d", figureName, len(lesions), len(reported)))
	}
	var columns []qualitative.Column
	var cases []dataset.Case
	for _, choice := range qualitative.Choose(lesions) {
		c := reported[choice.Index]
		sample, err := source.Valid(c)
		if err != nil {
			return nil, nil, err
		}
		columns = append(columns, qualitative.Column{
			ID: c.ID, Kinds: choice.Kinds, Image: firstChannel(sample), Label: scan.mask(sample),
		})
		cases = append(cases, c)
	}
	return columns, cases, nil
}

// masks returns what the best weights predict of cases: every voxel that is not background.
func (t *trainer) masks(ctx context.Context, cases []dataset.Case) (masks [][]bool, err error) {
	if t.net, err = t.network.New(t.key.Seed); err != nil {
		return nil, err
	}
	defer func() { t.net, t.logits, t.scan = nil, nil, onScan{} }()
	best, metadata, err := weights.Load(t.bestPath())
	if err != nil {
		return nil, err
	}
	if err := t.checkBest(metadata); err != nil {
		return nil, err
	}
	if err := nn.LoadStateDict(t.job.Backend, t.net, best); err != nil {
		return nil, fmt.Errorf("train: %s: %w", t.bestPath(), err)
	}
	for i, c := range cases {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t.job.Progress.Update(fmt.Sprintf("%s  %s  predicting %d/%d", figureName, t.label, i+1, len(cases)))
		sample, err := t.network.Source.Valid(c)
		if err != nil {
			return nil, err
		}
		mask, err := t.mask(sample)
		if err != nil {
			return nil, fmt.Errorf("train: case %s: %w", c.ID, err)
		}
		masks = append(masks, mask)
	}
	return masks, nil
}

// mask predicts one sample on the grid of its scan.
func (t *trainer) mask(s *dataset.Sample) ([]bool, error) {
	defer t.job.Backend.EndStep()
	if _, err := t.forward(nn.NewTape(t.job.Backend, nn.Inference, 0), s); err != nil {
		return nil, err
	}
	if bad, ok := measure.NonFinite(t.logits); ok {
		return nil, fmt.Errorf("the network's output contains %v", bad)
	}
	t.scan.take(t.logits, s)
	predicted, err := afl.Predict(t.rule, t.scan.logits)
	if err != nil {
		return nil, err
	}
	return foreground(predicted, s.Scan.Size), nil
}

// mask returns the label of a sample on the grid of its scan.
func (o *onScan) mask(s *dataset.Sample) surface.Mask {
	o.takeLabel(s)
	return surface.Mask{Dims: s.Scan.Size, Spacing: s.Spacing, Voxels: foreground(o.label, s.Scan.Size)}
}

// foreground returns the voxels that are not 0 in any of the maps, uint8, of a grid.
func foreground(maps *tensor.Dense, dims [3]int) []bool {
	mask := make([]bool, dims[0]*dims[1]*dims[2])
	for values := range slices.Chunk(maps.Data().([]uint8), len(mask)) {
		for i, v := range values {
			mask[i] = mask[i] || v != 0
		}
	}
	return mask
}

// firstChannel returns the first channel of a sample's image on the grid of its scan.
func firstChannel(s *dataset.Sample) []float32 {
	shape := s.Image.Shape()
	image := make([]float32, s.Scan.Size[0]*s.Scan.Size[1]*s.Scan.Size[2])
	first := tensor.Shape{1, 1, shape[2], shape[3], shape[4]}
	each(s.Scan, first, func(inside, full, n int) {
		copy(image[inside:inside+n], s.Image.Data().([]float32)[full:])
	})
	return image
}
