package outcome

import "fmt"

// Epoch holds the results of one epoch: the mean training loss over its steps, and the
// means of the overlap measures over the validation cases.
type Epoch struct {
	Epoch     int     `json:"epoch"` // from 1
	TrainLoss float64 `json:"train_loss"`
	Cases     int     `json:"cases"` // number of validation cases
	Valid     Means   `json:"valid"`
	// Segments are the means for each class or region, none if the cases are binary.
	Segments []SegmentMeans `json:"segments,omitempty"`
}

// Divergence records where training stopped because a number was no longer finite.
type Divergence struct {
	Epoch int    `json:"epoch"` // from 1
	Step  int    `json:"step"`  // from 1; 0 if it was detected in validation
	What  string `json:"what"`  // the number and its value, such as "the training loss is NaN"
}

// String describes the divergence.
func (d *Divergence) String() string {
	if d.Step == 0 {
		return fmt.Sprintf("diverged in the validation of epoch %d: %s", d.Epoch, d.What)
	}
	return fmt.Sprintf("diverged in epoch %d at step %d: %s", d.Epoch, d.Step, d.What)
}
