package afl

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Loss is a segmentation loss. Its implementations here are plain values, safe
// for concurrent use.
type Loss interface {
	// Eval returns L(logits, target): a float64 scalar, or what [ReduceNone]
	// describes. Where grad is not nil it also stores ∂L/∂logits in it; grad has
	// the logits' shape, type and engine and shares no memory with the other
	// arguments. The result lies on the logits' engine; on a GPU it is the caller's
	// to release.
	Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error)
}

// ArgumentError says which argument a call refused. Its fields, all strings, are
// Argument (the argument or option, as in the API), Got (what it was) and Want
// (what was expected).
type ArgumentError = plan.ArgumentError

// Value returns the loss as a number.
func Value(l Loss, logits, target *tensor.Dense, opts ...EvalOption) (float64, error) {
	return GradInto(l, logits, target, nil, opts...)
}

// Grad returns the loss as a number and its gradient with respect to the logits
// in a new tensor of the logits' shape, type and engine.
func Grad(l Loss, logits, target *tensor.Dense, opts ...EvalOption) (float64, *tensor.Dense, error) {
	backend, err := checkLogits(logits)
	if err != nil {
		return 0, nil, err
	}
	grad, err := backend.NewTensor(logits, logits.Shape()...)
	if err != nil {
		return 0, nil, err
	}
	value, err := GradInto(l, logits, target, grad, opts...)
	if err == nil {
		return value, grad, nil
	}
	if r, ok := backend.(plan.Remote); ok {
		err = errors.Join(err, r.Release(grad))
	}
	return 0, nil, err
}

// GradInto returns the loss as a number and stores its gradient with respect to
// the logits in grad, which may be nil and otherwise has the logits' shape, type
// and engine. After an error grad may hold anything.
func GradInto(l Loss, logits, target, grad *tensor.Dense, opts ...EvalOption) (float64, error) {
	if l == nil {
		return 0, plan.Refuse("loss", "nil", "a Loss")
	}
	v, err := l.Eval(logits, target, grad, opts...)
	if err != nil {
		return 0, err
	}
	if v == nil {
		return 0, plan.Refuse("loss value", "nil", "a scalar")
	}
	var remote plan.Remote
	if e, ok := v.Engine().(plan.Provider); ok {
		remote, _ = e.Backend().(plan.Remote)
	}
	if !v.Shape().IsScalar() {
		err := plan.Refuse("Reduction", fmt.Sprintf("one that leaves shape %v", v.Shape()), "one that leaves a scalar")
		if remote != nil {
			err = errors.Join(err, remote.Release(v))
		}
		return 0, err
	}
	if remote != nil {
		return remote.Number(v)
	}
	return plan.Number(v)
}

// EvalOption is an optional argument of [Loss.Eval].
type EvalOption func(*evalConfig)

type evalConfig struct {
	voxelWeight, upstream *tensor.Dense
}

// WithVoxelWeight multiplies every voxel's part in the loss by its entry of w,
// which is N×space or N×1×space, float32 or float64, finite and not negative:
// the elements of the pointwise losses, and the summands p·t, p and t of the
// overlap losses. Denominators of a mean are not changed by it, nor are the
// statistics of A-FL, in which every voxel counts; to leave voxels out
// altogether set an ignore index. The logits of a voxel of weight 0 are not
// read.
func WithVoxelWeight(w *tensor.Dense) EvalOption {
	return func(c *evalConfig) { c.voxelWeight = w }
}

// WithUpstream makes the gradient that of Σ upstream·value, where value is the
// un-reduced loss of [ReduceNone]: the pullback of upstream. It has the value's
// shape and the type of the logits, or float64 where the value is float64.
func WithUpstream(upstream *tensor.Dense) EvalOption {
	return func(c *evalConfig) { c.upstream = upstream }
}

// Reduction says how a loss becomes one number. C' is the number of channels
// that take part and V the number of voxels of a sample.
type Reduction uint8

const (
	// ReduceMean is the mean over samples, channels and voxels that are not
	// ignored (pointwise losses), or over the groups (overlap losses; see each).
	// The softmax cross-entropy of class indices divides by the weights of the
	// labels, as PyTorch does, and is not divided by the number of channels.
	// The mean of a batch in which every voxel is ignored is 0, except for the
	// softmax cross-entropy, where it is NaN as in PyTorch; gradients are 0.
	ReduceMean Reduction = iota
	// ReduceSum is the plain sum.
	ReduceSum
	// ReduceNone leaves the elements: N×C'×space in the logits' type for the
	// pointwise losses (N×space for the softmax cross-entropy). Overlap losses
	// leave one float64 a group: N×C'×1×… (Dice, IoU), N×1×1×… (generalized
	// Dice), N×C' (Tversky), without the N where Batch is set. DiceFocal adds
	// each group to all its elements.
	ReduceNone
	// ReduceVoxelMean sums over the channels and takes the mean over samples
	// and voxels. Pointwise losses only.
	ReduceVoxelMean
	// ReduceSpatialMeanSum is what MONAI's focal losses call "sum": the mean
	// over space, then the sum over samples and channels, which is the plain
	// sum divided by V. For the other losses it equals [ReduceSum], as in MONAI.
	ReduceSpatialMeanSum
)

var reductionNames = [...]string{"mean", "sum", "none", "voxel-mean", "spatial-mean-sum"}

func (r Reduction) String() string { return name(reductionNames[:], int(r), "Reduction") }

// Activation turns logits into probabilities.
type Activation uint8

const (
	// Sigmoid treats each channel as a problem of its own, p = 1/(1+e^−x).
	Sigmoid Activation = iota
	// Softmax normalises over all channels of a voxel.
	Softmax
	// Identity takes the logits as probabilities as they are. Overlap losses only.
	Identity
)

