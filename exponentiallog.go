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
// The target holds class indices or one-hot maps. One channel stands for two classes, by
// the sigmoid. ExcludeBackground holds for the Dice part alone, and Weight for the other
// part alone: one for each class, for which the paper takes sqrt(Σ_k f_k / f_l) of the
// classes' frequencies f in the training set. Voxel weights multiply the sums of D and the
// elements of the second part. The only reduction is the mean.
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
	voxels, err := c.meanVoxels()
	if err != nil {
		return nil, err
	}
	if activation == plan.Softmax {
		return l.evalSoftmax(c, first, weight, voxels)
	}
	return l.evalSigmoid(c, first, weight, voxels)
}

// evalSoftmax evaluates the loss by the softmax of three or more channels.
func (l ExponentialLogarithmic) evalSoftmax(c *hostCall, first int, weight []float64, voxels float64) (*tensor.Dense, error) {
	pass := cpu.LabelPower{Batch: &c.batch, Factor: weight, Gamma: l.GammaCE}
	sums, err := c.kernels.LabelPower(&pass)
	if err != nil {
		return nil, public(err)
	}
	value, slopes := l.value(c, first, sums, voxels)
	if c.grad != nil {
		pass.Scale, pass.Slope, pass.Grad = l.LambdaCE/voxels*c.cfg.GradScale, scaleSlopes(slopes, c.cfg.GradScale), c.grad
		if _, err := c.kernels.LabelPower(&pass); err != nil {
			return nil, public(err)
		}
	}
	return plan.FromNumber(value), nil
}

// evalSigmoid evaluates the loss by the sigmoid of each of several channels, of which every one is
// a problem of two classes whose negative voxels have no elements.
func (l ExponentialLogarithmic) evalSigmoid(c *hostCall, first int, weight []float64, voxels float64) (*tensor.Dense, error) {
	pass := cpu.Binary{Batch: &c.batch, Log: true, Channels: true}
	for _, w := range weight {
		pass.Factor = append(pass.Factor, [2]float64{0, w})
		pass.Gamma = append(pass.Gamma, [2]float64{l.GammaCE, l.GammaCE})
	}
	sums, err := c.kernels.Binary(&pass)
	if err != nil {
		return nil, public(err)
	}
	labels := make([]cpu.LabelSums, len(sums))
	for i, s := range sums {
		labels[i] = cpu.LabelSums{Elements: s.Elements, TP: s.TP, FP: s.FP, FN: s.FN}
	}
	value, slopes := l.value(c, first, labels, voxels)
	pass.Slope = slopes
	if err := c.binaryGradient(&pass, l.LambdaCE/voxels); err != nil {
		return nil, err
	}
	return plan.FromNumber(value), nil
}

// value returns the loss from the sums of every sample and channel and the number of voxels that
// are not ignored, and the derivatives of its Dice part by a probability at a voxel of other
// classes and of the channel's own.
func (l ExponentialLogarithmic) value(c *hostCall, first int, sums []cpu.LabelSums, voxels float64) (value float64, slopes [][2]float64) {
	elements, overlap := 0.0, 0.0
	for _, s := range sums {
		elements += s.Elements
	}
	samples, classes := c.batch.N, c.batch.C
	slopes = make([][2]float64, samples*classes)
	size := 1 // samples of a group
	if l.Batch {
		size = samples
	}
	share := l.LambdaDice / float64(samples/size*(classes-first))
	for from := 0; from < samples; from += size {
		for k := first; k < classes; k++ {
			hit, wrong := 0.0, 0.0
			for n := from; n < from+size; n++ {
				s := sums[n*classes+k]
				hit += s.TP
				wrong += s.FP + s.FN
			}
			f, d := l.dice(hit, wrong, share)
			overlap += f
			for n := from; n < from+size; n++ {
				slopes[n*classes+k] = [2]float64{d.base, d.base - d.hit}
			}
		}
	}
	return float64(l.LambdaCE*elements)/voxels + overlap, slopes
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
	pass := cpu.Binary{Batch: &c.batch, Log: true, Factor: [][2]float64{[2]float64(weight)}, Gamma: [][2]float64{{l.GammaCE, l.GammaCE}}}
	voxels, err := c.meanVoxels()
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
	for i, s := range sums {
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
	for i := len(sums); i < len(pass.Slope); i++ { // of a batch as a whole
		pass.Slope[i] = pass.Slope[0]
	}
	if err := c.binaryGradient(&pass, l.LambdaCE/voxels); err != nil {
		return nil, err
	}
	return plan.FromNumber(value), nil
}
