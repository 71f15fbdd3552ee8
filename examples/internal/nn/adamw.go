package nn

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/tensor"
)

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019, Algorithm 2), with
// the same order of operations as PyTorch's AdamW without amsgrad. In step t, from 1, of a
// parameter w with gradient g:
//
//	w ← w·(1 − LearningRate·WeightDecay)
//	m ← Beta1·m + (1 − Beta1)·g
//	v ← Beta2·v + (1 − Beta2)·g²
//	w ← w − LearningRate/(1 − Beta1ᵗ) · m/(√v/√(1 − Beta2ᵗ) + Epsilon)
//
// Both moments start at 0, and every parameter counts its own steps. The fields may be
// changed between steps. [NewAdamW] sets PyTorch's defaults.
type AdamW struct {
	LearningRate float64
	// Beta1 and Beta2 are the weights of the past in the moments m and v, in [0, 1).
	Beta1, Beta2 float64
	// Epsilon is at least 0; it keeps the denominator away from 0.
	Epsilon float64
	// WeightDecay is applied to all parameters, including norms and biases.
	WeightDecay float64

	moments map[string]moments // by parameter name; absent before its first step
}

// moments is the state of one parameter.
type moments struct {
	steps         int64
	first, second Array
}

// NewAdamW returns an optimizer with PyTorch's defaults: betas 0.9 and 0.999, epsilon 1e-8,
// weight decay 0.01.
func NewAdamW(learningRate float64) *AdamW {
	return &AdamW{LearningRate: learningRate, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.01}
}

// Step implements [Optimizer].
func (a *AdamW) Step(b Backend, params []*Param) error {
	if err := a.check(); err != nil {
		return err
	}
	updated := 0
	for _, p := range params {
		if p.Grad == nil {
			continue
		}
		if err := a.update(b, p); err != nil {
			return fmt.Errorf("nn: AdamW: %s: %w", p.Name, err)
		}
		updated++
	}
	if updated == 0 {
		return errors.New("nn: AdamW: no parameter has a gradient; call Tape.Backward before Step")
	}
	return nil
}

func (a *AdamW) update(b Backend, p *Param) error {
	m, seen := a.moments[p.Name]
	if !seen {
		var err error
		if m.first, err = b.Zeros(p.Value.Shape()); err != nil {
			return err
		}
		if m.second, err = b.Zeros(p.Value.Shape()); err != nil {
			return err
		}
	}
	m.steps++
	spec := AdamWSpec{
		Decay: 1 - float64(a.LearningRate*a.WeightDecay),
		Beta1: a.Beta1, Beta2: a.Beta2,
		StepSize:   a.LearningRate / (1 - math.Pow(a.Beta1, float64(m.steps))),
		Correction: math.Sqrt(1 - math.Pow(a.Beta2, float64(m.steps))),
		Epsilon:    a.Epsilon,
	}
	if err := b.AdamWStep(p.Value, p.Grad, m.first, m.second, spec); err != nil {
		return err
	}
	if a.moments == nil {
		a.moments = map[string]moments{}
	}
	a.moments[p.Name] = m
	p.Grad = nil
	return nil
}

// SetLearningRate implements [Optimizer].
func (a *AdamW) SetLearningRate(rate float64) { a.LearningRate = rate }

func (a *AdamW) check() error {
	// The conditions are written so that NaN is an error.
	switch {
	case !(a.Beta1 >= 0 && a.Beta1 < 1):
		return fmt.Errorf("nn: AdamW: Beta1 is %v, want a number in [0, 1)", a.Beta1)
	case !(a.Beta2 >= 0 && a.Beta2 < 1):
		return fmt.Errorf("nn: AdamW: Beta2 is %v, want a number in [0, 1)", a.Beta2)
	case !(a.LearningRate >= 0):
		return fmt.Errorf("nn: AdamW: learning rate is %v, want at least 0", a.LearningRate)
	case !(a.WeightDecay >= 0):
		return fmt.Errorf("nn: AdamW: weight decay is %v, want at least 0", a.WeightDecay)
	case !(a.Epsilon >= 0):
		return fmt.Errorf("nn: AdamW: epsilon is %v, want at least 0", a.Epsilon)
	}
	return nil
}

// Prefixes of the names of a parameter's state, as PyTorch names it.
const (
	stepPrefix   = "step."
	firstPrefix  = "exp_avg."
	secondPrefix = "exp_avg_sq."
)

// StateDict implements [Optimizer]. For the parameter w it contains the moments exp_avg.w and
// exp_avg_sq.w, and the number of its steps as the int64 scalar step.w.
func (a *AdamW) StateDict(b Backend) (map[string]*tensor.Dense, error) {
	state := make(map[string]*tensor.Dense, 3*len(a.moments))
	for name, m := range a.moments {
		state[stepPrefix+name] = tensor.New(tensor.FromScalar(m.steps))
		for prefix, moment := range map[string]Array{firstPrefix: m.first, secondPrefix: m.second} {
			t, err := hostCopy(b, moment)
			if err != nil {
				return nil, fmt.Errorf("nn: AdamW: %s: %w", prefix+name, err)
			}
			state[prefix+name] = t
		}
	}
	return state, nil
}

// LoadStateDict implements [Optimizer]. Each parameter must have all three entries or none.
func (a *AdamW) LoadStateDict(b Backend, params []*Param, state map[string]*tensor.Dense) error {
	loaded := map[string]moments{}
	used := map[string]bool{}
	for _, p := range params {
		names := [...]string{stepPrefix + p.Name, firstPrefix + p.Name, secondPrefix + p.Name}
		present := 0
		for _, name := range names {
			if _, ok := state[name]; ok {
				present++
				used[name] = true
			}
		}
		if present == 0 {
			continue
		}
		var m moments
		var err error
		if m.steps, err = stepCount(state[names[0]]); err != nil {
			return fmt.Errorf("nn: AdamW: %s: %w", names[0], err)
		}
		for i, moment := range []*Array{&m.first, &m.second} {
			name := names[1+i]
			if *moment, err = loadArray(b, state[name], p.Value.Shape()); err != nil {
				return fmt.Errorf("nn: AdamW: %s: %w", name, err)
			}
		}
		loaded[p.Name] = m
	}
	for name := range state {
		if !used[name] {
			return fmt.Errorf("nn: AdamW: the state contains %q, which does not belong to a parameter of the network", name)
		}
	}
	a.moments = loaded
	return nil
}

// stepCount returns the number of steps stored in a state.
func stepCount(t *tensor.Dense) (int64, error) {
	if t == nil {
		return 0, errors.New("is missing, want an int64 of at least 1")
	}
	n, ok := scalarInt64(t)
	if !ok || n < 1 {
		return 0, fmt.Errorf("is %v, want an int64 of at least 1", t)
	}
	return n, nil
}
