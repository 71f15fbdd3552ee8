package train

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/page"
	"github.com/x/afl/examples/internal/qualitative"
	"github.com/x/afl/examples/internal/report"
)

// pictures holds what the figure and the page show of the reported cases.
type pictures struct {
	cases  []*picture
	layers []layer // the masks of each case
}

// picture is a case of the figure, of the page, or of both.
type picture struct {
	dataset.Case
	column *qualitative.Column // nil unless it is in the figure
	scan   *page.Scan          // nil unless it is in the page
}

// layer describes the masks of a network and a loss.
type layer struct {
	name  string
	color color.Color
}

// add adds the mask of the next layer.
func (p *picture) add(mask []bool) error {
	if p.column != nil {
		p.column.Masks = append(p.column.Masks, mask)
	}
	if p.scan != nil {
		return p.scan.AddMask(mask)
	}
	return nil
}

// columns returns the columns of the figure.
func (p *pictures) columns() []qualitative.Column {
	var columns []qualitative.Column
	for _, c := range p.cases {
		if c.column != nil {
			columns = append(columns, *c.column)
		}
	}
	return columns
}

// removePictures deletes the figure and the page of an earlier run before a training changes,
// so that those that exist show the trainings as they are.
func (r *results) removePictures() error {
	for _, name := range []string{figureName, pageName} {
		err := r.write(name, func(path string) error {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("train: %w", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// writePictures writes the figure, if it does not exist, and the page.
func (r *results) writePictures(ctx context.Context) error {
	err := r.show(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		r.job.Progress.Println(fmt.Sprintf("Stopped before %s was written; the trainings are complete", pageName))
		return ErrInterrupted
	}
	return err
}

func (r *results) show(ctx context.Context) error {
	_, err := os.Stat(filepath.Join(r.job.Dir, figureName))
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return fmt.Errorf("train: %w", err)
	}
	p := &pictures{}
	if missing || r.job.PageCases > 0 {
		if p, err = r.picture(ctx, missing); err != nil {
			return err
		}
	}
	if missing {
		if err := r.drawFigure(p); err != nil {
			return err
		}
	}
	return r.writePage(p)
}

// picture chooses cases, for the figure only if asked to, and predicts them with the best
// weights of each network and loss, from the first seed and the fold that reports the case. It
// leaves out layers without best weights.
func (r *results) picture(ctx context.Context, figure bool) (*pictures, error) {
	p, err := r.choose(ctx, figure)
	if err != nil {
		return nil, err
	}
	pooled := r.run().Results.Pool()
	folds := len(r.job.Splits)
	for i, layerTrainings := range slices.Collect(slices.Chunk(r.trainings, r.job.seeds()*folds)) {
		predicted, err := p.predict(ctx, layerTrainings[:folds])
		if err != nil {
			return nil, err
		}
		if predicted {
			p.layers = append(p.layers, layer{page.Name(pooled, i), report.Color(i % len(r.job.Losses))})
		}
	}
	return p, nil
}

// predict adds what the trainings of one network, loss and seed, one for each fold, predict of
// the cases, each by the first that reports it. It adds nothing and returns false if one of them
// has no best weights.
func (p *pictures) predict(ctx context.Context, folds []*trainer) (bool, error) {
	own := make([][]*picture, len(folds))
	for _, c := range p.cases {
		fold := slices.IndexFunc(folds, func(t *trainer) bool {
			return slices.ContainsFunc(t.split.Reported(), func(k dataset.Case) bool { return k.ID == c.ID })
		})
		own[fold] = append(own[fold], c)
	}
	for i, t := range folds {
		if len(own[i]) > 0 && t.state.BestEpoch == 0 {
			return false, nil
		}
	}
	for i, t := range folds {
		if len(own[i]) == 0 {
			continue
		}
		var cases []dataset.Case
		for _, c := range own[i] {
			cases = append(cases, c.Case)
		}
		if err := t.masks(ctx, cases, func(k int, mask []bool) error { return own[i][k].add(mask) }); err != nil {
			return false, err
		}
	}
	return true, nil
}

// choose returns the cases, without predictions: for the figure those that [qualitative.Choose]
// chooses among the samples of the first network, and for the page first the same ones, then
// others in their order. The images are the first channel.
func (r *results) choose(ctx context.Context, figure bool) (*pictures, error) {
	source := r.job.Networks[0].Source
	var lesions []outcome.Reference
	var scan onScan
	reported := r.reported()
	for sample, err := range (dataset.Loader{Source: source}).Valid(ctx, reported) {
		if err != nil {
			return nil, err
		}
		lesion, err := measure.Reference(scan.mask(sample))
		if err != nil {
			return nil, fmt.Errorf("train: case %s: %w", sample.ID, err)
		}
		lesions = append(lesions, lesion)
		r.job.Progress.Update(fmt.Sprintf("pictures  reading labels %d/%d", len(lesions), len(reported)))
	}
	typical := qualitative.Choose(lesions)
	var p pictures
	for n, choice := range inOrder(typical, len(reported)) {
		inFigure, inPage := figure && n < len(typical), n < r.job.PageCases
		if !inFigure && !inPage {
			continue
		}
		c := reported[choice.Index]
		sample, err := source.Valid(c)
		if err != nil {
			return nil, err
		}
		image, label := firstChannel(sample), scan.mask(sample)
		one := &picture{Case: c}
		if inFigure {
			one.column = &qualitative.Column{ID: c.ID, Kinds: choice.Kinds, Image: image, Label: label}
		}
		if inPage {
			if one.scan, err = page.NewScan(c.ID, image, label); err != nil {
				return nil, err
			}
		}
		p.cases = append(p.cases, one)
	}
	return &p, nil
}

// inOrder returns the typical cases, then the others of n.
func inOrder(typical []qualitative.Choice, n int) []qualitative.Choice {
	all := slices.Clone(typical)
	for i := range n {
		if !slices.ContainsFunc(typical, func(c qualitative.Choice) bool { return c.Index == i }) {
			all = append(all, qualitative.Choice{Index: i})
		}
	}
	return all
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
