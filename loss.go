package afl

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// Loss is a segmentation loss. The losses of this package are plain values, safe
// for concurrent use. They hold slices: compare them with reflect.DeepEqual, not
// with ==.
//
// A loss defined in another package implements Eval. It reads its optional arguments
// with [NewEvalConfig], and may evaluate other losses and pass the options on to them.
//
// A nil pointer to a loss is refused by every function that takes a Loss, and so is a loss
// that embeds one, or a nil Loss, at any depth. Only its own Eval, a method of a value,
// panics as in all of Go.
type Loss interface {
	// Eval returns L(logits, target): a float64 scalar, or what [ReduceNone]
	// describes. Where grad is not nil it also stores ∂L/∂logits in it, in every
	// element; grad has the logits' shape, type and engine and shares no memory with
	// the other arguments. The result lies on the logits' engine; on a GPU it is the caller's
	// to release.
	Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error)
}

// Value returns the loss as a number. A loss that is not reduced to one is refused.
func Value(l Loss, logits, target *tensor.Dense, opts ...EvalOption) (float64, error) {
	return GradInto(l, logits, target, nil, opts...)
}

// Grad returns the loss as a number and its gradient with respect to the logits
// in a new tensor of the logits' shape, type and engine. A loss that is not reduced
// to a number is refused.
func Grad(l Loss, logits, target *tensor.Dense, opts ...EvalOption) (float64, *tensor.Dense, error) {
	backend, err := checkLogits(logits)
	if err != nil {
		return 0, nil, err
	}
	grad, err := backend.NewTensor(logits, logits.Shape()...)
	if err != nil {
		return 0, nil, public(err)
	}
	value, err := GradInto(l, logits, target, grad, opts...)
	if err == nil {
		return value, grad, nil
	}
	return 0, nil, errors.Join(err, release(grad))
}

// GradInto returns the loss as a number and stores its gradient with respect to
// the logits in grad, which may be nil and otherwise has the logits' shape, type
// and engine. After an error the contents of grad are unspecified.
func GradInto(l Loss, logits, target, grad *tensor.Dense, opts ...EvalOption) (float64, error) {
	v, err := evalScalar("loss", l, logits, target, grad, opts)
	if err != nil {
		return 0, err
	}
	if r := remote(v); r != nil {
		x, err := r.Number(v)
		return x, public(err)
	}
	x, err := plan.Number(v)
	return x, public(err)
}

// evalScalar evaluates a loss that has to be reduced to a scalar; argument is its
// name in errors.
func evalScalar(argument string, l Loss, logits, target, grad *tensor.Dense, opts []EvalOption) (*tensor.Dense, error) {
	if err := checkLoss(argument, l); err != nil {
		return nil, err
	}
	// A loss defined in another package need not check these.
	in, err := newLogitsInput(logits)
	if err != nil {
		return nil, err
	}
	if target == nil {
		return nil, refuse("target", "nil", "a tensor")
	}
	in.batch.Target.Tensor = target
	if grad != nil {
		if err := in.checkGrad(grad, nil); err != nil {
			return nil, err
		}
	}
	v, err := l.Eval(logits, target, grad, opts...)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, refuse("value of "+argument, "nil", "a scalar")
	}
	if !v.Shape().IsScalar() {
		err := refuse("Reduction", fmt.Sprintf("one that leaves shape %v", v.Shape()), "one that leaves a scalar")
		return nil, errors.Join(err, release(v))
	}
	return v, nil
}

// checkLoss refuses nil, also a nil pointer to a loss, and a loss that embeds one or a nil
// interface and so may have its Eval from there: their methods would panic.
func checkLoss(argument string, l Loss) error {
	if l == nil {
		return refuse(argument, "nil", "a Loss")
	}
	v := reflect.ValueOf(l)
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return refuse(argument, fmt.Sprintf("a nil %T", l), "a Loss")
	}
	if embedded := nilEmbedded(v); embedded != nil {
		return refuse(argument, fmt.Sprintf("a %T that embeds a nil %v", l, embedded), "a Loss")
	}
	return nil
}

