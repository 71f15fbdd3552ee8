package segment

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// perRegion is the mean over samples and channels of a loss of one channel,
//
//	L = 1/(N·R) · Σ_n Σ_r l(logits_nr, target_nr),
//
// for losses that take class indices, or channel 0 for the background, which regions do not
// have. In A-FL every region has the γ and the α of its own mask.
type perRegion struct{ of afl.Loss }

// Eval implements [afl.Loss]. logits are float32 N×R×space; target is uint8, a map of 0 and 1
// for each region in the same shape.
func (l perRegion) Eval(logits, target, grad *tensor.Dense, opts ...afl.EvalOption) (*tensor.Dense, error) {
	cfg, err := afl.NewEvalConfig(opts...)
	if err != nil {
		return nil, err
	}
	if cfg.Upstream != nil || cfg.VoxelWeight != nil || cfg.DistanceMap != nil {
		return nil, fmt.Errorf("segment: a %T of regions takes no upstream gradient, no distance map and no voxel weight", l.of)
	}
	x, ok := logits.Data().([]float32)
	if !ok {
		return nil, fmt.Errorf("segment: the logits are %v, want float32", logits.Dtype())
	}
	t, ok := target.Data().([]uint8)
	if !ok || !slices.Equal(target.Shape(), logits.Shape()) {
		return nil, fmt.Errorf("segment: the target is %v of shape %v, want uint8 of the logits' shape %v", target.Dtype(), []int(target.Shape()), []int(logits.Shape()))
	}
	var g []float32
	if grad != nil {
		g = grad.Data().([]float32) // package afl has checked grad
	}
	shape := slices.Clone(logits.Shape())
	samples, regions := shape[0], shape[1]
	if cfg.Stats != nil && (len(cfg.Stats) != samples || slices.ContainsFunc(cfg.Stats, func(s afl.LabelStats) bool { return len(s.Classes) != regions })) {
		return nil, fmt.Errorf("segment: there are statistics of %d labels, want one for each sample, with those of each of the %d regions", len(cfg.Stats), regions)
	}
	channels := samples * regions
	n := len(x) / channels
	shape[0], shape[1] = 1, 1
	view := func(backing any) *tensor.Dense {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))
	}
	sum := 0.0
	for c := range channels {
		from, to := c*n, (c+1)*n
		var part *tensor.Dense
		if grad != nil {
			part = view(g[from:to:to])
		}
		given := []afl.EvalOption{afl.WithGradScale(cfg.GradScale)}
		if cfg.Stats != nil {
			given = append(given, afl.WithStats(cfg.Stats[c/regions].Classes[c%regions]))
		}
		v, err := afl.GradInto(l.of, view(x[from:to:to]), view(t[from:to:to]), part, given...)
		if err != nil {
			return nil, fmt.Errorf("segment: region %d: %w", c%regions+1, err)
		}
		sum += v
	}
	for i := range g {
		g[i] /= float32(channels)
	}
	return tensor.New(tensor.FromScalar(sum / float64(channels))), nil
}
