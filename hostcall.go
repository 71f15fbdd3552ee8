package afl

import (
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// hostCall is a checked call of a loss that is no plan: it is evaluated in Go memory alone.
type hostCall struct {
	*input
	kernels cpu.Backend
	cfg     EvalConfig
	grad    *tensor.Dense
}

// support says which of the common options a loss has.
type support struct {
	reductions []Reduction
	weight     bool
	ignore     bool
	background bool // ExcludeBackground
	maps       bool // targets of a soft map for each channel; else one-hot maps are class indices
	weights    bool // voxel weights
}

// newHostCall checks a call of a loss that is no plan.
func newHostCall(l configured, has support, logits, target, grad *tensor.Dense, opts []EvalOption) (*hostCall, error) {
	if err := checkConstructed(l); err != nil {
		return nil, err
	}
	cfg, err := NewEvalConfig(opts...)
	if err != nil {
		return nil, err
	}
	o := l.options()
	if err := has.check(o); err != nil {
		return nil, err
	}
	if cfg.VoxelWeight != nil && !has.weights {
		return nil, refuse("voxel weight", "given", "none, as %T has no sum that it could weight", l)
	}
	in, err := newInput(logits, target, cfg.VoxelWeight, o.IgnoreIndex, false)
	if err != nil {
		return nil, err
	}
	kernels, ok := in.backend.(cpu.Backend)
	if !ok {
		return nil, refuse("engine of logits", engineName(logits.Engine()), "one of Go memory, in which alone %T is evaluated", l)
	}
	if grad != nil {
		if err := in.checkGrad(grad, cfg.Upstream); err != nil {
			return nil, err
		}
	}
	if cfg.Upstream != nil && o.Reduction != ReduceNone {
		return nil, refuse("upstream", "given with Reduction "+o.Reduction.String(), "Reduction none")
	}
	c := &hostCall{input: in, kernels: kernels, cfg: cfg, grad: grad}
	if in.batch.Target.Dense && !has.maps {
		if err := c.readOneHot(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// readOneHot replaces a target of maps by class indices.
func (c *hostCall) readOneHot() error {
	t := &c.batch.Target
	if c.batch.C == 1 { // zeros and ones of a float type
		t.Dense = false
		return nil
	}
	if err := c.checkByteClasses(); err != nil {
		return err
	}
	classes := make([]uint8, c.batch.N*c.batch.V)
	if err := c.kernels.OneHotClasses(classes, &c.batch); err != nil {
		return public(err)
	}
	t.Dense, t.Tensor = false, tensor.New(tensor.WithShape(c.perVoxelShape()...), tensor.WithBacking(classes))
	return nil
}

// check refuses options that a loss does not have.
func (s support) check(o Options) error {
	if err := checkReduction(o.Reduction); err != nil {
		return err
	}
	r := o.Reduction
	if r == ReduceSpatialMeanSum && slices.Contains(s.reductions, ReduceSum) {
		r = ReduceSum // the same but for the focal losses
	}
	switch {
	case !slices.Contains(s.reductions, r):
		return refuse("Reduction", o.Reduction, "one of %v", s.reductions)
	case !s.weight && o.Weight != nil:
		return refuse("Weight", o.Weight, "none, as the loss has no class weights")
	case !s.ignore && o.IgnoreIndex.Set:
		return refuse("IgnoreIndex", o.IgnoreIndex, "none, as the loss depends on where all voxels of a class are")
	case !s.background && o.ExcludeBackground:
		return refuse("ExcludeBackground", true, "false")
	}
	return nil
}

// pass makes a pass over the batch, see [cpu.Visit].
func (c *hostCall) pass(v cpu.Visit) ([]float64, error) {
	v.Batch, v.GradScale = &c.batch, c.cfg.GradScale
	sums, err := c.kernels.Visit(&v)
	return sums, public(err)
}

// classes returns the activation of a loss that takes a single channel for two classes, as
// a softmax over (0, x), and whether it is that.
func (c *hostCall) classes(a Activation) (activation plan.Activation, pair bool, err error) {
	if c.batch.C == 1 && (a == Sigmoid || a == Softmax) {
		return plan.Softmax, true, nil
	}
	activation, err = c.activation(a, true)
	return activation, false, err
}

// checkByteClasses refuses more classes than a byte holds beside that of ignored voxels.
func (c *hostCall) checkByteClasses() error {
	if c.batch.C >= kernel.NoClass {
		return refuse("channels of logits", c.batch.C, "at most %d", kernel.NoClass-1)
	}
	return nil
}

// checkPositions refuses more voxels than have positions of 31 bits.
func (c *hostCall) checkPositions() error {
	if all := c.batch.N * c.batch.V; all > math.MaxInt32 {
		return refuse("voxels of logits", all, "at most %d", math.MaxInt32)
	}
	return nil
}

// validVoxels returns the number of voxels of the batch that are not ignored.
func (c *hostCall) validVoxels() (int, error) {
	if !c.batch.Target.HasIgnore {
		return c.batch.N * c.batch.V, nil
	}
	stats, err := c.kernels.Stats(&c.batch, plan.StatsRequest{})
	if err != nil {
		return 0, public(err)
	}
	valid := 0
	for _, n := range stats.Valid {
		valid += int(n)
	}
	return valid, nil
}

// meanVoxels returns the number of voxels that a mean is over: those that are not ignored, at
// least 1.
func (c *hostCall) meanVoxels() (float64, error) {
	valid, err := c.validVoxels()
	return float64(max(valid, 1)), err
}

// total adds the sums of all samples up: as many as one sample has.
func total(sums []float64, width int) []float64 {
	out := make([]float64, width)
	for i, v := range sums {
		out[i%width] += v
	}
	return out
}

// eachPart calls f, concurrently, for parts [lo,hi) of n elements.
func eachPart(n int, f func(lo, hi int)) {
	const part = 1 << 14
	parallel.Each((n+part-1)/part, func(i int) { f(i*part, min((i+1)*part, n)) })
}

// binaryGradient stores the gradient by a pass, where it is wanted: scale times that of the
// elements, and the slopes.
func (c *hostCall) binaryGradient(pass *cpu.Binary, scale float64) error {
	if c.grad == nil {
		return nil
	}
	pass.Scale, pass.Slope, pass.Grad = scale*c.cfg.GradScale, scaleSlopes(pass.Slope, c.cfg.GradScale), c.grad
	_, err := c.kernels.Binary(pass)
	return public(err)
}

// scaleSlopes multiplies derivatives.
func scaleSlopes(slopes [][2]float64, scale float64) [][2]float64 {
	for i := range slopes {
		for y := range slopes[i] {
			slopes[i][y] *= scale
		}
	}
	return slopes
}
