package nn

import (
	"fmt"

	"gorgonia.org/tensor"
)

// DType is the element type of an array.
type DType uint8

const (
	// Float32 is the precision networks train in.
	Float32 DType = iota
	// Float64 is the precision gradients and reference numbers are checked in.
	Float64
)

// String returns "float32" or "float64".
func (d DType) String() string {
	switch d {
	case Float32:
		return "float32"
	case Float64:
		return "float64"
	}
	return fmt.Sprintf("DType(%d)", uint8(d))
}

// Array is a block of numbers that lives on a backend. Its layout is the
// backend's own business (plain, blocked, channels last, device memory); only
// the logical shape is visible. Activations have the shape N×C×X×Y×Z.
//
// An Array never changes once an operation returned it, except those passed as
// the updated state of SGDStep and BatchNorm.
type Array interface {
	// Shape returns the logical shape; the caller must not modify it.
	Shape() []int
	DType() DType
}

// Pullback maps the gradient g of an operation's result to the gradients of
// its inputs, in the order in which the operation takes them.
//
// need says which of them are wanted and has one entry per input; the entries
// of the result where need is false are nil. g must have the shape of the
// result. A pullback may be called once, before EndStep.
type Pullback func(g Array, need []bool) ([]Array, error)

// Lifetime says how long an array made by FromHost lives.
type Lifetime uint8

const (
	// Step arrays go back to the backend's pool at EndStep: inputs, targets,
	// gradients.
	Step Lifetime = iota
	// Kept arrays live as long as they are referenced: parameters, running
	// statistics, momentum.
	Kept
)

