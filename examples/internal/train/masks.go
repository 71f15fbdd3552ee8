package train

import (
	"context"
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/surface"
)

// masks calls use with what the best weights predict of each case: every voxel that is not
// background.
func (t *trainer) masks(ctx context.Context, cases []dataset.Case, use func(i int, mask []bool) error) (err error) {
	if t.net, err = t.network.New(t.key.Seed); err != nil {
		return err
	}
	defer func() { t.net, t.logits, t.scan = nil, nil, onScan{} }()
	if err := t.loadBest(); err != nil {
		return err
	}
	for i, c := range cases {
		if err := ctx.Err(); err != nil {
			return err
		}
		t.job.Progress.Update(fmt.Sprintf("pictures  %s  predicting %d/%d", t.label, i+1, len(cases)))
		sample, err := t.network.Source.Valid(c)
		if err != nil {
			return err
		}
		mask, err := t.mask(ctx, sample)
		if err != nil {
			return fmt.Errorf("train: case %s: %w", c.ID, err)
		}
		if err := use(i, mask); err != nil {
			return err
		}
	}
	return nil
}

// mask predicts one sample on the grid of its scan.
func (t *trainer) mask(ctx context.Context, s *dataset.Sample) ([]bool, error) {
	if err := t.infer(ctx, s); err != nil {
		return nil, err
	}
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
	nn.Crop(image, s.Image.Data().([]float32), first, nn.Box(s.Scan))
	return image
}
