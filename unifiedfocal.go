package afl

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// UnifiedFocal is the unified focal loss of two classes, background 0 and lesion 1
// (Yeung et al., "Unified Focal loss: Generalising Dice and cross entropy-based losses to
// handle class imbalanced medical image segmentation", 2022),
//
//	L = Lambda·F + (1−Lambda)·R.
//
// With the probability p_c of class c, which is q_c = 1−p_c of the other, F is the mean
// over samples and voxels of
//
//	−Delta·q_1^g·log p_1 in the lesion, −(1−Delta)·q_0^Gamma·log p_0 outside,
//
// and R the mean over samples and both classes of
//
//	r_c^h,  r_c = M_c / (Σ p_c·t_c + M_c + Smooth),  M_c = Delta·Σ t_c·q_c + (1−Delta)·Σ (1−t_c)·p_c.
//
// The asymmetric form keeps the lesion's part of F from being suppressed and enhances the
// lesion's part of R: g = 0, and h = 1 for the background and 1−Gamma for the lesion. In
// the symmetric one g = Gamma and h = 1−Gamma for both. These are the exponents of the
// authors' code; they and MONAI clip probabilities, which is not done here, and the
// authors' weight is 1−Lambda. At r = 0, a perfect prediction, the gradient is 0.
//
// The logits have two channels, or one for the lesion, with the sigmoid. The target holds
// class indices or one-hot maps. Voxel weights multiply the elements of F and the summands
// of R; an ignored voxel takes no part. The only reduction is the mean; Delta stands for
// class weights.
type UnifiedFocal struct {
	Options
	constructed
	// Activation is Softmax (default) or Sigmoid, of each of two channels by itself. With
	// one channel either is the sigmoid.
	Activation Activation
	// Symmetric takes the symmetric form, default false.
	Symmetric bool
	// Lambda in [0,1] weighs F against R, default 0.5.
	Lambda float64
	// Delta in [0,1] weighs the lesion, and false negatives in R, default 0.6.
	Delta float64
	// Gamma in [0,1) is default 0.5.
	Gamma float64
	// Smooth is above 0, default 1e-7.
	Smooth float64
}

// NewUnifiedFocal returns the asymmetric unified focal loss with λ = 0.5, δ = 0.6 and
// γ = 0.5.
func NewUnifiedFocal() UnifiedFocal {
	return UnifiedFocal{constructed: constructed{true}, Activation: Softmax, Lambda: 0.5, Delta: 0.6, Gamma: 0.5, Smooth: 1e-7}
}

func (UnifiedFocal) constructor() string { return "NewUnifiedFocal" }

func (l UnifiedFocal) check(channels int) error {
	for _, o := range []struct {
		name        string
		value, most float64
	}{{"Lambda", l.Lambda, 1}, {"Delta", l.Delta, 1}, {"Gamma", l.Gamma, 1}, {"Smooth", l.Smooth, math.Inf(1)}} {
		if err := checkNumber(o.name, o.value, o.most); err != nil {
			return err
		}
	}
	switch {
	case l.Gamma == 1:
		return refuse("Gamma", l.Gamma, "a number from 0 to below 1")
	case l.Smooth == 0:
		return refuse("Smooth", l.Smooth, "a number above 0")
	case channels > 2:
		return refuse("channels of logits", channels, "1 or 2: the loss is of two classes")
	}
	return nil
}

// Eval implements [Loss].
func (l UnifiedFocal) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	c, err := newHostCall(l, support{reductions: []Reduction{ReduceMean}, ignore: true, weights: true}, logits, target, grad, opts)
	if err != nil {
		return nil, err
	}
	if err := l.check(c.batch.C); err != nil {
		return nil, err
	}
	activation, pair, err := c.classes(l.Activation)
	if err != nil {
		return nil, err
	}
	weight := [2]float64{1 - l.Delta, l.Delta}
	gamma := [2]float64{l.Gamma, 0}
	exponent := [2]float64{1, 1 - l.Gamma}
	if l.Symmetric {
		gamma[1], exponent[0] = l.Gamma, 1-l.Gamma
	}
	pass := cpu.Binary{Batch: &c.batch, Factor: [][2]float64{weight}, Gamma: [][2]float64{gamma}}
	if !pair && activation == plan.Sigmoid {
		// The probabilities do not add up to 1: each channel is a problem of two classes whose
		// negative voxels have no elements.
		pass.Channels, pass.Factor, pass.Gamma = true, [][2]float64{{0, weight[0]}, {0, weight[1]}}, [][2]float64{{0, gamma[0]}, {0, gamma[1]}}
	}
	voxels, err := c.meanVoxels()
	if err != nil {
		return nil, err
	}
	sums, err := c.kernels.Binary(&pass)
	if err != nil {
		return nil, public(err)
	}
	elements, value := 0.0, 0.0
	pass.Slope = make([][2]float64, len(sums))
	for i, s := range sums {
		elements += s.Elements
		class := 1
		if pass.Channels {
			class = i % 2
		}
		f, own := l.ratio([]float64{s.TP, s.FP, s.FN}, c.batch.N, exponent[class])
		value += f
		pass.Slope[i] = [2]float64{own.slope(0), own.slope(1)}
		if pass.Channels {
			continue
		}
		// What is wrong of one class is wrong of the other.
		f, other := l.ratio([]float64{s.TN, s.FN, s.FP}, c.batch.N, exponent[0])
		value += f
		for y := range pass.Slope[i] {
			pass.Slope[i][y] -= other.slope(float64(1 - y))
		}
	}
	value += float64(l.Lambda*elements) / voxels
	if err := c.binaryGradient(&pass, l.Lambda/voxels); err != nil {
		return nil, err
	}
	return plan.FromNumber(value), nil
}

// ratio returns the part of R of a class of one of n samples, from the sums of its errors.
func (l UnifiedFocal) ratio(sums []float64, n int, exponent float64) (value float64, r errorRatio) {
	r = errorRatio{hit: 1, fp: 1 - l.Delta, fn: l.Delta}
	r.evaluate(sums, l.Smooth, l.Smooth)
	f, slope := powerOrZero(r.f, exponent)
	share := (1 - l.Lambda) / float64(2*n)
	r.scale = share * slope
	return float64(share * f), r
}
