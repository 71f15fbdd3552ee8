package train

import (
	"context"
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/nn"
)

// infer predicts a sample, and leaves its logits and label on the grid of its scan in t.scan.
// A logit that is NaN or infinite is a *nn.NonFiniteError.
func (t *trainer) infer(ctx context.Context, s *dataset.Sample) error {
	if t.job.Window.Size == [3]int{} && len(t.job.Mirror) == 0 {
		return t.inferWhole(s)
	}
	size, shape := s.Scan.Size, s.Image.Shape()
	image := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, shape[1], size[0], size[1], size[2]))
	nn.Crop(image.Data().([]float32), s.Image.Data().([]float32), shape, nn.Box(s.Scan))
	plan, err := infer.NewPlan(nn.WithoutHeads(t.net), size, t.job.Window)
	if err != nil {
		return fmt.Errorf("train: case %s: %w", s.ID, err)
	}
	passes, err := plan.Mirrored(ctx, t.job.Backend, nn.WithoutHeads(t.net), image, t.job.Mirror, nil)
	if err != nil {
		return fmt.Errorf("train: case %s: %w", s.ID, err)
	}
	t.scan.takeLabel(s)
	t.scan.logits, err = infer.Combine(t.rule, passes...)
	return err
}

// inferWhole is infer in one pass of the network.
func (t *trainer) inferWhole(s *dataset.Sample) error {
	defer t.job.Backend.EndStep()
	ys, err := t.forward(nn.NewTape(t.job.Backend, nn.Inference, 0), s)
	if err != nil {
		return err
	}
	t.logits = reuse(t.logits, tensor.Float32, ys[0].Shape()...)
	if err := t.job.Backend.ToHost(ys[0].Array(), t.logits); err != nil {
		return err
	}
	if bad, found := nn.FirstNonFinite(t.logits.Data().([]float32)); found {
		return &nn.NonFiniteError{Value: float64(bad)}
	}
	t.scan.take(t.logits, s)
	return nil
}
