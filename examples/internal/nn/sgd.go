package nn

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"
)

// SGD is stochastic gradient descent with momentum, with the same formulas as in PyTorch
// (dampening 0). For every parameter w with gradient g:
//
//	g ← g + WeightDecay·w
//	v ← g in the first step of a parameter, else Momentum·v + g
//	w ← w − LearningRate·(g + Momentum·v)   with Nesterov
//	w ← w − LearningRate·v                  without
//
// The fields may be changed between steps. The zero value has no effect on parameters; set
// at least LearningRate.
type SGD struct {
	LearningRate float64
	// Momentum is in [0, 1); with 0 there are no velocities.
	Momentum float64
	// WeightDecay is applied to all parameters, including norms and biases.
	WeightDecay float64
	// Nesterov requires Momentum > 0.
	Nesterov bool

	velocity map[string]Array // by parameter name; absent before its first step
}

// Step implements [Optimizer].
func (s *SGD) Step(b Backend, params []*Param) error {
	if err := s.check(); err != nil {
		return err
	}
	spec := SGDSpec{LearningRate: s.LearningRate, Momentum: s.Momentum, WeightDecay: s.WeightDecay, Nesterov: s.Nesterov}
	updated := 0
	for _, p := range params {
		if p.Grad == nil {
			continue
		}
		velocity, seen := s.velocity[p.Name]
		if s.Momentum != 0 && !seen {
			var err error
			if velocity, err = b.Zeros(p.Value.Shape()); err != nil {
				return fmt.Errorf("nn: SGD: %s: %w", p.Name, err)
			}
		}
		if err := b.SGDStep(p.Value, p.Grad, velocity, !seen, spec); err != nil {
			return fmt.Errorf("nn: SGD: %s: %w", p.Name, err)
		}
		if s.Momentum != 0 && !seen {
			if s.velocity == nil {
				s.velocity = map[string]Array{}
			}
			s.velocity[p.Name] = velocity
		}
		p.Grad = nil
		updated++
	}
	if updated == 0 {
		return errors.New("nn: SGD: no parameter has a gradient; call Tape.Backward before Step")
	}
	return nil
}

// SetLearningRate implements [Optimizer].
func (s *SGD) SetLearningRate(rate float64) { s.LearningRate = rate }

func (s *SGD) check() error {
	// The conditions are written so that NaN is an error.
	switch {
	case !(s.LearningRate >= 0):
		return fmt.Errorf("nn: SGD: learning rate is %v, want at least 0", s.LearningRate)
	case !(s.Momentum >= 0 && s.Momentum < 1):
		return fmt.Errorf("nn: SGD: momentum is %v, want a number in [0, 1)", s.Momentum)
	case !(s.WeightDecay >= 0):
		return fmt.Errorf("nn: SGD: weight decay is %v, want at least 0", s.WeightDecay)
	case s.Nesterov && s.Momentum == 0:
		return errors.New("nn: SGD: Nesterov requires a momentum greater than 0")
	}
	return nil
}

// StateDict copies the velocities to the host, by parameter name. Parameters that have not
// been updated yet are absent. LoadStateDict restores the velocities bit for bit.
func (s *SGD) StateDict(b Backend) (map[string]*tensor.Dense, error) {
	state := make(map[string]*tensor.Dense, len(s.velocity))
	for name, v := range s.velocity {
		t, err := hostCopy(b, v)
		if err != nil {
			return nil, fmt.Errorf("nn: SGD: %s: %w", name, err)
		}
		state[name] = t
	}
	return state, nil
}

// LoadStateDict replaces the velocities by state, which maps the names of params to tensors
// of their shapes. If it fails, it changes nothing.
func (s *SGD) LoadStateDict(b Backend, params []*Param, state map[string]*tensor.Dense) error {
	velocity := make(map[string]Array, len(state))
	for _, p := range params {
		t, ok := state[p.Name]
		if !ok {
			continue
		}
		v, err := loadArray(b, t, p.Value.Shape())
		if err != nil {
			return fmt.Errorf("nn: SGD: %s: %w", p.Name, err)
		}
		velocity[p.Name] = v
	}
	for name := range state {
		if _, ok := velocity[name]; !ok {
			return fmt.Errorf("nn: SGD: the state contains %q, which is not a parameter of the network", name)
		}
	}
	s.velocity = velocity
	return nil
}
