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
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/page"
	"github.com/x/afl/examples/internal/qualitative"
	"github.com/x/afl/examples/internal/report"
)

// pictures holds what the figure and the page show of validation cases.
type pictures struct {
	cases  []*picture
	layers []layer
}

// layer describes the masks of a training.
type layer struct {
	name  string
	color color.Color
}

// picture is a case of the figure, of the page, or of both.
type picture struct {
	dataset.Case
	column *qualitative.Column // nil unless it is in the figure
	scan   *page.Scan          // nil unless it is in the page
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

// picture chooses the cases and predicts them with the best weights of each training. The
// images are the first channel.
func (r *results) picture(ctx context.Context, figure bool) (*pictures, error) {
	p, err := r.choose(ctx, figure)
	if err != nil {
		return nil, err
	}
	cases := make([]dataset.Case, len(p.cases))
	for i, c := range p.cases {
		cases[i] = c.Case
	}
	pooled := outcome.Store(r.run().Results).Pool()
	for i, t := range r.trainings {
		if t.state.BestEpoch == 0 {
			continue
		}
		p.layers = append(p.layers, layer{page.Name(pooled, i), report.Color(i % len(r.job.Losses))})
		err := t.masks(ctx, cases, func(i int, mask []bool) error {
			c := p.cases[i]
			if c.column != nil {
				c.column.Masks = append(c.column.Masks, mask)
			}
			if c.scan != nil {
				return c.scan.AddMask(mask)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// choose returns the cases, without predictions: for the figure those that [qualitative.Choose]
// chooses among the samples of the first network, and for the page first the same ones, then
// others in their order.
func (r *results) choose(ctx context.Context, figure bool) (*pictures, error) {
	source := r.job.Networks[0].Source
	var lesions []qualitative.Lesion
	var scan onScan
	for sample, err := range (dataset.Loader{Source: source}).Valid(ctx, r.job.Valid) {
		if err != nil {
			return nil, err
		}
		lesion, err := qualitative.Describe(scan.mask(sample))
		if err != nil {
			return nil, fmt.Errorf("train: case %s: %w", sample.ID, err)
		}
		lesions = append(lesions, lesion)
		r.job.Progress.Update(fmt.Sprintf("pictures  reading labels %d/%d", len(lesions), len(r.job.Valid)))
	}
	typical := qualitative.Choose(lesions)
	var p pictures
	for n, choice := range inOrder(typical, len(r.job.Valid)) {
		inFigure, inPage := figure && n < len(typical), n < r.job.PageCases
		if !inFigure && !inPage {
			continue
		}
		c := r.job.Valid[choice.Index]
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
