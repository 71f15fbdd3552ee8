package afl

import (
	"strconv"

	"gorgonia.org/tensor"
)

// EvalOption is an optional argument of [Loss.Eval].
type EvalOption func(*EvalConfig)

// EvalConfig holds the optional arguments of one evaluation, for losses defined
// in other packages.
type EvalConfig struct {
	VoxelWeight *tensor.Dense // see [WithVoxelWeight]; nil where every voxel weighs 1
	Upstream    *tensor.Dense // see [WithUpstream]; nil where it is all ones
	Stats       []LabelStats  // see [WithStats]; nil where the label's own are used
	DistanceMap *tensor.Dense // see [WithDistanceMap]; nil where it is made from the target
	GradScale   float64       // see [WithGradScale]; 1 where none is given
}

// NewEvalConfig returns what the options of a call say; of two of one kind the
// later counts. A nil option is refused, and so is a gradient scale out of range.
func NewEvalConfig(opts ...EvalOption) (EvalConfig, error) {
	c := EvalConfig{GradScale: 1}
	for i, o := range opts {
		if o == nil {
			return EvalConfig{}, refuse("opts["+strconv.Itoa(i)+"]", "nil", "an EvalOption")
		}
		o(&c)
	}
	if !(c.GradScale >= leastGradScale && c.GradScale <= mostGradScale) {
		return EvalConfig{}, refuse("gradient scale", c.GradScale, "a number from 2⁻⁶⁰ to 2⁶⁰")
	}
	return c, nil
}

// Within this range of gradient scales no factor of a gradient leaves the range of float32
// because of the scale.
const leastGradScale, mostGradScale = 0x1p-60, 0x1p60

// WithVoxelWeight multiplies every voxel's part in the loss by its entry of w,
// which is N×space or N×1×space, float32 or float64, finite and not negative:
// the elements of the pointwise losses, and the summands p·t, p and t of the
// overlap losses. Denominators of a mean are not changed by it, nor are the
// statistics of A-FL, in which every voxel counts; to leave voxels out
// altogether set an ignore index. The logits of a voxel of weight 0 are not
// read.
func WithVoxelWeight(w *tensor.Dense) EvalOption {
	return func(c *EvalConfig) { c.VoxelWeight = w }
}

// WithUpstream makes the gradient that of Σ upstream·value, where value is the
// un-reduced loss of [ReduceNone]: the pullback of upstream, PyTorch's grad_output. It has the value's
// shape and the type of the logits, or float64 where the value is float64.
func WithUpstream(upstream *tensor.Dense) EvalOption {
	return func(c *EvalConfig) { c.Upstream = upstream }
}

// WithStats gives [AdaptiveFocal] the statistics of each sample's label in place
// of those that it would compute from the target: for a network that is trained on
// patches, those of the whole image from which the patch was cut. There is one for
// each sample of the batch, made by [StatsOf] or, for [FormMulticlass] of more than
// two channels, by [StatsOfClasses]. Losses without such statistics ignore
// it.
func WithStats(stats ...LabelStats) EvalOption {
	if stats == nil {
		stats = []LabelStats{} // refused for its number, and not the same as none given
	}
	return func(c *EvalConfig) { c.Stats = stats }
}

// WithDistanceMap gives [Boundary] or [HausdorffDT] the distances that depend on the target
// alone, as the loss's DistanceMap returned them: a target that is evaluated again, such as
// in the next epoch, need not be transformed again. Other losses ignore it.
func WithDistanceMap(m *tensor.Dense) EvalOption {
	return func(c *EvalConfig) { c.DistanceMap = m }
}

// WithGradScale multiplies the gradient by s before it is rounded to the logits' type:
//
//	grad = round(s·∂L/∂logits),
//
// or round(s·∂(Σ upstream·value)/∂logits) with [WithUpstream]. The value does not change. s
// is from 2⁻⁶⁰ to 2⁶⁰, default 1; a power of two changes nothing but the exponents.
//
// It is for float16, whose smallest number is 2⁻²⁴: in the mean over the voxels of a volume
// many gradients are smaller and would be rounded to 0. Since backpropagation is linear,
// the gradients of all parameters are s times theirs too. Divide them by s in float32,
// before they are clipped or used in an update. Numbers above the largest of the type,
// 65504, become infinite: skip the update then, and halve s. bfloat16 and float32 have
// range enough to do without.
func WithGradScale(s float64) EvalOption {
	return func(c *EvalConfig) { c.GradScale = s }
}