// Backend computes. Every operation returns its result and the pullback that
// carries a gradient back through it.
//
// All floating-point arrays of one backend value have one DType. Arrays given
// to an operation must come from the same backend value. An operation returns an
// array of its own, never one of its arguments; a pullback may return its gradient
// itself, and the same array for several inputs. What operations allocate belongs
// to the current step and is recycled by Release or EndStep; an array used after
// that is an error, never other numbers.
//
// Wrong shapes are errors that name the operation, the argument and what was
// expected. A Backend serves one goroutine at a time; inside an operation it
// may use as many as it likes, with results whose bits do not depend on how
// many.
type Backend interface {
	// Name identifies the backend in reports, for example "portable".
	Name() string
	// DType is the element type of every array of this backend.
	DType() DType

	// FromHost copies t, which must be contiguous and hold float32 or float64,
	// and converts it to the backend's DType and layout.
	FromHost(t *tensor.Dense, life Lifetime) (Array, error)
	// ToHost converts a to plain row-major order and stores it in dst, which
	// must be contiguous, have the shape of a and hold float32 or float64.
	ToHost(a Array, dst *tensor.Dense) error
	// Release takes back a Step array that nobody will use again, so that the
	// current step can use its memory for another. It leaves a Kept array alone.
	Release(a Array)
	// EndStep takes back everything the current step allocated. Step arrays and
	// pullbacks that are still referenced become unusable.
	EndStep()

	// Conv3D returns the cross-correlation of x (N×Cin×X×Y×Z) with weight
	// (Cout×Cin×kx×ky×kz) plus bias (Cout; nil for none). spec.OutputPadding
	// must be zero. The pullback returns gradients for x, weight, bias; need
	// has three entries whether or not there is a bias.
	Conv3D(x, weight, bias Array, spec ConvSpec) (Array, Pullback, error)
	// ConvTranspose3D returns the transposed convolution of x (N×Cin×X×Y×Z)
	// with weight (Cin×Cout×kx×ky×kz) plus bias (Cout; nil for none): input
	// voxel i adds x_i·w_a to output voxel i·stride + a·dilation − padding.
	// The pullback is as for Conv3D.
	ConvTranspose3D(x, weight, bias Array, spec ConvSpec) (Array, Pullback, error)
	// BatchNorm normalizes every channel of x over batch and space, then scales
	// and shifts: y = (x−m)/√(v+ε)·weight + bias. With spec.Training, m and v
	// are the batch's own (v biased) and runningMean and runningVar are updated
	// in place, v with the unbiased variance; it needs more than one value per
	// channel. Otherwise the running values are used and are constants of the
	// pullback. The pullback returns gradients for x, weight, bias.
	BatchNorm(x, weight, bias, runningMean, runningVar Array, spec BatchNormSpec) (Array, Pullback, error)
	// GroupNorm normalizes x in each sample over space and channels/groups
	// consecutive channels, in training and inference alike, with the biased
	// variance; then it scales and shifts every channel as BatchNorm does. With
	// as many groups as channels it is the instance norm. weight and bias are
	// both nil (neither scale nor shift) or both given. A group needs more than
	// one value. The pullback returns gradients for x, weight, bias; need has
	// three entries whether or not there are weight and bias.
	GroupNorm(x, weight, bias Array, groups int, epsilon float64) (Array, Pullback, error)
	// PReLU returns x where x > 0 and slope·x elsewhere. slope holds one value
	// or one per channel. The pullback returns gradients for x and slope.
	PReLU(x, slope Array) (Array, Pullback, error)
	// Activate applies a function without parameters to every element.
	Activate(x Array, f Activation) (Array, Pullback, error)
	// MaxPool3D returns the largest value of each window of x (N×C×X×Y×Z). A
	// voxel of the padding is −∞. The pullback gives a window's gradient to the
	// first of its largest values in row-major order.
	MaxPool3D(x Array, spec PoolSpec) (Array, Pullback, error)
	// Resize samples x (N×C×X×Y×Z) anew on a grid of the given spatial size;
	// ResizeMode says how.
	Resize(x Array, size [3]int, mode ResizeMode) (Array, Pullback, error)
	// Dropout3D sets whole channels of whole samples to zero with the
	// given probability in [0, 1) and multiplies the others by
	// 1/(1−probability). The same seed gives the same mask: see DropoutMask.
	Dropout3D(x Array, probability float64, seed uint64) (Array, Pullback, error)
	// Concat joins arrays along the channel axis, in the order given.
	Concat(xs ...Array) (Array, Pullback, error)
	// RepeatChannels returns N×channels×X×Y×Z whose channel c is channel
	// c mod C of x (N×C×X×Y×Z); channels is at least C.
	RepeatChannels(x Array, channels int) (Array, Pullback, error)
	// Add returns a + b for equal shapes.
	Add(a, b Array) (Array, Pullback, error)
	// Mean returns the average of arrays of equal shape.
	Mean(xs ...Array) (Array, Pullback, error)
	// Gate multiplies every channel of x (N×C×X×Y×Z) by gate (N×1×X×Y×Z). The
	// pullback returns gradients for x and gate.
	Gate(x, gate Array) (Array, Pullback, error)

	// SGDStep updates value and velocity in place from gradient; see SGD for
	// the arithmetic. With first, velocity holds no history yet and is only
	// written. velocity is nil when spec.Momentum is zero.
	SGDStep(value, gradient, velocity Array, first bool, spec SGDSpec) error
}

// ConvSpec holds the settings of a convolution, per axis in the order X, Y, Z.
type ConvSpec struct {
	// Stride of the kernel; all zero means 1 on every axis.
	Stride [3]int
	// Padding with zeros at both ends of an axis; default 0.
	Padding [3]int
	// Dilation is the distance between kernel taps; all zero means 1 on every axis.
	Dilation [3]int
	// OutputPadding adds voxels at the high end of a transposed convolution's
	// output; default 0. It must be smaller than the stride or the dilation.
	OutputPadding [3]int
}

// BatchNormSpec holds the settings of a batch norm.
type BatchNormSpec struct {
	// Training selects the batch's own statistics and updates the running ones.
	Training bool
	// Epsilon is added to the variance.
	Epsilon float64
	// Momentum is the weight of the new statistics in the running ones:
	// running ← (1−Momentum)·running + Momentum·new.
	Momentum float64
}

// PoolSpec holds the settings of a pooling, per axis in the order X, Y, Z.
type PoolSpec struct {
	// Kernel is the size of a window; at least 1 on every axis.
	Kernel [3]int
	// Stride of the window; all zero means that windows lie side by side
	// (Kernel).
	Stride [3]int
	// Padding at both ends of an axis; default 0, at most half the kernel, so
	// that every window holds a voxel.
	Padding [3]int
}

// SGDSpec holds the settings of one update step; see SGD.
type SGDSpec struct {
	LearningRate, Momentum, WeightDecay float64
	Nesterov                            bool
}
