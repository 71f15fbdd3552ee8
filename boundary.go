package afl

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// Boundary is the boundary loss (Kervadec et al., "Boundary loss for highly unbalanced
// segmentation", 2019): the probability of a class times the signed distance from its
// boundary in the target,
//
//	e_c = p_c·φ_c.
//
// Outside the class φ_c is the Euclidean distance from the center of the voxel to that of
// the nearest voxel of the class, and inside it is
//
//	−(distance to the nearest voxel outside − InsideOffset),
//
// in the units of Spacing. Where a class is absent, or everywhere, φ_c is 0. The edge of
// the image is no boundary. The loss may be negative, and its gradient does not vanish for
// a perfect prediction: it is meant to be added to another, with a weight that grows in
// the course of training.
//
// [ReduceMean] is the mean of e over samples, Channels and voxels, [ReduceSum] the sum,
// and [ReduceNone] leaves N×K×space, K being the number of Channels. The target holds
// class indices or one-hot maps; a softmax runs over all channels. Voxel weights multiply
// e. There is no ignore index, as it would be unclear where a class ends.
//
// A call takes memory for φ, a number for each sample, class and voxel, unless
// [WithDistanceMap] passes what DistanceMap returned.
type Boundary struct {
	Options
	constructed
	// Activation is Softmax (default) or Sigmoid. With one channel either is the sigmoid.
	Activation Activation
	// Channels are those that take part, all different. None means channel 1, or the only
	// one.
	Channels []int
	// Spacing is the distance between neighboring voxels along each spatial axis. None
	// means 1.
	Spacing []float64
	// InsideOffset is at least 0 and in the unit of Spacing, default 1, which gives the
	// outermost voxels of a class the distance 0 where the spacing is 1. 0 makes φ the
	// plain signed distance.
	InsideOffset float64
}

// NewBoundary returns the boundary loss of channel 1, by the softmax, for unit spacing.
func NewBoundary() Boundary {
	return Boundary{constructed: constructed{true}, Activation: Softmax, InsideOffset: 1}
}

func (Boundary) constructor() string { return "NewBoundary" }

func (Boundary) support() support {
	return support{reductions: []Reduction{ReduceMean, ReduceSum, ReduceNone}, weights: true}
}

// channels returns those that take part.
func (l Boundary) channels(c int) ([]int, error) {
	if len(l.Channels) == 0 {
		return []int{min(1, c-1)}, nil
	}
	return l.Channels, checkChannels(l.Channels, c)
}

// checkChannels refuses a list that does not name different ones of c channels.
func checkChannels(list []int, c int) error {
	seen := make([]bool, c)
	for i, ch := range list {
		if ch < 0 || ch >= c || seen[ch] {
			return refuse(fmt.Sprintf("Channels[%d]", i), ch, "a channel from 0 to %d that is not listed before", c-1)
		}
		seen[ch] = true
	}
	return nil
}

// DistanceMap returns φ of every sample and each of the Channels: N×K×space, float64. Of
// the logits only the shape counts.
func (l Boundary) DistanceMap(logits, target *tensor.Dense) (*tensor.Dense, error) {
	c, err := newHostCall(l, l.support(), logits, target, nil, nil)
	if err != nil {
		return nil, err
	}
	channels, err := l.channels(c.batch.C)
	if err != nil {
		return nil, err
	}
	return l.distanceMap(c, channels)
}

// masks checks what distances depend on, and returns the spacing and the masks of the target
// from whose boundaries they are.
func (l Boundary) masks(c *hostCall, channels []int) (masks *cpu.Masks, spacing [3]float64, err error) {
	if spacing, err = c.spacing3(l.Spacing); err != nil {
		return nil, spacing, err
	}
	if err := checkNumber("InsideOffset", l.InsideOffset, math.Inf(1)); err != nil {
		return nil, spacing, err
	}
	masks, err = c.kernels.TargetMasks(&c.batch, channels)
	return masks, spacing, public(err)
}

func (l Boundary) distanceMap(c *hostCall, channels []int) (*tensor.Dense, error) {
	masks, spacing, err := l.masks(c, channels)
	if err != nil {
		return nil, err
	}
	phi := make([]float64, c.batch.N*len(channels)*c.batch.V)
	storeSquares(phi, c, masks, spacing)
	eachPart(len(phi), func(lo, hi int) {
		for i, s := range phi[lo:hi] {
			d := math.Sqrt(math.Abs(s))
			if math.Signbit(s) {
				d = l.InsideOffset - d
			}
			phi[lo+i] = d
		}
	})
	shape := append([]int{c.batch.N, len(channels)}, c.spatial...)
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(phi)), nil
}

// Eval implements [Loss].
func (l Boundary) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	c, err := newHostCall(l, l.support(), logits, target, grad, opts)
	if err != nil {
		return nil, err
	}
	channels, err := l.channels(c.batch.C)
	if err != nil {
		return nil, err
	}
	activation := plan.Sigmoid
	if c.batch.C > 1 || l.Activation != Softmax {
		if activation, err = c.activation(l.Activation, true); err != nil {
			return nil, err
		}
	}
	if err := c.checkDistanceMap(len(channels)); err != nil {
		return nil, err
	}
	pass := cpu.Fields{Batch: &c.batch, Activation: activation, Channels: channels, Grad: grad}
	scale := 1.0
	if l.Reduction == ReduceMean {
		scale = 1 / float64(c.batch.N*len(channels)*c.batch.V)
	}
	pass.Scale = slices.Repeat([]float64{scale * c.cfg.GradScale}, c.batch.N*len(channels))
	var elements *tensor.Dense
	if l.Reduction == ReduceNone {
		shape := append([]int{c.batch.N, len(channels)}, c.spatial...)
		if err := c.checkUpstream(c.cfg.Upstream, logits.Dtype(), shape); err != nil {
			return nil, err
		}
		if elements, err = c.kernels.NewTensor(logits, shape...); err != nil {
			return nil, public(err)
		}
		pass.Elements = elements.Data()
		if c.cfg.Upstream != nil {
			pass.Upstream = c.cfg.Upstream.Data()
		}
	}
	if c.cfg.DistanceMap != nil {
		pass.A = c.cfg.DistanceMap.Data()
	} else {
		masks, spacing, err := l.masks(c, channels)
		if err != nil {
			return nil, err
		}
		pass.Signed, pass.Inside = true, l.InsideOffset
		squares := c.squares(masks, len(channels), spacing, 1)
		defer squares.release()
		pass.A = squares.data
	}
	sums, err := c.kernels.Fields(&pass)
	if err != nil {
		return nil, public(err)
	}
	if elements != nil {
		return elements, nil
	}
	return plan.FromNumber(scale * total(sums, 1)[0]), nil
}
