package nn

import (
	"fmt"

	"gorgonia.org/tensor"
)

// DType is the element type of an array.
type DType uint8

const (
	// Float32 is the precision in which networks are trained.
	Float32 DType = iota
	// Float64 is the precision in which gradients and reference values are checked.
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

// Array is an array of numbers stored by a backend. Its layout is internal to the backend
// (plain, blocked, channels last, device memory); only the logical shape is visible.
// Activations have the shape N×C×X×Y×Z.
//
// An Array does not change after an operation has returned it, except for arrays passed as
// state to be updated to SGDStep, AdamWStep and BatchNorm.
type Array interface {
	// Shape returns the logical shape; the caller must not modify it.
	Shape() []int
	DType() DType
}

// Pullback maps the gradient g of an operation's result to the gradients of its inputs, in
// the order of the operation's arguments.
//
// need has one entry per input and selects the gradients to compute; the other entries of
// the result are nil. g must have the shape of the operation's result. A pullback may be
// called once, before EndStep.
type Pullback func(g Array, need []bool) ([]Array, error)

// Lifetime is the lifetime of an array created by FromHost.
type Lifetime uint8

const (
	// Step arrays are returned to the backend's pool at EndStep: inputs, targets,
	// gradients.
	Step Lifetime = iota
	// Kept arrays exist as long as they are referenced: parameters, running statistics, an
	// optimizer's state.
	Kept
)

// Backend performs the computations. Every operation returns its result and the pullback
// that propagates a gradient back through it.
//
// All floating-point arrays of a backend value have the same DType. Arrays passed to an
// operation must come from the same backend value. An operation returns a new array, never
// one of its arguments; a pullback may return its gradient argument, and the same array for
// several inputs. Arrays allocated by operations belong to the current step and are recycled
// by Release or EndStep; using an array after that is an error and never gives other values.
//
// Invalid shapes are errors that name the operation, the argument and the expected shape. A
// Backend must not be used by several goroutines at once. An operation may use any number of
// goroutines, but the bits of its result must not depend on their number.
type Backend interface {
	// Name identifies the backend in reports, for example "portable".
	Name() string
	// DType is the element type of every array of this backend.
	DType() DType

	// FromHost copies t, which must be contiguous and have type float32 or float64, and
	// converts it to the backend's DType and layout.
	FromHost(t *tensor.Dense, life Lifetime) (Array, error)
	// ToHost converts a to plain row-major order and stores it in dst, which must be
	// contiguous, have the shape of a and type float32 or float64.
	ToHost(a Array, dst *tensor.Dense) error
	// Zeros returns a Kept array of zeros.
	Zeros(shape []int) (Array, error)
	// Release returns a Step array that will not be used again, so that the current step
	// can reuse its memory. It has no effect on a Kept array.
	Release(a Array)
	// EndStep releases everything that the current step allocated, except the arrays in keep,
	// which belong to the next step. Other Step arrays and pullbacks that are still referenced
	// become unusable.
	EndStep(keep ...Array)

	// Conv3D returns the cross-correlation of x (N×Cin×X×Y×Z) with weight
	// (Cout×Cin×kx×ky×kz) plus bias (Cout; nil for none). spec.OutputPadding must be zero.
	// The pullback returns gradients for x, weight, bias; need has three entries even
	// without a bias.
	Conv3D(x, weight, bias Array, spec ConvSpec) (Array, Pullback, error)
	// ConvTranspose3D returns the transposed convolution of x (N×Cin×X×Y×Z) with weight
	// (Cin×Cout×kx×ky×kz) plus bias (Cout; nil for none): input voxel i adds x_i·w_a to
	// output voxel i·stride + a·dilation − padding. The pullback is as for Conv3D.
	ConvTranspose3D(x, weight, bias Array, spec ConvSpec) (Array, Pullback, error)
	// BatchNorm normalizes every channel of x over batch and space, and then scales and
	// shifts it: y = (x−m)/√(v+ε)·weight + bias. With spec.Training, m and v are those of
	// the batch (v biased), and runningMean and runningVar are updated in place, the latter
	// with the unbiased variance; there must be more than one value per channel. Otherwise
	// m and v are the running values, which the pullback treats as constants. The pullback
	// returns gradients for x, weight, bias.
	BatchNorm(x, weight, bias, runningMean, runningVar Array, spec BatchNormSpec) (Array, Pullback, error)
	// GroupNorm normalizes each sample of x over space and channels/groups consecutive
	// channels with the biased variance, both in training and inference, and then scales
	// and shifts every channel as BatchNorm does. With as many groups as channels it is the
	// instance norm. weight and bias must be either both nil (no scale and shift) or both
	// given. A group must have more than one value. The pullback returns gradients for x,
	// weight, bias; need has three entries even without weight and bias.
	GroupNorm(x, weight, bias Array, groups int, epsilon float64) (Array, Pullback, error)
	// PReLU returns x where x > 0 and slope·x elsewhere. slope has one value or one per
	// channel. The pullback returns gradients for x and slope.
	PReLU(x, slope Array) (Array, Pullback, error)
	// Activate applies a function without parameters to every element.
	Activate(x Array, f Activation) (Array, Pullback, error)
	// MaxPool3D returns the largest value of each window of x (N×C×X×Y×Z). Voxels of the
	// padding are −∞. The pullback assigns the gradient of a window to the first of its
	// largest values in row-major order.
	MaxPool3D(x Array, spec PoolSpec) (Array, Pullback, error)
	// Resize resamples x (N×C×X×Y×Z) to the given spatial size, as specified by
	// ResizeMode.
	Resize(x Array, size [3]int, mode ResizeMode) (Array, Pullback, error)
	// Dropout3D sets entire channels of samples to zero with the given probability in
	// [0, 1) and multiplies the others by 1/(1−probability). The same seed gives the same
	// mask; see DropoutMask.
	Dropout3D(x Array, probability float64, seed uint64) (Array, Pullback, error)
	// Concat concatenates arrays along the channel axis, in the given order.
	Concat(xs ...Array) (Array, Pullback, error)
	// RepeatChannels returns N×channels×X×Y×Z whose channel c is channel c mod C of x
	// (N×C×X×Y×Z). channels must be at least C.
	RepeatChannels(x Array, channels int) (Array, Pullback, error)
	// Add returns a + b for equal shapes.
	Add(a, b Array) (Array, Pullback, error)
	// Mean returns the mean of arrays of equal shape.
	Mean(xs ...Array) (Array, Pullback, error)
	// Gate multiplies every channel of x (N×C×X×Y×Z) by gate (N×1×X×Y×Z). The pullback
	// returns gradients for x and gate.
	Gate(x, gate Array) (Array, Pullback, error)

	// SumOfSquares returns the sum of the squares of all values of xs, computed in float64.
	// The order of summation depends only on the shapes. It synchronizes with the host.
	SumOfSquares(xs ...Array) (float64, error)
	// Scale returns factor·a, with factor rounded to the backend's DType. It has no pullback.
	Scale(a Array, factor float64) (Array, error)

	// SGDStep updates value and velocity in place from gradient; see SGD for the
	// formulas. If first is set, velocity has no history yet and is only written. velocity
	// is nil if spec.Momentum is zero.
	SGDStep(value, gradient, velocity Array, first bool, spec SGDSpec) error
	// AdamWStep updates value and the two moments in place from gradient:
	//
	//	value ← Decay·value
	//	first ← Beta1·first + (1−Beta1)·gradient
	//	second ← Beta2·second + (1−Beta2)·gradient²
	//	value ← value − StepSize·first/(√second/Correction + Epsilon)
	//
	// See AdamW for the settings.
	AdamWStep(value, gradient, first, second Array, spec AdamWSpec) error
}

// ConvSpec holds the settings of a convolution, per axis in the order X, Y, Z.
type ConvSpec struct {
	// Stride is the stride of the kernel; all zero means 1 on every axis.
	Stride [3]int
	// Padding is the number of zeros added at both ends of an axis; default 0.
	Padding [3]int
	// Dilation is the distance between kernel taps; all zero means 1 on every axis.
	Dilation [3]int
	// OutputPadding is the number of voxels added at the high end of a transposed
	// convolution's output; default 0. It must be less than the stride or the dilation.
	OutputPadding [3]int
}

// BatchNormSpec holds the settings of a batch norm.
type BatchNormSpec struct {
	// Training selects the statistics of the batch and updates the running ones.
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
	// Stride is the stride of the windows; all zero means Kernel, for adjacent windows.
	Stride [3]int
	// Padding is the padding at both ends of an axis; default 0. It is at most half the
	// kernel, so that every window contains a voxel.
	Padding [3]int
}

// SGDSpec holds the settings of an update step; see [SGD].
type SGDSpec struct {
	LearningRate, Momentum, WeightDecay float64
	Nesterov                            bool
}

// AdamWSpec holds the factors of one update step; see [Backend.AdamWStep].
type AdamWSpec struct {
	// Decay is 1 − learning rate·weight decay.
	Decay float64
	// Beta1 and Beta2 are the weights of the past in the two moments.
	Beta1, Beta2 float64
	// StepSize is learning rate/(1 − Beta1ᵗ) in a parameter's step t, from 1.
	StepSize float64
	// Correction is √(1 − Beta2ᵗ).
	Correction float64
	// Epsilon is added to the denominator.
	Epsilon float64
}
