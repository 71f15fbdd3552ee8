package afl

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Sum is the weighted sum of any losses, including those defined in other packages,
//
//	L = Σ_i Terms[i].Weight · Terms[i].Loss.
//
// Each term is evaluated by itself, with all options of the call, and has to be
// reduced to a scalar, so that an upstream gradient is refused. With a gradient a
// Sum of several terms allocates one more tensor of the logits' size. [Compound]
// is faster for the pairs that it takes.
type Sum struct {
	Terms []Term
}

// Term is one loss of a [Sum].
type Term struct {
	Weight float64 // finite, of either sign, not 0
	Loss   Loss
}

// NewSum returns the sum of the terms:
//
//	afl.NewSum(afl.Term{Weight: 1, Loss: afl.NewDice()}, afl.Term{Weight: 0.5, Loss: custom})
func NewSum(terms ...Term) Sum { return Sum{Terms: terms} }

// Eval implements [Loss].
func (l Sum) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (value *tensor.Dense, err error) {
	if len(l.Terms) == 0 {
		return nil, refuse("Terms", "empty", "at least one term")
	}
	cfg, err := NewEvalConfig(opts...)
	if err != nil {
		return nil, err
	}
	if cfg.Upstream != nil {
		return nil, refuse("upstream", "given to a Sum", "none, as its value is a scalar")
	}
	for i, term := range l.Terms {
		if math.IsNaN(term.Weight) || math.IsInf(term.Weight, 0) || term.Weight == 0 {
			return nil, refuse(fmt.Sprintf("Terms[%d].Weight", i), term.Weight, "a finite number other than 0 (leave the term out)")
		}
		if err := checkLoss(fmt.Sprintf("Terms[%d].Loss", i), term.Loss); err != nil {
			return nil, err
		}
	}
	backend, err := checkLogits(logits)
	if err != nil {
		return nil, err
	}
	var scratch *tensor.Dense // the gradient of a term after the first
	if grad != nil && len(l.Terms) > 1 {
		if scratch, err = backend.NewTensor(logits, logits.Shape()...); err != nil {
			return nil, public(err)
		}
		defer func() { err = errors.Join(err, release(scratch)) }()
	}
	total := scalarSum{backend: backend}
	defer func() {
		if err != nil {
			err = errors.Join(err, total.release())
		}
	}()
	for i, term := range l.Terms {
		name, out := fmt.Sprintf("Terms[%d].Loss", i), grad
		if i > 0 && grad != nil {
			out = scratch
		}
		v, err := evalScalar(name, term.Loss, logits, target, out, opts)
		if err != nil {
			return nil, err
		}
		if err := total.add(name, v, term.Weight); err != nil {
			return nil, err
		}
		switch {
		case grad == nil:
		case i == 0:
			err = backend.Combine(grad, term.Weight, nil, 0)
		default:
			err = backend.Combine(grad, 1, scratch, term.Weight)
		}
		if err != nil {
			return nil, public(err)
		}
	}
	return total.tensor(), nil
}

// scalarSum adds losses up where they lie, so that nothing waits for a GPU.
type scalarSum struct {
	backend plan.Backend
	host    float64
	device  *tensor.Dense // nil in Go memory
}

// add adds weight·v, the value of the loss that argument names, and takes v over.
func (s *scalarSum) add(argument string, v *tensor.Dense, weight float64) error {
	r, ok := s.backend.(plan.Remote)
	if !ok {
		x, err := plan.Number(v)
		s.host += float64(weight * x) // not fused: the same bits everywhere
		return public(err)
	}
	switch on := remote(v); {
	case on != r:
		err := refuse("engine of the value of "+argument, engineName(v.Engine()), "that of the logits")
		return errors.Join(err, release(v))
	case s.device == nil:
		s.device = v
		return public(r.Combine(v, weight, nil, 0))
	case s.device.Dtype() != tensor.Float64 && v.Dtype() == tensor.Float64: // the wider type holds the sum
		err := r.Combine(v, weight, s.device, 1)
		err = errors.Join(public(err), release(s.device))
		s.device = v
		return err
	}
	err := r.Combine(s.device, 1, v, weight)
	return errors.Join(public(err), release(v))
}

func (s *scalarSum) tensor() *tensor.Dense {
	if s.device != nil {
		return s.device
	}
	return plan.FromNumber(s.host)
}

// release gives back what the sum holds.
func (s *scalarSum) release() error {
	if s.device == nil {
		return nil
	}
	return release(s.device)
}
