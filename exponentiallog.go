package afl

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// ExponentialLogarithmic is the exponential logarithmic loss (Wong et al., "3D Segmentation
// with Exponential Logarithmic Loss for Highly Unbalanced Object Sizes", 2018),
//
//	L = LambdaDice·mean (−ln D)^GammaDice + LambdaCE·mean w_y·(−ln p_y)^GammaCE,
//
// the first mean over samples and classes, or over the classes of the whole batch, of the
// Dice coefficient
//
//	D = (2·Σ p·t + Smooth) / (Σ p + Σ t + Smooth),
//
// and the second over the voxels that are not ignored, of the probability of the label y.
// It is not divided by the class weights w. At D = 1, or p = 1, the gradient is 0. An
// exponent below 1 makes what is nearly right count more than it does in −ln.
//
// The target holds class indices. One channel stands for two classes, by the sigmoid.
// ExcludeBackground holds for the Dice part alone, and Weight for the other part alone: one
// for each class, for which the paper takes sqrt(Σ_k f_k / f_l) of the classes' frequencies
// f in the training set. Voxel weights multiply the sums of D and the elements of the
// second part. The only reduction is the mean.
type ExponentialLogarithmic struct {
	Options
	constructed
	// Activation is Softmax (default) or Sigmoid, of each of several channels by itself.
	// With one channel either is the sigmoid.
	Activation Activation
	// LambdaDice and LambdaCE are at least 0, default 0.8 and 0.2.
	LambdaDice, LambdaCE float64
	// GammaDice and GammaCE are above 0, default 0.3.
	GammaDice, GammaCE float64
	// Smooth is above 0, default 1.
	Smooth float64
	// Batch sums over the whole batch before the ratio, default false.
	Batch bool
}

// NewExponentialLogarithmic returns the exponential logarithmic loss with the weights 0.8
// and 0.2 and both exponents 0.3.
func NewExponentialLogarithmic() ExponentialLogarithmic {
	return ExponentialLogarithmic{constructed: constructed{true}, Activation: Softmax,
		LambdaDice: 0.8, LambdaCE: 0.2, GammaDice: 0.3, GammaCE: 0.3, Smooth: 1}
}

func (ExponentialLogarithmic) constructor() string { return "NewExponentialLogarithmic" }

func (l ExponentialLogarithmic) check() error {
	for _, o := range []struct {
		name     string
		value    float64
		positive bool
	}{{"LambdaDice", l.LambdaDice, false}, {"LambdaCE", l.LambdaCE, false},
		{"GammaDice", l.GammaDice, true}, {"GammaCE", l.GammaCE, true}, {"Smooth", l.Smooth, true}} {
		if err := checkNumber(o.name, o.value, math.Inf(1)); err != nil {
			return err
		}
		if o.positive && o.value == 0 {
			return refuse(o.name, o.value, "a finite number above 0")
		}
	}
	return nil
}

