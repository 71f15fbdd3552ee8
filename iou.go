package afl

// NewIoU returns the IoU (Jaccard) loss: a [Dice] loss with Jaccard set, with
// sigmoid activation and squared sums, background included: the "IoU" row of the
// paper's table. Dividing numerator and denominator by 2,
//
//	f = 1 − (I + SmoothNr/2) / (P + G − I + SmoothDr/2).
func NewIoU() Dice {
	l := NewDice()
	l.Jaccard = true
	return l
}
