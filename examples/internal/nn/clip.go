package nn

import (
	"fmt"
	"math"
)

// ClipGradients scales the gradients of params so that their global norm is at most maxNorm,
// and returns the norm before scaling,
//
//	norm = √(Σ g²) over all values of all gradients
//	g ← g·maxNorm/(norm + 1e-6)   if that factor is less than 1
//
// like PyTorch's clip_grad_norm_. Parameters without a gradient do not count. The sum is
// computed in float64, in an order that depends only on the parameters, so its bits do not
// depend on the number of threads. A maxNorm of +Inf only computes the norm.
//
// If a gradient is not finite, ClipGradients returns a *NonFiniteGradientError and changes
// nothing. Scaled gradients replace those of Tape.Grad, which become unusable.
func ClipGradients(b Backend, params []*Param, maxNorm float64) (norm float64, err error) {
	if !(maxNorm > 0) {
		return 0, fmt.Errorf("nn: ClipGradients: maxNorm is %v, want a number greater than 0", maxNorm)
	}
	var with []*Param
	var grads []Array
	for _, p := range params {
		if p.Grad != nil {
			with, grads = append(with, p), append(grads, p.Grad)
		}
	}
	square, err := b.SumOfSquares(grads...)
	if err != nil {
		return 0, fmt.Errorf("nn: ClipGradients: %w", err)
	}
	norm = math.Sqrt(square)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, nonFinite(b, with, norm)
	}
	factor := maxNorm / (norm + 1e-6)
	if !(factor < 1) {
		return norm, nil
	}
	scaled := map[Array]Array{} // parameters may share a gradient
	for _, p := range with {
		old := p.Grad
		if scaled[old] == nil {
			if scaled[old], err = b.Scale(old, factor); err != nil {
				return norm, fmt.Errorf("nn: ClipGradients: %s: %w", p.Name, err)
			}
			b.Release(old)
		}
		p.Grad = scaled[old]
	}
	return norm, nil
}

// ClipGradientsLater is [ClipGradients] with a norm that is read later. In a step of a
// [StepRunner] the LateNumber also returns the [*NonFiniteGradientError], instead of this
// function, and every gradient is replaced.
func ClipGradientsLater(b Backend, params []*Param, maxNorm float64) (LateNumber, error) {
	if !InStep(b) {
		norm, err := ClipGradients(b, params, maxNorm)
		return func() (float64, error) { return norm, nil }, err
	}
	if !(maxNorm > 0) {
		return nil, fmt.Errorf("nn: ClipGradientsLater: maxNorm is %v, want a number greater than 0", maxNorm)
	}
	var grads []Array // parameters may share a gradient, which counts for each of them
	var names []string
	for _, p := range params {
		if p.Grad != nil {
			grads, names = append(grads, p.Grad), append(names, p.Name)
		}
	}
	scaled, read, err := b.(StepRunner).ClipLater(grads, maxNorm)
	if err != nil {
		return nil, fmt.Errorf("nn: ClipGradientsLater: %w", err)
	}
	with := 0
	for _, p := range params {
		if p.Grad != nil {
			p.Grad = scaled[with]
			with++
		}
	}
	return func() (float64, error) {
		norm, bad, err := read()
		switch {
		case err != nil:
			return 0, fmt.Errorf("nn: ClipGradientsLater: %w", err)
		case bad >= 0:
			return norm, &NonFiniteGradientError{names[bad], norm}
		}
		return norm, nil
	}, nil
}

// NonFiniteGradientError reports a gradient that contains NaN or infinity.
type NonFiniteGradientError struct {
	// Parameter is the name of the first parameter with such a gradient.
	Parameter string
	// Norm is the global norm of all gradients, NaN or +Inf.
	Norm float64
}

// Error names the parameter and states the norm.
func (e *NonFiniteGradientError) Error() string {
	return fmt.Sprintf("the gradient of %s is not finite; the norm of all gradients is %v", e.Parameter, e.Norm)
}

// nonFinite returns the error for gradients whose global norm is not finite.
func nonFinite(b Backend, with []*Param, norm float64) error {
	for _, p := range with {
		square, err := b.SumOfSquares(p.Grad)
		if err != nil {
			return fmt.Errorf("nn: ClipGradients: %s: %w", p.Name, err)
		}
		if !(square < math.Inf(1)) {
			return &NonFiniteGradientError{p.Name, norm}
		}
	}
	// Float64 gradients whose squares sum up to more than the largest number.
	return &NonFiniteGradientError{with[0].Name, norm}
}
