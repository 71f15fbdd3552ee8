package gomlx

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors/images"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/planof"
)

// batch holds the checked arguments of a loss.
type batch struct {
	layout
	logits *Node // float32 or float64
	labels *Node // as given
	perMap bool  // labels has the logits' shape and not one entry for each voxel
	mask   *Node // nil or bool, with a channel axis of size 1
	weight *Node // nil or of the logits' type, with a channel axis of size 1
}

// layout says where the axes of the logits are. All tensors of an evaluation have as many
// axes, of which those that they do not need have size 1.
type layout struct {
	dims    []int // of the logits
	channel int   // the channels' axis
	spatial []int // the axes of space
}

func (l layout) n() int { return l.dims[0] }
func (l layout) c() int { return l.dims[l.channel] }

// v is the number of voxels of a sample.
func (l layout) v() int {
	v := 1
	for _, a := range l.spatial {
		v *= l.dims[a]
	}
	return v
}

// space is the spatial shape.
func (l layout) space() []int {
	var s []int
	for _, a := range l.spatial {
		s = append(s, l.dims[a])
	}
	return s
}

// with returns the logits' shape with n samples, c channels and, unless space is set, one
// voxel.
func (l layout) with(n, c int, space bool) []int {
	dims := make([]int, len(l.dims))
	for i := range dims {
		dims[i] = 1
		if space {
			dims[i] = l.dims[i]
		}
	}
	dims[0], dims[l.channel] = n, c
	return dims
}

// perVoxel is the shape of one entry for each voxel, without a channel axis.
func (l layout) perVoxel() []int { return slices.Delete(slices.Clone(l.dims), l.channel, l.channel+1) }

// channelsFirst is the logits' shape as package afl has it.
func (l layout) channelsFirst() []int { return append([]int{l.n(), l.c()}, l.space()...) }

// refuse returns the error of an argument.
func refuse(argument string, got any, want string, args ...any) error {
	return &afl.ArgumentError{Argument: argument, Got: fmt.Sprint(got), Want: fmt.Sprintf(want, args...)}
}