// nilEmbedded returns the type of a nil pointer or interface that is a Loss and embedded
// in v, at any depth, or nil.
func nilEmbedded(v reflect.Value) reflect.Type {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		field, of := v.Field(i), v.Type().Field(i)
		if !of.Anonymous || !of.Type.Implements(reflect.TypeFor[Loss]()) {
			continue
		}
		if k := field.Kind(); (k == reflect.Pointer || k == reflect.Interface) && field.IsNil() {
			return of.Type
		}
		if field.Kind() == reflect.Interface && field.Elem().Kind() == reflect.Pointer && field.Elem().IsNil() {
			return field.Elem().Type()
		}
		if embedded := nilEmbedded(field); embedded != nil {
			return embedded
		}
	}
	return nil
}

// remote returns the backend of a tensor that lies in memory of its own, else nil.
func remote(t *tensor.Dense) plan.Remote {
	if e, ok := t.Engine().(plan.Provider); ok {
		r, _ := e.Backend().(plan.Remote)
		return r
	}
	return nil
}

// release gives back the memory of a tensor that Go does not collect.
func release(t *tensor.Dense) error {
	if r := remote(t); r != nil {
		return public(r.Release(t))
	}
	return nil
}

// Reduction says how a loss becomes one number from its elements, which a pointwise
// loss has for every voxel and mostly every channel, or from its groups: the voxels
// over which an overlap loss sums before it takes a ratio. C' is the number of included
// channels (all, or all but the background) and V the number of voxels of a sample.
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
	// leave one float64 per group: N×C'×1×… (Dice, IoU), N×1×1×… (generalized
	// Dice), N×C' (Tversky), without the N where Batch is set. [Compound] adds
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
	// Softmax normalizes over all channels of a voxel. Of one channel it would be
	// 1 whatever the logit, so that a loss refuses it there, and [Compound], which
	// means the same by either, takes the sigmoid.
	Softmax
	// Identity takes the logits as probabilities as they are. Overlap losses only.
	Identity
	// SoftmaxMONAI is [Softmax] but for two cases, in which it does what MONAI and
	// PyTorch do. With one channel overlap losses take the logits as probabilities, so
	// that the loss has no lower bound, and pointwise losses are 0. [Focal]
	// without the background drops channel 0 before the softmax, which then runs
	// over the rest; of two channels that leaves one, and a loss of 0.
	SoftmaxMONAI
)

var activationNames = [...]string{"sigmoid", "softmax", "identity", "softmax-monai"}

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
	switch {
	case i.Set:
		return strconv.FormatInt(i.Index, 10)
	case i.Index != 0:
		return fmt.Sprintf("index %d without Set", i.Index)
	}
	return "none"
}

// check refuses an index that is not set, which would ignore nothing.
func (i IgnoreIndex) check() error {
	if !i.Set && i.Index != 0 {
		return refuse("IgnoreIndex", i, "one made by Ignore")
	}
	return nil
}

// Options are what all losses share. The zero value holds the defaults.
type Options struct {
	// Reduction defaults to ReduceMean.
	Reduction Reduction
	// Weight holds class weights: one for each of the C' included channels,
	// or one for all; nil means 1. Each is finite and at least 0. They multiply
	// the terms of their channel. Where a single channel is included they have no
	// effect, as in MONAI since 1.3.1 (see SingleChannelWeight).
	Weight []float64
	// SingleChannelWeight applies Weight also where a single channel is included,
	// as MONAI's focal loss did up to 1.3.0.
	SingleChannelWeight bool
	// IgnoreIndex needs a target of class indices. Default none.
	IgnoreIndex IgnoreIndex
	// ExcludeBackground leaves channel 0 out (MONAI's include_background=False).
	// With C = 1 that channel is included all the same. A softmax runs over all
	// channels in either case.
	ExcludeBackground bool
}

// first returns the first included channel.
func (o Options) first(channels int) int {
	if o.ExcludeBackground && channels > 1 {
		return 1
	}
	return 0
}

// weights returns a weight for each of n included channels.
func (o Options) weights(n int) ([]float64, error) {
	w, err := perChannel("Weight", o.Weight, n)
	if err == nil && n == 1 && !o.SingleChannelWeight {
		w[0] = 1
	}
	return w, err
}

