package outcome

import "github.com/x/afl/examples/internal/segment"

// Result holds the results of one training: of one network with one loss, from one seed and
// on one fold.
type Result struct {
	// Run is the ID of the run, RunTitle its name in tables of several runs.
	Run, RunTitle string

	Network      string // name of the network in flags and files
	NetworkTitle string // name of the network in tables

	Loss   string // name of the loss in flags and files
	Title  string // name of the loss in tables
	Rule   string // description of the prediction rule for hard masks
	Scheme segment.Scheme
	Seed   uint64
	Fold   int     // from 0; 0 if the cases are not divided into folds
	Epochs []Epoch // in order

	// Evaluated is the number of epochs after which the best weights were last evaluated
	// with all measures. BestEpoch is their epoch, 0 if no epoch was completed, and Cases
	// holds their measures.
	Evaluated int
	BestEpoch int
	Cases     []Case

	Diverged *Divergence // nil unless the training diverged
	// StoppedEarly says that the training ended before its last epoch because its weights had
	// stopped improving.
	StoppedEarly bool
	// Ongoing describes how far the training is, such as "in epoch 3 of 10"; it is empty
	// once the training and its evaluation are complete.
	Ongoing string
}
