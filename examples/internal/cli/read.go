package cli

import "github.com/x/afl/examples/internal/outcome"

// ReadResults returns the results that the run of a program in the folder dir has so far, one
// for each of its trainings, and the learning rate that its flags name.
func ReadResults(p Program, dir string) (results outcome.Store, rate float64, err error) {
	run, err := readRun(p, dir)
	if err != nil {
		return nil, 0, err
	}
	return run.results, run.options.optimization.lr, nil
}
