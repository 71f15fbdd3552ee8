// Package afl provides segmentation losses as pure functions from logits and
// labels to a value and its analytic gradient, led by A-FL, the size- and
// smoothness-aware Adaptive Focal Loss for small tumours (Islam et al.,
// arXiv 2407.09828), and the metrics such segmentations are reported with.
//
// # A loss
//
// A loss is a plain struct whose fields are its options; a constructor fills in
// the settings of the paper's comparison, and any field may be changed:
//
//	loss := afl.NewAdaptiveFocal()
//	value, grad, err := afl.Grad(loss, logits, target)
//
// [Value] computes the value alone, [Grad] the gradient too, [GradInto] stores
// it in a tensor of the caller's, after which a repeated call allocates nothing
// that grows with the image. [Loss.Eval] underlies all three. [ByName] finds a
// loss by a name such as "dice-focal".
//
// # Shapes
//
// logits is N×C×H×W or N×C×X×Y×Z (samples, channels, space), float32 or
// float64, contiguous and row-major. target is one of
//
//   - class indices, N×space or N×1×space, of any integer type, bool, or a float
//     type that holds whole numbers. With C = 1 the index is 0 or 1;
//   - one map per channel, N×C×space, of any of those types: one-hot, multi-hot
//     or soft values in [0,1], used as they are. With C = 1 a map and indices
//     look alike and mean the same; a float tensor is taken as a map there
//     unless an ignore index is set.
//
// # What every loss has
//
// [Options] are shared by all of them: the reduction, class weights, an ignore
// index, and whether the background, channel 0, takes part. [WithVoxelWeight]
// passes a map of per-voxel weights and [WithUpstream] the gradient of what
// comes after an un-reduced loss.
//
// Values and gradients come from the logits in stable form, never from clipped
// probabilities: they are finite for every finite logit. Arithmetic is float64,
// or float32 for the common calls with float32 logits, whose sums over the
// voxels are float64 all the same; exp and log are within one unit in the last
// place. Sums are made in a fixed order, so a result has the same bits for any
// number of threads, and with or without vector instructions.
//
// # Errors
//
// Bad input is refused with an [ArgumentError] that names the argument, what it
// was and what was expected. After an error the contents of a gradient tensor
// that was passed in are unspecified.
//
// # Where the work runs
//
// The engine of the logits decides: Go memory runs on the CPU. All tensors of a
// call live on one engine.
package afl
