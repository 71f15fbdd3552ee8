package dataset

// Split is a division of cases into those that a training uses and those that it does not.
type Split struct {
	// Train are the cases to train on, Valid those by which the best weights are selected.
	Train, Valid []Case
	// Test are the cases that the results are reported on; nil if those are Valid.
	Test []Case
}

// Reported returns the cases that the results are reported on.
func (s *Split) Reported() []Case {
	if s.Test != nil {
		return s.Test
	}
	return s.Valid
}
