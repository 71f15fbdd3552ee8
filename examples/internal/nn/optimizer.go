package nn

import "gorgonia.org/tensor"

// Optimizer updates parameters from their gradients. [SGD] and [AdamW] implement it.
type Optimizer interface {
	// Step updates every parameter that has a gradient and consumes the gradients. As in
	// PyTorch, parameters without a gradient are not changed, and neither is their state;
	// it is an error if no parameter has one.
	Step(b Backend, params []*Param) error
	// SetLearningRate sets the learning rate of the following steps, which must be at
	// least 0. It is not part of the state.
	SetLearningRate(rate float64)
	// StateDict copies to the host what the optimizer maintains for every parameter that it
	// has updated. LoadStateDict restores it bit for bit.
	StateDict(b Backend) (map[string]*tensor.Dense, error)
	// LoadStateDict replaces the optimizer's state by one of StateDict for the same
	// parameters. If it fails, it changes nothing.
	LoadStateDict(b Backend, params []*Param, state map[string]*tensor.Dense) error
}
