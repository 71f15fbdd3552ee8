package afl

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// HausdorffDT is the Hausdorff distance loss by distance transforms (Karimi and Salcudean,
// "Reducing the Hausdorff Distance in Medical Image Segmentation with Convolutional Neural
// Networks", 2019; MONAI's HausdorffDTLoss). For each sample and channel, or each channel
// of the whole batch, it is the mean over voxels
//
//	f = mean (p − t)²·(d_p^Alpha + d_t^Alpha),
//
// where d_p is the distance of a voxel to the nearest one across the boundary of the mask
// p > ½, d_t that for t > ½, in the units of Spacing; both are at least the spacing, and 0
// everywhere where a mask is empty or everything. No derivative runs through the distances.
//
// [ReduceMean] and [ReduceSum] are over the groups, and [ReduceNone] leaves N×C'×1×…, or
// 1×C'×1×… where Batch is set, in float64. The logarithmic form (MONAI's
// LogHausdorffDTLoss) is log(1 + value) of the reduced loss, or of each group.
//
// Voxel weights multiply (p−t)². There are no class weights and no ignore index. A call
// takes memory for both distances' powers, two numbers for each sample, channel and
// voxel. [WithDistanceMap] passes d_t, as DistanceMap returned it.
type HausdorffDT struct {
	Options
	constructed
	// Activation is Sigmoid (default), Softmax, SoftmaxMONAI or Identity.
	Activation Activation
	// Alpha is above 0, default 2.
	Alpha float64
	// Spacing is the distance between neighboring voxels along each spatial axis. None
	// means 1.
	Spacing []float64
	// Batch takes the mean over the voxels of the whole batch, default false.
	Batch bool
	// Log takes the logarithm, log(1 + value).
	Log bool
}

// NewHausdorffDT returns the Hausdorff distance loss with sigmoid activation, α = 2 and
// unit spacing, background excluded.
func NewHausdorffDT() HausdorffDT {
	return HausdorffDT{constructed: constructed{true}, Options: Options{ExcludeBackground: true}, Alpha: 2}
}

// NewLogHausdorffDT returns the logarithm of [NewHausdorffDT], log(1 + f).
func NewLogHausdorffDT() HausdorffDT {
	l := NewHausdorffDT()
	l.Log = true
	return l
}

func (HausdorffDT) constructor() string { return "NewHausdorffDT or NewLogHausdorffDT" }

func (HausdorffDT) support() support {
	return support{reductions: []Reduction{ReduceMean, ReduceSum, ReduceNone}, background: true, maps: true, weights: true}
}

// included returns the channels that take part.
func (l HausdorffDT) included(c int) []int {
	var channels []int
	for ch := l.first(c); ch < c; ch++ {
		channels = append(channels, ch)
	}
	return channels
}

// DistanceMap returns d_t of every sample and included channel: N×C'×space, float64. Of the
// logits only the shape counts.
func (l HausdorffDT) DistanceMap(logits, target *tensor.Dense) (*tensor.Dense, error) {
	c, err := newHostCall(l, l.support(), logits, target, nil, nil)
	if err != nil {
		return nil, err
	}
	spacing, err := c.spacing3(l.Spacing)
	if err != nil {
		return nil, err
	}
	channels := l.included(c.batch.C)
	masks, err := c.kernels.TargetMasks(&c.batch, channels)
	if err != nil {
		return nil, public(err)
	}
	d := make([]float64, c.batch.N*len(channels)*c.batch.V)
	storeSquares(d, c, masks, spacing)
	eachPart(len(d), func(lo, hi int) {
		for i, s := range d[lo:hi] {
			d[lo+i] = math.Sqrt(math.Abs(s))
		}
	})
	shape := append([]int{c.batch.N, len(channels)}, c.spatial...)
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(d)), nil
}