func newBatch(labels, predictions []*Node, channels images.ChannelsAxisConfig) (*batch, error) {
	if len(predictions) != 1 {
		return nil, refuse("length of predictions", len(predictions), "1, the logits")
	}
	x := predictions[0]
	if x == nil {
		return nil, refuse("predictions[0]", "nil", "the logits")
	}
	if x.Rank() != 4 && x.Rank() != 5 {
		return nil, refuse("shape of predictions[0]", x.Shape(), "2 or 3 spatial axes besides those of samples and channels")
	}
	b := &batch{layout: layout{dims: x.Shape().Dimensions}}
	switch channels {
	case images.ChannelsFirst, images.ChannelsLast:
		b.channel, b.spatial = images.GetChannelsAxis(x, channels), images.GetSpatialAxes(x, channels)
	default:
		return nil, refuse("channels", channels, "images.ChannelsFirst or images.ChannelsLast")
	}
	switch {
	case slices.Contains(b.dims, 0):
		return nil, refuse("shape of predictions[0]", x.Shape(), "no axis of size 0")
	case !x.DType().IsFloat():
		return nil, refuse("type of predictions[0]", x.DType(), "a float type")
	case x.DType() != dtypes.Float64:
		x = ConvertDType(x, dtypes.Float32)
	}
	b.logits = x
	if len(labels) == 0 || labels[0] == nil {
		return nil, refuse("labels", "empty", "the target, and optionally a mask and voxel weights")
	}
	if err := b.setTarget(labels[0]); err != nil {
		return nil, err
	}
	for i, extra := range labels[1:] {
		if err := b.setExtra(fmt.Sprintf("labels[%d]", i+1), extra); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *batch) setTarget(y *Node) error {
	if dt := y.DType(); dt != dtypes.Bool && !dt.IsInt() && !dt.IsFloat() {
		return refuse("type of labels[0]", dt, "an integer type, bool or a float type")
	}
	dims := y.Shape().Dimensions
	channel := b.with(b.n(), 1, true)
	b.perMap = slices.Equal(dims, b.dims) && (b.c() > 1 || y.DType().IsFloat())
	if !b.perMap && !slices.Equal(dims, channel) && !slices.Equal(dims, b.perVoxel()) {
		return refuse("shape of labels[0]", y.Shape(), "%v or %v (class indices), or %v (a map for each channel)", b.perVoxel(), channel, b.dims)
	}
	b.labels = y
	return nil
}

// setExtra takes a mask or voxel weights.
func (b *batch) setExtra(name string, extra *Node) error {
	if extra == nil {
		return refuse(name, "nil", "a mask or voxel weights")
	}
	dt := extra.DType()
	to, what := &b.mask, "mask"
	switch {
	case dt.IsFloat():
		to, what = &b.weight, "voxel weights"
		extra = ConvertDType(extra, b.logits.DType())
	case dt != dtypes.Bool:
		return refuse("type of "+name, dt, "bool (a mask) or a float type (voxel weights)")
	}
	if *to != nil {
		return refuse(name, "a second tensor of "+what, "at most one")
	}
	dims, channel := extra.Shape().Dimensions, b.with(b.n(), 1, true)
	switch {
	case slices.Equal(dims, []int{b.n()}):
		extra = BroadcastToDims(Reshape(extra, b.with(b.n(), 1, false)...), channel...)
	case slices.Equal(dims, channel), slices.Equal(dims, b.perVoxel()):
		extra = Reshape(extra, channel...)
	default:
		return refuse("shape of "+name, extra.Shape(), "[%d], %v or %v (%s)", b.n(), b.perVoxel(), channel, what)
	}
	*to = StopGradient(extra)
	return nil
}

// loss evaluates l.
func (b *batch) loss(l afl.Loss) (*Node, error) {
	// The target's shape and type as package afl would be given them.
	target, dt := append([]int{b.n()}, b.space()...), tensor.Uint8
	if b.perMap {
		target, dt = b.channelsFirst(), tensor.Float32
	}
	terms, err := planof.Of(l, b.channelsFirst(), target, dt)
	if err != nil {
		return nil, err
	}
	var total *Node // float64
	for _, term := range terms {
		e := b.evaluation(term.Target)
		if term.Shape != nil {
			return e.unreduced(term.Loss, term.Shape), nil // not in a sum
		}
		value := e.reduced(term.Loss)
		if term.Weight != 1 {
			value = MulScalar(value, term.Weight)
		}
		if total == nil {
			total = value
		} else {
			total = Add(total, value)
		}
	}
	return ConvertDType(total, b.logits.DType()), nil
}

// evaluation is the evaluation of one plan. Its tensors are of the logits' type but where
// said otherwise.
type evaluation struct {
	layout
	// x are the logits, and t is the target of each channel, shaped like them. Both are 0
	// in voxels that do not count.
	x, t   *Node
	target plan.Target
	source *Node // what t is made of: maps, or class indices with a channel axis of size 1
	valid  *Node // nil, or bool with a channel axis of size 1: false where a voxel is ignored
	weight *Node // nil, or with a channel axis of size 1: 0 in voxels that do not count

	soft *softmax // that over all channels, where it was asked for
}

// evaluation reads the target as a plan does.
func (b *batch) evaluation(target plan.Target) *evaluation {
	e := &evaluation{layout: b.layout, target: target, valid: b.mask, weight: b.weight}
	e.source = StopGradient(widened(b.labels))
	if !target.Dense {
		e.source = Reshape(e.source, b.with(b.n(), 1, true)...)
		if target.HasIgnore {
			if index, ok := constantLike(e.source, target.Ignore); ok {
				e.valid = and(e.valid, NotEqual(e.source, index))
			}
		}
	}
	dt := b.logits.DType()
	e.t = StopGradient(ConvertDType(e.classMaps(dt), dt))
	counts := e.valid
	if e.weight != nil {
		counts = and(counts, NotEqual(e.weight, ScalarZero(e.weight.Graph(), dt)))
	}
	e.x = b.logits
	if counts != nil {
		zero := ScalarZero(b.logits.Graph(), dt)
		e.x = Where(BroadcastToDims(counts, b.dims...), b.logits, zero)
		one := ScalarOne(b.logits.Graph(), dt)
		if e.weight == nil {
			e.weight = Where(counts, one, zero)
		} else {
			e.weight = Where(counts, e.weight, zero)
		}
		e.weight = StopGradient(e.weight)
	}
	return e
}

func and(a, b *Node) *Node {
	if a == nil {
		return b
	}
	return LogicalAnd(a, b)
}

// widened converts labels to a type that can be compared with any number of its kind.
func widened(y *Node) *Node {
	switch dt := y.DType(); dt {
	case dtypes.Int64, dtypes.Uint64, dtypes.Float32, dtypes.Float64:
		return y
	case dtypes.Uint32:
		return ConvertDType(y, dtypes.Int64)
	default:
		if dt.IsFloat() {
			return ConvertDType(y, dtypes.Float32)
		}
		return ConvertDType(y, dtypes.Int32)
	}
}

// constantLike returns an index as a constant of the type of labels, if that can hold it.
func constantLike(y *Node, index int64) (*Node, bool) {
	g := y.Graph()
	switch y.DType() {
	case dtypes.Int32:
		return Const(g, int32(index)), int64(int32(index)) == index
	case dtypes.Int64:
		return Const(g, index), true
	case dtypes.Uint64:
		return Const(g, uint64(index)), index >= 0
	case dtypes.Float32:
		return Const(g, float32(index)), int64(float32(index)) == index
	default:
		return Const(g, float64(index)), int64(float64(index)) == index
	}
}

// classMaps returns the target of each channel in the given float type, 0 in voxels that
// are ignored.
func (e *evaluation) classMaps(dt dtypes.DType) *Node {
	g := e.source.Graph()
	if e.target.Dense {
		maps := ConvertDType(e.source, dt)
		if e.valid != nil {
			maps = Where(BroadcastToDims(e.valid, e.dims...), maps, ScalarZero(g, dt))
		}
		return maps
	}
	y := e.source
	one, zero := ScalarOne(g, y.DType()), ScalarZero(g, y.DType())
	var in *Node
	switch {
	case e.target.Binarize && e.c() == 1:
		in = NotEqual(y, zero)
	case e.c() == 1:
		in = Equal(y, one)
	default:
		if e.target.Binarize {
			y = Where(NotEqual(y, zero), one, zero)
		}
		classes := make([]float64, e.c())
		for i := range classes {
			classes[i] = float64(i)
		}
		in = Equal(y, ConvertDType(e.perChannel(g, classes, dtypes.Float64), y.DType()))
	}
	if e.valid != nil {
		in = LogicalAnd(in, BroadcastToDims(e.valid, e.dims...))
	}
	return ConvertDType(in, dt)
}

// perChannel returns a constant with one number for each channel.
func (l layout) perChannel(g *Graph, list []float64, dt dtypes.DType) *Node {
	return Reshape(ConstAsDType(g, dt, list), l.with(1, len(list), false)...)
}

// sumOverSpace returns the sums over the voxels of each sample and channel, in float64,
// with all axes kept.
func (e *evaluation) sumOverSpace(x *Node) *Node {
	n, c := x.Shape().Dimensions[0], x.Shape().Dimensions[e.channel]
	return Reshape(ReduceSum(ConvertDType(x, dtypes.Float64), e.spatial...), e.with(n, c, false)...)
}

// sumAll returns the sum of all elements, in float64.
func sumAll(x *Node) *Node { return ReduceAllSum(ConvertDType(x, dtypes.Float64)) }

// weighted multiplies by the voxels' weights.
func (e *evaluation) weighted(x *Node) *Node {
	if e.weight == nil {
		return x
	}
	return Mul(x, e.weight)
}