// Eval implements [Loss].
func (l ExponentialLogarithmic) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	has := support{reductions: []Reduction{ReduceMean}, weight: true, ignore: true, background: true, weights: true}
	c, err := newHostCall(l, has, logits, target, grad, opts)
	if err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	activation, pair, err := c.classes(l.Activation)
	if err != nil {
		return nil, err
	}
	classes := max(c.batch.C, 2)
	weight, err := perChannel("Weight", l.Weight, classes)
	if err != nil {
		return nil, err
	}
	first := l.first(classes)
	if pair || activation == plan.Softmax && classes == 2 {
		return l.evalBinary(c, first, weight)
	}
	const valid, entropy, overlap = 0, 1, 2 // sums: voxels, the second part, and three of each class
	v := cpu.Visit{Activation: activation, Logs: true, Targets: true, Scratch: 1, Sums: 2 + classes*errorSums}
	// entropies returns (−ln p)^GammaCE of the class of each voxel, and 0 for an ignored one.
	entropies := func(t *cpu.Tile) []float64 {
		power := t.Scratch[0]
		for i, y := range t.Class {
			if power[i] = 0; y >= 0 {
				power[i] = -t.Log[y][i]
			}
		}
		t.Power(power, l.GammaCE)
		return power
	}
	v.Do = func(t *cpu.Tile, sums []float64) error {
		power, count, sum := entropies(t), 0, 0.0
		for i, y := range t.Class {
			if y >= 0 {
				count++
				sum += float64(weight[y] * t.Weight[i] * power[i])
			}
		}
		sums[valid] += float64(count)
		sums[entropy] += sum
		for k := first; k < classes; k++ {
			addErrors(sums[overlap+k*errorSums:], t, k)
		}
		return nil
	}
	sums, err := c.pass(v)
	if err != nil {
		return nil, err
	}
	all := total(sums, v.Sums)
	voxels := max(all[valid], 1)
	value := float64(l.LambdaCE*all[entropy]) / voxels
	samples := c.batch.N
	if l.Batch {
		samples, sums = 1, all
	}
	ratios := make([]logDice, samples*classes) // by sample and class
	share := l.LambdaDice / float64(samples*(classes-first))
	for s := range samples {
		for k := first; k < classes; k++ {
			group := sums[s*v.Sums+overlap+k*errorSums:]
			f, r := l.dice(group[0], group[1]+group[2], share)
			value += f
			ratios[s*classes+k] = r
		}
	}
	if grad == nil {
		return plan.FromNumber(value), nil
	}
	v.Sums, v.Grad = 0, grad
	v.Do = func(t *cpu.Tile, _ []float64) error {
		at := t.Sample * classes
		if l.Batch {
			at = 0
		}
		for k := first; k < classes; k++ {
			r, pull, factor := ratios[at+k], t.Pull[k], t.Factor[k]
			for i, w := range t.Weight {
				pull[i] = w * factor[i] * (r.base - float64(r.hit*t.Target[k][i]))
			}
		}
		power, scale := entropies(t), l.LambdaCE/voxels*l.GammaCE
		for i, y := range t.Class {
			if y < 0 || power[i] == 0 {
				continue
			}
			// The derivative of −ln p with respect to ln p is −1.
			slope := power[i] / -t.Log[y][i]
			t.Pull[y][i] -= float64(scale * weight[y] * t.Weight[i] * slope)
		}
		return nil
	}
	if _, err := c.pass(v); err != nil {
		return nil, err
	}
	return plan.FromNumber(value), nil
}

// logDice is the derivative of share·(−ln D)^GammaDice with respect to p, base − hit·t.
type logDice struct{ base, hit float64 }

// dice returns share·(−ln D)^GammaDice and its derivative, which for −ln D is
// 1/(2·hit + Smooth + wrong) − 2t/(2·hit + Smooth), from the sums of p·t and of the errors.
func (l ExponentialLogarithmic) dice(hit, wrong, share float64) (value float64, derivative logDice) {
	hit = 2*hit + l.Smooth
	f, slope := powerOrZero(math.Log1p(wrong/hit), l.GammaDice)
	return float64(share * f), logDice{share * slope / (hit + wrong), share * slope * 2 / hit}
}

// evalBinary evaluates the loss where the probabilities of two classes add up to 1.
func (l ExponentialLogarithmic) evalBinary(c *hostCall, first int, weight []float64) (*tensor.Dense, error) {
	pass := cpu.Binary{Batch: &c.batch, Log: true, Factor: [2]float64(weight), Gamma: [2]float64{l.GammaCE, l.GammaCE}}
	voxels, err := c.validVoxels()
	if err != nil {
		return nil, err
	}
	sums, err := c.kernels.Binary(&pass)
	if err != nil {
		return nil, public(err)
	}
	pass.Slope = make([][2]float64, len(sums))
	elements, all := 0.0, cpu.BinarySums{}
	for _, s := range sums {
		elements += s.Elements
		all.TP, all.FP, all.FN, all.TN = all.TP+s.TP, all.FP+s.FP, all.FN+s.FN, all.TN+s.TN
	}
	if l.Batch {
		sums = []cpu.BinarySums{all}
	}
	value := float64(l.LambdaCE*elements) / voxels
	share := l.LambdaDice / float64(len(sums)*(2-first))
	for i := range pass.Slope {
		if i == len(sums) { // of a batch as a whole
			for ; i < len(pass.Slope); i++ {
				pass.Slope[i] = pass.Slope[0]
			}
			break
		}
		s := sums[i]
		f, lesion := l.dice(s.TP, s.FP+s.FN, share)
		value += f
		var background logDice
		if first == 0 {
			f, background = l.dice(s.TN, s.FP+s.FN, share)
			value += f
		}
		base := lesion.base - background.base
		pass.Slope[i] = [2]float64{base + background.hit, base - lesion.hit}
	}
	if err := c.binaryGradient(&pass, l.LambdaCE/voxels); err != nil {
		return nil, err
	}
	return plan.FromNumber(value), nil
}
