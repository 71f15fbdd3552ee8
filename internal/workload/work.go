package workload

import (
	"fmt"
	"math"

	"github.com/x/afl"
	"github.com/x/afl/internal/plan"
)

// Work is the least work that evaluating a loss takes, whatever the program.
type Work struct {
	Passes   int   // over the logits
	Bytes    int64 // read and written, each once per pass
	Exp, Log int64 // evaluations
}

// Elements are the sizes in bytes of one logit, or number of the gradient, and of one
// label.
type Elements struct{ Logit, Label int }

// Float32 or float64 logits and uint8 labels.
var (
	Float32Uint8 = Elements{Logit: 4, Label: 1}
	Float64Uint8 = Elements{Logit: 8, Label: 1}
)

// evaluations of exp and log for all channels of one voxel.
type evaluations struct{ exp, log int }

func (a evaluations) plus(b evaluations) evaluations {
	return evaluations{a.exp + b.exp, a.log + b.log}
}

// terms are the evaluations that a loss needs for one voxel of C channels.
//
//	probability  exp of the activations: C by sigmoid, C−1 by softmax, as the
//	             numerator of the largest logit is 1. p, 1−p and their gradients
//	             follow from it by arithmetic.
//	value        what the value of a pointwise term needs in addition: the logarithm,
//	             and (1−p)^γ unless γ is a whole number.
//	gradient     what its gradient needs in addition if it is computed alone.
//
// It follows for one voxel of C channels, forward/with gradient where the two differ:
//
//	cross-entropy, softmax             C−1 exp          1 log
//	cross-entropy, sigmoid             C exp            C log
//	focal, sigmoid, whole γ            C exp            C log
//	focal, softmax, whole γ            C−1 exp          1 log
//	A-FL, sigmoid                      2C exp           C log
//	A-FL, softmax                      C exp            1 log (C = 2), 2 log (C > 2)
//	Dice, IoU, Tversky, … by sigmoid   C exp
//	Dice, IoU, Tversky, … by softmax   C−1 exp
//	Dice + cross-entropy, softmax      C−1 exp          1 log
//	Dice + focal, sigmoid, whole γ     C exp            C/2C log
//	focal, sigmoid, whole γ, soft t    2C exp           C log
//
// The gradient of an overlap term takes two passes, as it depends on sums over all
// voxels. Probabilities are counted once, and the bytes to store them are not: a
// program may cache them in the gradient's memory or evaluate them again. The gradient
// of the cross-entropy is p−t and needs no logarithm; that of a focal term needs its
// value. With a soft target t the modulating factor of the sigmoid, σ((1−2t)·x)^γ, is
// no power of p or 1−p, and takes an exponential of its own. (1−p)^γ is exp(γ·log(1−p)); by sigmoid and with two softmax channels log(1−p)
// follows from log p, and with more channels it is a logarithm of its own.
type terms struct {
	probability evaluations
	value       evaluations
	gradient    evaluations
	pointwise   bool
	overlap     bool
	label       bool // the label is read once more for its statistics
	elements    int  // of the un-reduced pointwise term, for one voxel
}

// termsOf counts for class indices or maps, of which soft ones are not 0 or 1.
func termsOf(l afl.Loss, c int, target Target) (terms, error) {
	p, err := planOf(l, c, target.IsMaps())
	if err != nil {
		return terms{}, err
	}
	var t terms
	_, t.label = p.Request(&plan.Batch{N: 1, C: c, V: 1})
	w, o := p.Focal, p.Overlap
	if o != nil {
		t.overlap = true
		if t.probability, err = activation(o.Activation, o.First, c); err != nil {
			return terms{}, err
		}
	}
	if w == nil {
		return t, nil
	}
	t.pointwise, t.elements = true, c
	if w.PerVoxel {
		t.elements = 1
	}
	// Two terms share their probabilities where the activation is the same.
	if o == nil || o.Activation != w.Activation {
		e, err := activation(w.Activation, w.First, c)
		if err != nil {
			return terms{}, err
		}
		t.probability = t.probability.plus(e)
	}
	power, modulated := w.Adaptive != nil, w.Adaptive != nil // γ of A-FL is a share of voxels: no whole number
	for _, gamma := range w.Gamma {
		power = power || gamma != math.Trunc(gamma)
		modulated = modulated || gamma != 0
	}
	if w.Activation == plan.Sigmoid {
		t.value.log = c
		if power {
			t.value.exp = c
		}
		if modulated && target == Soft {
			t.value.exp += c
			if power {
				t.value.log += c
			}
		}
	} else {
		// Only the label's own channel contributes, unless the target is soft.
		contributing := 1
		if target == Soft {
			contributing = c
		}
		t.value.log = 1
		if power {
			t.value.exp = contributing
			if c > 2 {
				t.value.log += contributing
			}
		}
	}
	if modulated {
		t.gradient = t.value
	}
	return t, nil
}

func activation(a plan.Activation, first, c int) (evaluations, error) {
	if first > 0 {
		return evaluations{}, fmt.Errorf("the work is counted with the background included")
	}
	switch a {
	case plan.Sigmoid:
		return evaluations{exp: c}, nil
	case plan.Softmax:
		return evaluations{exp: c - 1}, nil
	}
	return evaluations{}, nil
}

// Count counts the work of a loss of class indices at a size, with its gradient or
// without.
func Count(l afl.Loss, s Size, e Elements, gradient bool) (Work, error) {
	return Call{}.count(l, s, e, gradient)
}

// Count counts the work of one evaluation of a loss on the call's batch, with its
// gradient or without.
func (c Call) Count(l afl.Loss, s Size, gradient bool) (Work, error) {
	return c.count(l, s, c.elements(), gradient)
}

func (c Call) count(l afl.Loss, s Size, e Elements, gradient bool) (Work, error) {
	t, err := termsOf(l, s.Channels, c.Target)
	if err != nil {
		return Work{}, err
	}
	each := t.probability.plus(t.value) // the first pass always yields the value
	w := Work{Passes: 1}
	target, statistics := e.Label, e.Label
	if c.Target.IsMaps() {
		target *= s.Channels
		statistics *= max(s.Channels-1, 1) // those of the foreground
	}
	bytes := 0
	if gradient {
		bytes += s.Channels * e.Logit // written
		if t.overlap {
			w.Passes = 2
			each = each.plus(t.gradient)
		}
	}
	if c.Unreduced && t.pointwise {
		bytes += t.elements * e.Logit // written
		if t.overlap {
			// Each element has its group's value added, which the first pass yields; the
			// second one yields the elements, and the gradient from these.
			w.Passes = 2
			each = t.probability.plus(t.value)
		}
		if gradient {
			bytes += w.Passes * t.elements * e.Logit // upstream
		}
	}
	read := s.Channels*e.Logit + target
	if c.VoxelWeight {
		read += 4
	}
	bytes += w.Passes * read
	if t.label {
		bytes += statistics
	}
	v := int64(s.Voxels())
	w.Bytes, w.Exp, w.Log = int64(bytes)*v, int64(each.exp)*v, int64(each.log)*v
	return w, nil
}
