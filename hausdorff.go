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
// takes memory for the sum of both distances' powers, a float64 for each sample, channel
// and voxel. [WithDistanceMap] passes d_t, as DistanceMap returned it.
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
	masks, err := c.targetMasks(channels)
	if err != nil {
		return nil, err
	}
	d := make([]float64, len(masks))
	for at := 0; at < len(d); at += c.batch.V {
		squaredField(masks[at:at+c.batch.V], c.batch.Space, spacing, func(first int, squared []float64) {
			field := d[at+first:][:len(squared)]
			for i, v := range squared {
				field[i] = math.Sqrt(v)
			}
		})
	}
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
	weights, err := l.distances(c, activation, channels)
	if err != nil {
		return nil, err
	}

	voxels := float64(c.batch.V)
	if l.Batch {
		voxels *= float64(c.batch.N)
	}
	v := cpu.Visit{Activation: activation, Targets: true, Sums: k}
	var slope []float64 // ∂L/∂f of the groups
	v.Do = func(t *cpu.Tile, sums []float64) error {
		n := len(t.Weight)
		for j, ch := range channels {
			group := t.Sample*k + j
			row := weights[group*c.batch.V+t.Lo:][:n]
			p, q, y, factor := t.P[ch][:n], t.Q[ch][:n], t.Target[ch][:n], t.Factor[ch][:n]
			sum, s := 0.0, 0.0
			if v.Grad != nil {
				if l.Batch {
					group = j
				}
				s = 2 * slope[group] / voxels
			}
			for i, w := range t.Weight {
				// p − t, which does not cancel for a target of 0 or 1.
				d := float64(p[i]*(1-y[i])) - float64(q[i]*y[i])
				e := w * row[i] * d
				sum += float64(e * d)
				if v.Grad != nil {
					t.Pull[ch][i] = s * e * factor[i]
				}
			}
			if len(sums) > 0 {
				sums[j] += sum
			}
		}
		return nil
	}
	// The derivative by the groups is known before them, but for the logarithm.
	if slope = l.slopes(c, k); grad != nil && !l.Log {
		v.Grad = grad
	}
	sums, err := c.pass(v)
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
		v.Sums, v.Grad = 0, grad
		if _, err := c.pass(v); err != nil {
			return nil, err
		}
	}
	if l.Reduction == ReduceNone {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(value)), nil
	}
	return plan.FromNumber(value[0]), nil
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

// distances returns the sum of both distances' powers, N×C'×V.
func (l HausdorffDT) distances(c *hostCall, activation plan.Activation, channels []int) ([]float64, error) {
	spacing, err := c.spacing3(l.Spacing)
	if err != nil {
		return nil, err
	}
	k, voxels := len(channels), c.batch.V
	predicted := make([]uint8, c.batch.N*k*voxels)
	// The logits tell p > ½, but of three or more channels by a softmax.
	visit := cpu.Visit{Activation: plan.None}
	pair := activation == plan.Softmax && c.batch.C == 2
	if activation == plan.Softmax && !pair {
		visit.Activation = activation
	}
	visit.Do = func(t *cpu.Tile, _ []float64) error {
		for j, ch := range channels {
			row := predicted[(t.Sample*k+j)*voxels+t.Lo:]
			threshold := 0.5
			if activation == plan.Sigmoid {
				threshold = 0
			}
			for i, x := range t.P[ch] {
				if pair {
					threshold = t.P[1-ch][i]
				}
				if x > threshold {
					row[i] = 1
				}
			}
		}
		return nil
	}
	if _, err = c.pass(visit); err != nil {
		return nil, err
	}
	sum := make([]float64, len(predicted))
	addPowers := func(at int, distances []float64, exponent float64) {
		sum := sum[at:][:len(distances)]
		if exponent == 1 {
			for i, d := range distances {
				sum[i] += d
			}
			return
		}
		for i, d := range distances {
			sum[i] += cpu.Power(d, exponent)
		}
	}
	add := func(mask []uint8, at int) {
		squaredField(mask[at:at+voxels], c.batch.Space, spacing, func(first int, squared []float64) {
			addPowers(at+first, squared, l.Alpha/2)
		})
	}
	given := c.cfg.DistanceMap
	var target []uint8
	if given == nil {
		if target, err = c.targetMasks(channels); err != nil {
			return nil, err
		}
	}
	for at := 0; at < len(sum); at += voxels {
		add(predicted, at)
		if given == nil {
			add(target, at)
			continue
		}
		eachPart(voxels, func(lo, hi int) {
			distances := make([]float64, hi-lo)
			cpu.ReadFloats(given.Data(), at+lo, distances)
			addPowers(at+lo, distances, l.Alpha)
		})
	}
	return sum, nil
}
