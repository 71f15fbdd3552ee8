package afl

import (
	"strconv"

	"gorgonia.org/tensor"
)

// EvalOption is an optional argument of [Loss.Eval].
type EvalOption func(*EvalConfig)

// EvalConfig holds the optional arguments of one evaluation, for losses defined
// in other packages. Its zero value is a call without any.
type EvalConfig struct {
	VoxelWeight *tensor.Dense // see [WithVoxelWeight]; nil where every voxel weighs 1
	Upstream    *tensor.Dense // see [WithUpstream]; nil where it is all ones
	Stats       []LabelStats  // see [WithStats]; nil where the label's own are used
	DistanceMap *tensor.Dense // see [WithDistanceMap]; nil where it is made from the target
}

// NewEvalConfig returns what the options of a call say; of two of one kind the
// later counts. A nil option is refused.
func NewEvalConfig(opts ...EvalOption) (EvalConfig, error) {
	var c EvalConfig
	for i, o := range opts {
		if o == nil {
			return EvalConfig{}, refuse("opts["+strconv.Itoa(i)+"]", "nil", "an EvalOption")
		}
		o(&c)
	}
	return c, nil
}

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
