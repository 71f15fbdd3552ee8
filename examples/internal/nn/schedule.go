package nn

import (
	"fmt"
	"math"
)

// Decay is the course of the learning rate after the warm-up; see [Schedule].
type Decay string

const (
	// Constant keeps the learning rate.
	Constant Decay = "constant"
	// Polynomial decays as (1 − t/T)^Power to 0 (PyTorch's PolynomialLR).
	Polynomial Decay = "polynomial"
	// Cosine decays as Minimum + (1 − Minimum)·(1 + cos(π·t/T))/2 (PyTorch's
	// CosineAnnealingLR, with eta_min = Minimum·base rate; Loshchilov and Hutter 2017).
	Cosine Decay = "cosine"
)

// Schedule determines the learning rate over a training as a multiple of the base learning
// rate. Time is counted in steps or in epochs, as the caller chooses.
//
// In the first W = WarmUp of E units of time the factor rises linearly,
// WarmUpStart + (1 − WarmUpStart)·t/W (PyTorch's LinearLR). From then on it decays, with
// t − W for t and T = E − W (SequentialLR with the milestone W). The zero value is a constant
// learning rate.
type Schedule struct {
	// Decay is the course after the warm-up. Default Constant.
	Decay Decay `json:"decay"`
	// Power is the exponent of Polynomial. Default 0.9.
	Power float64 `json:"power"`
	// Minimum is the factor with which Cosine ends, in [0, 1]. Default 0.
	Minimum float64 `json:"minimum"`
	// WarmUp is the duration of the warm-up. Default 0: none.
	WarmUp int `json:"warm_up"`
	// WarmUpStart is the first factor of the warm-up, in (0, 1]. Default 1/3.
	WarmUpStart float64 `json:"warm_up_start"`
}

// Factor returns the factor at time t of total, with 0 ≤ t ≤ total. The first step or epoch is
// that of t = 0, the last one that of t = total − 1.
func (s Schedule) Factor(t, total int) (float64, error) {
	if s.Power == 0 {
		s.Power = 0.9
	}
	if s.WarmUpStart == 0 {
		s.WarmUpStart = 1.0 / 3
	}
	// The conditions are written so that NaN is an error.
	switch {
	case total < 1:
		return 0, fmt.Errorf("nn: Schedule: total is %d, want at least 1", total)
	case t < 0 || t > total:
		return 0, fmt.Errorf("nn: Schedule: t is %d, want 0 to the total of %d", t, total)
	case s.WarmUp < 0 || s.WarmUp >= total:
		return 0, fmt.Errorf("nn: Schedule: WarmUp is %d, want at least 0 and less than the total of %d", s.WarmUp, total)
	case !(s.WarmUpStart > 0 && s.WarmUpStart <= 1):
		return 0, fmt.Errorf("nn: Schedule: WarmUpStart is %v, want a number in (0, 1]", s.WarmUpStart)
	case !(s.Power > 0) || math.IsInf(s.Power, 1):
		return 0, fmt.Errorf("nn: Schedule: Power is %v, want a number greater than 0", s.Power)
	case !(s.Minimum >= 0 && s.Minimum <= 1):
		return 0, fmt.Errorf("nn: Schedule: Minimum is %v, want a number in [0, 1]", s.Minimum)
	}
	if t < s.WarmUp {
		return s.WarmUpStart + (1-s.WarmUpStart)*(float64(t)/float64(s.WarmUp)), nil
	}
	passed := float64(t-s.WarmUp) / float64(total-s.WarmUp)
	switch s.Decay {
	case Constant, "":
		return 1, nil
	case Polynomial:
		return math.Pow(1-passed, s.Power), nil
	case Cosine:
		return s.Minimum + (1-s.Minimum)*(1+math.Cos(math.Pi*passed))/2, nil
	}
	return 0, fmt.Errorf("nn: Schedule: Decay is %q, want %s, %s or %s", s.Decay, Constant, Polynomial, Cosine)
}
