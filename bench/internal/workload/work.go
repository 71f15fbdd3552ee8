package workload

import (
	"fmt"
	"math"

	"github.com/x/afl"
)

// Work is the least that evaluating a loss takes, whatever the program.
type Work struct {
	Passes   int   // over the logits
	Bytes    int64 // that are read or written, each once a pass
	Exp, Log int64 // evaluations
}

// Elements are the bytes of one logit, which a gradient has too, and of one label.
type Elements struct{ Logit, Label int }

// Float32Uint8 is a batch of float32 logits and uint8 labels.
var Float32Uint8 = Elements{Logit: 4, Label: 1}

// evaluations of exp and log for one voxel, all channels together.
type evaluations struct{ exp, log int }

func (a evaluations) plus(b evaluations) evaluations {
	return evaluations{a.exp + b.exp, a.log + b.log}
}

// terms is what a loss needs for one voxel of C channels.
//
//	probability  exp of the activations: by sigmoid C, by softmax C−1, as the
//	             largest logit's numerator is 1. From it p, 1−p and their
//	             gradients follow by arithmetic.
//	value        what a pointwise term needs on top for its value: the logarithm,
//	             and (1−p)^γ where γ is not a whole number.
//	gradient     what it needs on top for its gradient alone.
//
// The table that follows from it, for one voxel, forward/with gradient where the
// two differ, C channels:
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
//
// A gradient of an overlap term takes two passes, as it depends on sums over all
// voxels. Probabilities count once and their bytes not at all: a program may keep
// them in the gradient's memory or evaluate them again. The gradient of the
// cross-entropy is p−t and takes no logarithm; that of a focal term takes its
// value. (1−p)^γ is exp(γ·log(1−p)), where log(1−p) comes with log p by sigmoid
// and with two softmax channels, and takes a logarithm of its own with more.
type terms struct {
	probability evaluations
	value       evaluations
	gradient    evaluations
	pointwise   bool
	overlap     bool
	label       bool // the label is read once more, for its statistics
}

func termsOf(l afl.Loss, c int) (terms, error) {
	switch l := l.(type) {
	case afl.CrossEntropy:
		return pointwise(l.Options, l.Activation, 0, c)
	case afl.Focal:
		return pointwise(l.Options, l.Activation, l.Gamma, c)
	case afl.AdaptiveFocal:
		// Its γ is a share of voxels: no whole number.
		t, err := pointwise(l.Options, l.Activation, 0.5, c)
		t.label = true
		return t, err
	case afl.Dice:
		return overlap(l.Options, l.Activation, c)
	case afl.GeneralizedDice:
		return overlap(l.Options, l.Activation, c)
	case afl.Tversky:
		return overlap(l.Options, l.Activation, c)
	case afl.FocalTversky:
		return overlap(l.Options, l.Activation, c)
	case afl.DiceCE:
		return compound(l.Dice, afl.Softmax, 0, c)
	case afl.DiceFocal:
		return compound(l.Dice, l.FocalActivation, l.Gamma, c)
	}
	return terms{}, fmt.Errorf("no count of the work of a %T", l)
}

func activation(o afl.Options, a afl.Activation, c int) (evaluations, error) {
	if !o.IncludeBackground || c < 2 {
		return evaluations{}, fmt.Errorf("the work is counted for two or more channels, the background included")
	}
	switch a {
	case afl.Sigmoid:
		return evaluations{exp: c}, nil
	case afl.Softmax:
		return evaluations{exp: c - 1}, nil
	case afl.Identity:
		return evaluations{}, nil
	}
	return evaluations{}, fmt.Errorf("no count of the work of activation %v", a)
}

func overlap(o afl.Options, a afl.Activation, c int) (terms, error) {
	p, err := activation(o, a, c)
	return terms{probability: p, overlap: true}, err
}

func pointwise(o afl.Options, a afl.Activation, gamma float64, c int) (terms, error) {
	p, err := activation(o, a, c)
	t := terms{probability: p, pointwise: true}
	power := gamma != math.Trunc(gamma)
	if a == afl.Sigmoid {
		t.value.log = c
		if power {
			t.value.exp = c
		}
	} else {
		// Only the label's own channel contributes.
		t.value.log = 1
		if power {
			t.value.exp = 1
			if c > 2 {
				t.value.log = 2
			}
		}
	}
	if gamma != 0 {
		t.gradient = t.value
	}
	return t, err
}

// compound is an overlap and a pointwise term, which share their probabilities
// where the activation is the same.
func compound(d afl.Dice, a afl.Activation, gamma float64, c int) (terms, error) {
	o, err := overlap(d.Options, d.Activation, c)
	if err != nil {
		return terms{}, err
	}
	t, err := pointwise(d.Options, a, gamma, c)
	if a != d.Activation {
		t.probability = t.probability.plus(o.probability)
	}
	t.overlap = true
	return t, err
}

// Count counts what a loss of class indices takes at a size, with its gradient or
// without.
func Count(l afl.Loss, s Size, e Elements, gradient bool) (Work, error) {
	t, err := termsOf(l, Channels)
	if err != nil {
		return Work{}, err
	}
	each := t.probability.plus(t.value) // the first pass always leaves the value
	w := Work{Passes: 1}
	bytes := 0
	if gradient {
		bytes += Channels * e.Logit // written
		if t.overlap {
			w.Passes = 2
			each = each.plus(t.gradient)
		}
	}
	bytes += w.Passes * (Channels*e.Logit + e.Label)
	if t.label {
		bytes += e.Label
	}
	v := int64(s.Voxels())
	w.Bytes, w.Exp, w.Log = int64(bytes)*v, int64(each.exp)*v, int64(each.log)*v
	return w, nil
}
