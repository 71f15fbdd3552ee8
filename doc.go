// Package afl provides segmentation losses as pure functions from logits and
// labels to a value and its analytic gradient, led by A-FL, the size- and
// smoothness-aware Adaptive Focal Loss for small tumors (Islam et al.,
// arXiv 2407.09828), and the metrics such segmentations are reported with.
//
// # A loss
//
// A loss is a plain struct whose fields are its options. Its constructor fills in
// the defaults; change what you like:
//
//	loss := afl.NewAdaptiveFocal()
//	loss.Stats = afl.StatsPerSample
//	value, grad, err := afl.Grad(loss, logits, target)
//
// A literal such as Dice{} is refused, because most options do not default to zero. The zero value of [Options], which all losses share, holds
// the defaults. The eight losses of the paper's table ([PaperNames]) default to its
// settings.
//
// [Value] computes the value alone, [Grad] the gradient too, [GradInto] stores
// it in a caller-supplied tensor, after which a repeated call allocates nothing that
// grows with the image. [Loss.Eval] underlies all three. [ByName] finds a
// loss by a name such as "dice-focal".
//
// [Compound] joins a pointwise loss with an overlap loss, as [NewDiceCE] does,
// [Sum] adds losses of any kind, and [DeepSupervision] evaluates a loss on outputs
// of several resolutions. A loss defined in another package implements [Loss]; it can
// be a term of a Sum, and the loss of a DeepSupervision.
//
// # Shapes
//
// logits is N×C×H×W or N×C×X×Y×Z (samples, channels, space), float32 or
// float64 (on a GPU float16 or bfloat16 too), contiguous and row-major. target is
// one of
//
//   - class indices, N×space or N×1×space, of any integer type, bool, or a float
//     type that holds whole numbers. With C = 1 the index is 0 or 1;
//   - one map per channel, N×C×space, of any of those types: one-hot, multi-hot
//     or soft values in [0,1], used as they are. With C = 1 a float tensor
//     N×1×space is taken as such a map, unless an ignore index is set, and every
//     other type as class indices.
//
// Some of the losses for small lesions are of one class for each voxel. They take no other
// maps than one-hot ones, which they first read as class indices into memory of a byte for
// each voxel.
//
// # What every loss has
//
// [Options] are shared by all of them: the reduction, class weights, an ignore
// index, and whether the background, channel 0, is included. [SetOptions] changes
// them in a loss of any type. [WithVoxelWeight] passes a map of per-voxel weights,
// [WithUpstream] the gradient of what comes after an un-reduced loss,
// [WithStats] label statistics for A-FL to use instead of the target's, and
// [WithGradScale] a factor of the gradient for training in float16.
//
// Values and gradients come from the logits in stable form, never from clipped
// probabilities: they are finite for every float32 logit that is finite, and
// for float64 logits up to 1e300 (an element of an un-reduced loss too large for
// the logits' type is stored as infinite). Logits are not checked, which would cost a pass
// over them. A logit that is NaN, of a voxel that counts and a channel that is included,
// makes the value NaN, and with it entries of the gradient; what infinite logits give is
// unspecified. So look at the value after each step, and where it is NaN or infinite find
// the cause by [CheckFinite] on the logits, or call it before the loss where the network
// is not to be trusted.
//
// Arithmetic is of the logits' type, float32 for half precision logits, and float64 where
// float32 would overflow; on the CPU exp and log are within one unit in the last place.
// Sums over the voxels are float64 all the same. They are made in a fixed order, so a
// result has the same bits for any number of threads and with any vector instructions or
// none; on the CPU also on any of amd64, arm64, 386, s390x, ppc64le and WebAssembly, but
// for [FocalTversky], which takes math.Pow.
//
// On amd64 and arm64 every call is computed by vector kernels. The fastest are those for
// float32 logits and a reduced loss of class indices of one byte, or of maps of zeros and
// ones of float32, uint8 or bool, which for a softmax have a single one for each voxel;
// float32 voxel weights may come with them, but for a softmax of three or more channels.
// By sigmoid, and by a softmax of two channels, soft maps, label smoothing and un-reduced
// losses take from 1.1 to about 1.7 times as much time for each byte: a soft target has an
// exponential of its own, and Go clears the new tensor of an un-reduced loss in every call.
//
// # Metrics
//
// [CountLogits], which takes the loss's ignore index, and [CountMasks] count true and
// false positives and negatives, from which come Dice, IoU, sensitivity, specificity,
// precision and the other metrics of a [Confusion], and their averages over samples and
// classes ([Confusions]). [Predict] makes masks from logits, [ClassMask] takes one class of
// one sample out of them, and two such masks give [NewSurfaceDistances] (the Hausdorff
// distance at any percentile, the average surface distance and the surface Dice, in the
// units of the spacing, over surface voxels), [NewSurfaceElementDistances] (the same over
// the surface's area), [VoxelSetHausdorff] and [CompareLesions], whose criterion says which
// lesions match. Package github.com/x/afl/detection scores lesion candidates with their
// confidences over a data set. [TInterval],
// [Wilcoxon] and [WilcoxonPaired] compare scores over cases. [SoftDice] and
// [SoftIoU] are what the paper's code reports while it trains.
//
// # Errors
//
// Bad input is refused with an [ArgumentError] that names the argument, what it
// was and what was expected. Voxels are numbered from 0 in row-major order within a
// sample. After an error the contents of a gradient tensor
// that was passed in are unspecified.
//
// # Where the work runs
//
// The engine of the logits decides. The standard engines of
// gorgonia.org/tensor, which hold Go memory, run on the CPU; an engine of
// package github.com/x/afl/cuda runs on its NVIDIA GPU; other engines are
// refused. All tensors of a call live on one engine. The metrics, but for
// [SoftDice] and [SoftIoU], read Go memory.
//
// On a GPU [Loss.Eval] only enqueues the work. What it returns lives there too,
// and a bad label is found there: [Value], [Grad] and [GradInto], which wait for
// the number, return that error, as does the engine's Synchronize.
package afl
