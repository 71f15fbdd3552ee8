// Package gomlx has the segmentation losses of package afl as losses of GoMLX: A-FL, focal,
// cross-entropy, Dice, IoU, generalized Dice, Tversky, focal Tversky, and their sums.
//
// [Loss] takes a loss as package afl makes it, with all its options, and returns a
// losses.LossFn for train.NewTrainer:
//
//	loss := afl.NewAdaptiveFocal()
//	loss.Stats = afl.StatsPerSample
//	trainer := train.NewTrainer(backend, ctx, model, gomlx.Loss(loss, images.ChannelsLast), optimizer, nil, nil)
//
// Formulas, options and defaults are those of package afl; the loss and its gradient are
// made of GoMLX's own operations, and agree with package afl's to rounding.
package gomlx

import (
	. "github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors/images"
	"github.com/gomlx/gomlx/pkg/ml/train/losses"

	"github.com/x/afl"
)

// Loss returns l as a loss of GoMLX. The argument channels says where the logits have
// their channel axis.
//
// predictions holds the logits alone: N×C×H×W or N×C×X×Y×Z with ChannelsFirst, N×H×W×C or
// N×X×Y×Z×C with ChannelsLast, of a float type.
//
// labels[0] is the target, one of
//
//   - class indices, N×space or with a channel axis of size 1, of any integer type, bool, or
//     a float type that holds whole numbers. With C = 1 the index is 0 or 1;
//   - one map per channel, shaped like the logits, of any of those types, with values in
//     [0,1]. With C = 1 a float tensor with a channel axis is taken as such a map, unless
//     the loss has an IgnoreIndex, and every other type as class indices.
//
// What follows in labels is, in any order and each at most once,
//
//   - a mask, bool, true where a voxel counts: the others take no part, as if they had the
//     IgnoreIndex, with which a mask may be combined;
//   - voxel weights, float, finite and at least 0, as [afl.WithVoxelWeight] takes them.
//
// Either is N (one for each sample), N×space, or N×space with a channel axis of size 1.
// Logits of a voxel that does not count, or of weight 0, are not used.
//
// The loss is a scalar of the logits' type. With [afl.ReduceNone] it has the shape that
// package afl documents, its channel axis where the logits have theirs, and train.Trainer
// takes the mean of it. Elements have the logits' type, sums over voxels and the statistics
// of labels are float64. Logits of a half precision type are converted to float32, and the
// loss is float32. It is made to be differentiated once.
//
// Losses of package afl by value are taken, also an [afl.Sum] of them. [afl.WithStats] and
// [afl.WithUpstream] have no counterpart: the statistics of A-FL are those of the target,
// and GoMLX differentiates what is made of the loss. No gradient flows to the labels.
//
// Bad options, shapes and types panic with an [*afl.ArgumentError] while the graph is
// built, as GoMLX's own losses do with theirs. Exec.Exec and Trainer.TrainStep return it as
// an error. Element values are not checked, as a graph cannot refuse them: a class index
// that no channel has is the target of none, though foreground for A-FL, and map values
// outside [0,1] are used as they are.
func Loss(l afl.Loss, channels images.ChannelsAxisConfig) losses.LossFn {
	return func(labels, predictions []*Node) *Node {
		b, err := newBatch(labels, predictions, channels)
		if err != nil {
			panic(err)
		}
		value, err := b.loss(l)
		if err != nil {
			panic(err)
		}
		return value
	}
}
