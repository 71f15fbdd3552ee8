package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/segment"
)

// boundary is the name of the boundary loss, which is trained together with another.
const boundary = "boundary"

// lossOfEpoch returns the loss of a training in an epoch, from 1, given that of its name. It
// is the same in every epoch but for the boundary loss, which is trained as its authors do:
//
//	Dice + BoundaryWeight·epoch·Boundary.
//
// Alone it would be smallest where everything far from the label is background, and would not
// find the label's interior from random weights.
func (j *Job) lossOfEpoch(name string, loss afl.Loss, epoch int) afl.Loss {
	if name != boundary {
		return loss
	}
	dice := afl.NewDice()
	if j.Scheme.Kind != segment.Regions {
		dice.Activation = afl.Softmax
	}
	return afl.NewSum(
		afl.Term{Weight: 1, Loss: dice},
		afl.Term{Weight: j.BoundaryWeight * float64(epoch), Loss: loss},
	)
}

func (j *Job) checkBoundary() error {
	w := j.BoundaryWeight
	if slices.Contains(j.Losses, boundary) && (!(w > 0) || math.IsInf(w*float64(j.Epochs), 0)) {
		return fmt.Errorf("train: Job.BoundaryWeight is %v, want a positive number for the loss %s", w, boundary)
	}
	return nil
}
