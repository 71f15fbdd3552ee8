package afl

import "gorgonia.org/tensor"

// SoftDice is the "Dice" that the paper's released code reports while it trains:
// 1 − the Dice loss by sigmoid with squared sums against the one-hot target,
// averaged over samples and all channels, the background included (unless
// includeBackground is false). The background lifts it far above the overlap of
// the foreground. Arguments are those of [Loss.Eval].
func SoftDice(logits, target *tensor.Dense, includeBackground bool) (float64, error) {
	return softOverlap(NewDice(), logits, target, includeBackground)
}

// SoftIoU is [SoftDice] with the Jaccard index: 1 − the loss of [NewIoU].
func SoftIoU(logits, target *tensor.Dense, includeBackground bool) (float64, error) {
	return softOverlap(NewIoU(), logits, target, includeBackground)
}

func softOverlap(l Dice, logits, target *tensor.Dense, includeBackground bool) (float64, error) {
	l.ExcludeBackground = !includeBackground
	v, err := Value(l, logits, target)
	return 1 - v, err
}