var activationNames = [...]string{"sigmoid", "softmax", "identity"}

func (a Activation) String() string { return name(activationNames[:], int(a), "Activation") }

func name(names []string, i int, kind string) string {
	if i < len(names) {
		return names[i]
	}
	return kind + "(" + strconv.Itoa(i) + ")"
}

// IgnoreIndex is a class index whose voxels take no part in a loss, neither in
// its sums nor in its denominators, and whose gradient is 0. The zero value
// ignores nothing.
type IgnoreIndex struct {
	Set   bool
	Index int64
}

// Ignore returns the IgnoreIndex of a class index, which need not be a class of
// the logits: Ignore(255).
func Ignore(index int64) IgnoreIndex { return IgnoreIndex{Set: true, Index: index} }

func (i IgnoreIndex) String() string {
	if !i.Set {
		return "none"
	}
	return strconv.FormatInt(i.Index, 10)
}

// Options are what all losses share.
type Options struct {
	// Reduction defaults to ReduceMean.
	Reduction Reduction
	// Weight holds class weights: one for each channel that takes part, or one
	// for all; nil means 1. They multiply the terms of their channel; [Dice] leaves
	// them out where only one takes part. Each is finite and at least 0.
	Weight []float64
	// IgnoreIndex needs a target of class indices. Default none.
	IgnoreIndex IgnoreIndex
	// IncludeBackground, true by default, lets channel 0 take part. It always
	// does where C = 1. A softmax runs over all channels in either case.
	IncludeBackground bool
}

func defaultOptions() Options { return Options{IncludeBackground: true} }

// first returns the first channel that takes part.
func (o Options) first(channels int) int {
	if o.IncludeBackground || channels == 1 {
		return 0
	}
	return 1
}

// perChannel checks a list of numbers that has one entry for each of n channels
// or one for all, and spreads it to n.
func perChannel(name string, list []float64, n int) ([]float64, error) {
	out := make([]float64, n)
	switch len(list) {
	case 0:
		for i := range out {
			out[i] = 1
		}
		return out, nil
	case 1, n:
	default:
		want := fmt.Sprintf("1 or %d, one for each channel that takes part", n)
		if n == 1 {
			want = "1"
		}
		return nil, plan.Refuse("length of "+name, len(list), "%s", want)
	}
	for i := range out {
		out[i] = list[min(i, len(list)-1)]
	}
	for i, v := range list {
		if err := checkNumber(fmt.Sprintf("%s[%d]", name, i), v, math.Inf(1)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkNumber refuses what is not a finite number in [0, most].
func checkNumber(name string, v, most float64) error {
	if v >= 0 && v <= most && !math.IsInf(v, 0) {
		return nil
	}
	if math.IsInf(most, 1) {
		return plan.Refuse(name, v, "a finite number of at least 0")
	}
	return plan.Refuse(name, v, "a number from 0 to %v", most)
}

// planner is a loss that is a plan.
type planner interface {
	options() Options
	// plan describes the loss on a batch.
	plan(in *input) (*plan.Loss, error)
}

func (o Options) options() Options { return o }

// binariser is a planner that may read class indices above 1 as 1.
type binariser interface{ binarise() bool }

// elementShape is the shape of a pointwise term without reduction.
func (in *input) elementShape(w *plan.Focal) []int {
	if w.PerVoxel {
		return in.perVoxelShape()
	}
	return append([]int{in.batch.N, in.batch.C - w.First}, in.spatial...)
}

// groupShape is the shape of an overlap term without reduction.
func (in *input) groupShape(o *plan.Overlap) []int {
	samples, channels := o.Grid(in.batch.N, in.batch.C)
	var shape []int
	if !o.Batch {
		shape = append(shape, samples)
	}
	shape = append(shape, channels)
	if o.Kind != plan.Tversky {
		for range in.spatial {
			shape = append(shape, 1)
		}
	}
	return shape
}

// eval evaluates a loss that is a plan.
func eval(l planner, logits, target, grad *tensor.Dense, opts []EvalOption) (*tensor.Dense, error) {
	var cfg evalConfig
	for i, o := range opts {
		if o == nil {
			return nil, plan.Refuse("opts["+strconv.Itoa(i)+"]", "nil", "an EvalOption")
		}
		o(&cfg)
	}
	options := l.options()
	b, binary := l.(binariser)
	in, err := newInput(logits, target, cfg.voxelWeight, options.IgnoreIndex, binary && b.binarise())
	if err != nil {
		return nil, err
	}
	if grad != nil {
		if err := in.checkGrad(grad, cfg.upstream); err != nil {
			return nil, err
		}
	}
	if options.Reduction > ReduceSpatialMeanSum {
		return nil, plan.Refuse("Reduction", options.Reduction, "one of the constants Reduce…")
	}
	p, err := l.plan(in)
	if err != nil {
		return nil, err
	}
	call := &plan.Call{Upstream: cfg.upstream, Grad: grad}
	switch {
	case options.Reduction != ReduceNone:
		if cfg.upstream != nil {
			return nil, plan.Refuse("upstream", "given with Reduction "+options.Reduction.String(), "Reduction none")
		}
	case p.Focal != nil:
		call.Shape = in.elementShape(p.Focal)
		err = in.checkUpstream(cfg.upstream, logits.Dtype(), call.Shape)
	default:
		call.Shape = in.groupShape(p.Overlap)
		err = in.checkUpstream(cfg.upstream, tensor.Float64, call.Shape)
	}
	if err != nil {
		return nil, err
	}
	return in.backend.Eval(&in.batch, p, call)
}