// Eval implements [Loss].
func (l HausdorffDT) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	c, err := newHostCall(l, l.support(), logits, target, grad, opts)
	if err != nil {
		return nil, err
	}
	activation, err := c.activation(l.Activation, false)
	if err != nil {
		return nil, err
	}
	if !(l.Alpha > 0) || math.IsInf(l.Alpha, 0) {
		return nil, refuse("Alpha", l.Alpha, "a finite number above 0")
	}
	channels := l.included(c.batch.C)
	if err := c.checkDistanceMap(len(channels)); err != nil {
		return nil, err
	}
	k := len(channels)
	shape := []int{c.batch.N, k}
	if l.Batch {
		shape[0] = 1
	}
	for range c.spatial {
		shape = append(shape, 1)
	}
	if err := c.checkUpstream(c.cfg.Upstream, tensor.Float64, shape); err != nil {
		return nil, err
	}
	ofPrediction, ofTarget, err := l.powers(c, activation, channels)
	if err != nil {
		return nil, err
	}
	defer ofPrediction.release()
	defer ofTarget.release()

	voxels := float64(c.batch.V)
	if l.Batch {
		voxels *= float64(c.batch.N)
	}
	slope := l.slopes(c, k) // ∂L/∂f of the groups
	// pass returns the sums of samples and channels, and writes the gradient where one is given.
	pass := func(grad *tensor.Dense) ([]float64, error) {
		scale := make([]float64, c.batch.N*k)
		for i := range scale {
			scale[i] = 2 * slope[i%len(slope)] / voxels
		}
		if activation == plan.None {
			return l.visit(c, channels, ofPrediction.data, ofTarget.data, scale, grad)
		}
		for i := range scale {
			scale[i] *= c.cfg.GradScale
		}
		sums, err := c.kernels.Fields(&cpu.Fields{Batch: &c.batch, Activation: activation, Channels: channels, Square: true,
			A: ofPrediction.data, B: ofTarget.data, Scale: scale, Grad: grad})
		return sums, public(err)
	}
	first := grad
	if l.Log {
		first = nil // the derivative by the groups is not known before them
	}
	sums, err := pass(first)
	if err != nil {
		return nil, err
	}
	if l.Batch {
		sums = total(sums, k)
	}
	for i := range sums {
		sums[i] /= voxels
	}
	value := l.reduce(sums, slope)
	if grad != nil && l.Log {
		if _, err := pass(grad); err != nil {
			return nil, err
		}
	}
	if l.Reduction == ReduceNone {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(value)), nil
	}
	return plan.FromNumber(value[0]), nil
}

// visit is a pass without activation, for which there are no row kernels.
func (l HausdorffDT) visit(c *hostCall, channels []int, predicted, target any, scale []float64, grad *tensor.Dense) ([]float64, error) {
	k := len(channels)
	v := cpu.Visit{Activation: plan.None, Targets: true, Sums: k, Scratch: 2, Grad: grad}
	v.Do = func(t *cpu.Tile, sums []float64) error {
		n := len(t.Weight)
		a, b := t.Scratch[0][:n], t.Scratch[1][:n]
		for j, ch := range channels {
			group := t.Sample*k + j
			cpu.ReadFloats(predicted, group*c.batch.V+t.Lo, a)
			cpu.ReadFloats(target, group*c.batch.V+t.Lo, b)
			p, q, y, factor := t.P[ch][:n], t.Q[ch][:n], t.Target[ch][:n], t.Factor[ch][:n]
			sum := 0.0
			for i, w := range t.Weight {
				// p − t, which does not cancel for a target of 0 or 1.
				d := float64(p[i]*(1-y[i])) - float64(q[i]*y[i])
				e := w * (math.Abs(a[i]) + math.Abs(b[i])) * d
				sum += float64(e * d)
				if grad != nil {
					t.Pull[ch][i] = scale[group] * e * factor[i]
				}
			}
			sums[j] += sum
		}
		return nil
	}
	return c.pass(v)
}

// slopes returns the derivative of the loss with respect to each group, without the
// logarithm.
func (l HausdorffDT) slopes(c *hostCall, channels int) []float64 {
	groups := channels
	if !l.Batch {
		groups *= c.batch.N
	}
	slope := make([]float64, groups)
	for i := range slope {
		slope[i] = 1
		switch {
		case l.Reduction == ReduceMean:
			slope[i] = 1 / float64(groups)
		case c.cfg.Upstream != nil:
			slope[i] = c.cfg.Upstream.Data().([]float64)[i]
		}
	}
	return slope
}

// reduce returns the loss of the values of the groups, which it may change, and works the
// logarithm into the slopes.
func (l HausdorffDT) reduce(groups, slope []float64) []float64 {
	if l.Reduction != ReduceNone {
		sum := 0.0
		for _, f := range groups {
			sum += f
		}
		if l.Reduction == ReduceMean {
			sum /= float64(len(groups))
		}
		if l.Log {
			for i := range slope {
				slope[i] /= 1 + sum
			}
			sum = math.Log1p(sum)
		}
		return []float64{sum}
	}
	if l.Log {
		for i, f := range groups {
			slope[i] /= 1 + f
			groups[i] = math.Log1p(f)
		}
	}
	return groups
}

// powers returns the powers of the distances of the prediction and of the target, of which
// the absolute values count.
func (l HausdorffDT) powers(c *hostCall, activation plan.Activation, channels []int) (predicted, target field, err error) {
	spacing, err := c.spacing3(l.Spacing)
	if err != nil {
		return field{}, field{}, err
	}
	k := len(channels)
	var targets *cpu.Masks
	if c.cfg.DistanceMap == nil {
		if targets, err = c.kernels.TargetMasks(&c.batch, channels); err != nil {
			return field{}, field{}, public(err)
		}
	}
	predictions, err := c.kernels.PredictionMasks(&c.batch, activation, channels)
	if err != nil {
		return field{}, field{}, public(err)
	}
	predicted = c.squares(predictions, k, spacing, l.Alpha/2)
	if targets == nil {
		return predicted, c.mapPowers(l.Alpha), nil
	}
	return predicted, c.squares(targets, k, spacing, l.Alpha/2), nil
}