func (o Options) options() Options { return o }

// constructed is embedded in every loss. It is false in a literal, in which options
// whose default is not zero lack it; such a loss is refused rather than evaluated
// with settings that nobody chose.
type constructed struct{ byConstructor bool }

func (c constructed) isConstructed() bool { return c.byConstructor }

// perChannel checks a list of numbers that has one entry for each of n channels
// or one for all, and spreads it to n. No entry means 1.
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
		want := fmt.Sprintf("1 or %d, one for each included channel", n)
		if n == 1 {
			want = "1"
		}
		return nil, refuse("length of "+name, len(list), "%s", want)
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

// requiredPerChannel is perChannel for a list that must not be empty.
func requiredPerChannel(name string, list []float64, n int) ([]float64, error) {
	if len(list) == 0 {
		return nil, refuse(name, "empty", "one number for all channels, or one for each of the %d included ones", n)
	}
	return perChannel(name, list, n)
}

// checkNumber refuses what is not a finite number in [0, most].
func checkNumber(name string, v, most float64) error {
	if v >= 0 && v <= most && !math.IsInf(v, 0) {
		return nil
	}
	if math.IsInf(most, 1) {
		return refuse(name, v, "a finite number of at least 0")
	}
	return refuse(name, v, "a number from 0 to %v", most)
}

// configured is a loss of this package that has options.
type configured interface {
	options() Options
	isConstructed() bool
	// constructor names the function that makes such a loss.
	constructor() string
}

// planner is a loss that is a plan.
type planner interface {
	configured
	// plan describes the loss on a batch.
	plan(in *input) (*plan.Loss, error)
}

// binarizer is a planner that may read class indices above 1 as 1.
type binarizer interface{ binarize() bool }

// eval evaluates a loss that is a plan.
func eval(l planner, logits, target, grad *tensor.Dense, opts []EvalOption) (*tensor.Dense, error) {
	if err := checkConstructed(l); err != nil {
		return nil, err
	}
	cfg, err := NewEvalConfig(opts...)
	if err != nil {
		return nil, err
	}
	options := l.options()
	b, binary := l.(binarizer)
	in, err := newInput(logits, target, cfg.VoxelWeight, options.IgnoreIndex, binary && b.binarize())
	if err != nil {
		return nil, err
	}
	in.stats = cfg.Stats
	if grad != nil {
		if err := in.checkGrad(grad, cfg.Upstream); err != nil {
			return nil, err
		}
	}
	if err := checkReduction(options.Reduction); err != nil {
		return nil, err
	}
	p, err := l.plan(in)
	if err != nil {
		return nil, err
	}
	call := &plan.Call{Upstream: cfg.Upstream, Grad: grad, GradScale: cfg.GradScale}
	if options.Reduction != ReduceNone {
		if cfg.Upstream != nil {
			return nil, refuse("upstream", "given with Reduction "+options.Reduction.String(), "Reduction none")
		}
	} else {
		dt := tensor.Float64
		if p.Focal != nil {
			call.Shape, dt = in.elementShape(p.Focal), logits.Dtype()
		} else {
			call.Shape = in.groupShape(p.Overlap)
		}
		if err := in.checkUpstream(cfg.Upstream, dt, call.Shape); err != nil {
			return nil, err
		}
	}
	in.semimetric = in.semimetric && in.batch.Target.Dense // else it makes no difference
	if in.semimetric {
		return in.overlapByErrors(p, call)
	}
	if kernels, ok := in.backend.(cpu.Backend); ok && in.steep && p.Focal == nil {
		return in.evaluateSteep(kernels, p, call)
	}
	v, err := in.backend.Eval(&in.batch, p, call)
	return v, public(err)
}

// checkConstructed refuses a loss that was not made by its constructor.
func checkConstructed(l configured) error {
	if l.isConstructed() {
		return nil
	}
	return refuse("loss", fmt.Sprintf("an %T literal, whose options lack their defaults", l), "a value made by %s", l.constructor())
}

func checkReduction(r Reduction) error {
	if r > ReduceSpatialMeanSum {
		return refuse("Reduction", r, "one of the constants Reduce…")
	}
	return nil
}
