package afl

import "gorgonia.org/tensor"

// SoftDice is the "Dice" that the paper's released code reports during training: with
// p = sigmoid(logits), the one-hot target t and sums over the voxels of one channel of one
// sample,
//
//	(2·Σp·t + 1e-5) / (Σp² + Σt² + 1e-5)
//
// averaged over samples and channels. It is 1 minus the loss of [NewDice], whose 1e-5 keep
// it defined for empty masks. Channel 0, the background, takes part if includeBackground is
// set, as in that code; it lifts the result far above the overlap of the foreground, which
// [Confusion.Dice] measures. ignore is the IgnoreIndex of the loss that the network is
// trained with, or IgnoreIndex{}. Arguments and errors are those of [Loss.Eval].
func SoftDice(logits, target *tensor.Dense, includeBackground bool, ignore IgnoreIndex) (float64, error) {
	return softOverlap(NewDice(), logits, target, includeBackground, ignore)
}

// SoftIoU is the "IoU" of that code, 1 minus the loss of [NewIoU]:
//
//	(2·Σp·t + 1e-5) / (2·(Σp² + Σt² − Σp·t) + 1e-5)
//
// See [SoftDice].
func SoftIoU(logits, target *tensor.Dense, includeBackground bool, ignore IgnoreIndex) (float64, error) {
	return softOverlap(NewIoU(), logits, target, includeBackground, ignore)
}

func softOverlap(l Dice, logits, target *tensor.Dense, includeBackground bool, ignore IgnoreIndex) (float64, error) {
	l.ExcludeBackground, l.IgnoreIndex = !includeBackground, ignore
	v, err := Value(l, logits, target)
	return 1 - v, err
}
