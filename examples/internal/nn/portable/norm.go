package portable

import (
	"errors"
	"fmt"
	"math"

	"github.com/x/afl/examples/internal/nn"
)

// norm is the common part of the batch and the group norm: the planes of x form groups that
// share a mean and a variance.
type norm[T float] struct {
	x            *array[T]
	planes, size int
	channels     int
	groups       int
	group        func(p int) int   // group of a plane
	mean, scale  []float64         // by group; scale = 1/√(v+ε)
	weight       func(int) float64 // by channel
	fixed        bool              // mean and scale do not depend on x
}

func (n *norm[T]) values() float64 { return float64(n.planes / n.groups * n.size) }

// perGroup adds up the sums of the planes of each group, in order.
func (n *norm[T]) perGroup(sums [][2]float64) [][2]float64 {
	out := make([][2]float64, n.groups)
	for p, s := range sums {
		g := n.group(p)
		out[g][0] += s[0]
		out[g][1] += s[1]
	}
	return out
}

// moments computes the mean and the biased variance of every group. It reads x twice, because
// the sum of squares would lose the variance of values far from zero to cancellation.
func (n *norm[T]) moments() (variance []float64) {
	n.mean, variance = make([]float64, n.groups), make([]float64, n.groups)
	sums := sumPlanes(n.planes, n.size, func(_, from, to int) (float64, float64) {
		return sum(n.x.data[from:to]), 0
	})
	for g, s := range n.perGroup(sums) {
		n.mean[g] = s[0] / n.values()
	}
	sums = sumPlanes(n.planes, n.size, func(p, from, to int) (float64, float64) {
		return sumSquares(n.x.data[from:to], n.mean[n.group(p)]), 0
	})
	for g, s := range n.perGroup(sums) {
		variance[g] = s[0] / n.values()
	}
	return variance
}

func (n *norm[T]) setScale(variance []float64, epsilon float64) {
	n.scale = make([]float64, len(variance))
	for g, v := range variance {
		n.scale[g] = 1 / math.Sqrt(v+epsilon)
	}
}

// forward stores (x−m)·scale·weight + bias.
func (n *norm[T]) forward(y *array[T], bias func(channel int) float64) {
	parallelPlanes(n.planes, n.size, func(p, from, to int) {
		g, c := n.group(p), p%n.channels
		m, s, b := T(n.mean[g]), T(n.scale[g]*n.weight(c)), T(bias(c))
		d, src := y.data[from:to], n.x.data[from:to]
		for i, v := range src {
			d[i] = T((v-m)*s) + b
		}
	})
}

// backward returns the gradients of x, weight and bias.
func (b *backend[T]) backward(n *norm[T], g *array[T], need []bool) []nn.Array {
	sums := sumPlanes(n.planes, n.size, func(p, from, to int) (float64, float64) {
		return sumAndProduct(g.data[from:to], n.x.data[from:to], n.mean[n.group(p)])
	})
	return wanted(need, func(input int) nn.Array {
		if input == 0 {
			return b.inputGradient(n, g, sums)
		}
		total := make([]float64, n.channels)
		for p, s := range sums {
			if input == 1 {
				total[p%n.channels] += float64(s[1] * n.scale[n.group(p)])
			} else {
				total[p%n.channels] += s[0]
			}
		}
		out := b.newArray(n.channels)
		for c, v := range total {
			out.data[c] = T(v)
		}
		return out
	})
}

// inputGradient returns scale·(w·g − mean(w·g) − x̂·mean(w·g·x̂)), where w is the weight and
// the means are over a group, or zero if the statistics are fixed. sums holds Σg and
// Σg·(x−m) of every plane.
func (b *backend[T]) inputGradient(n *norm[T], g *array[T], sums [][2]float64) *array[T] {
	weighted := make([][2]float64, len(sums))
	for p, s := range sums {
		w := n.weight(p % n.channels)
		weighted[p] = [2]float64{w * s[0], w * s[1]}
	}
	means := n.perGroup(weighted)
	gx := b.newArray(n.x.shape...)
	parallelPlanes(n.planes, n.size, func(p, from, to int) {
		group := n.group(p)
		m, scale, w := n.mean[group], n.scale[group], n.weight(p%n.channels)
		var slope, shift float64
		if !n.fixed {
			slope = scale * scale * means[group][1] / n.values()
			shift = means[group][0] / n.values()
		}
		// Compute in float64, because the gradient of a bias before the norm is the sum of
		// these values, in which they cancel to zero.
		d, src, gs := gx.data[from:to], n.x.data[from:to], g.data[from:to]
		for i, v := range src {
			d[i] = T(scale * (float64(w*float64(gs[i])) - shift - float64(slope*(float64(v)-m))))
		}
	})
	return gx
}

// BatchNorm implements nn.Backend.
func (b *backend[T]) BatchNorm(x, weight, bias, runningMean, runningVar nn.Array, spec nn.BatchNormSpec) (nn.Array, nn.Pullback, error) {
	y, pullback, err := b.batchNorm(x, weight, bias, runningMean, runningVar, spec)
	if err != nil {
		return nil, nil, fmt.Errorf("BatchNorm: %w", err)
	}
	return y, pullback, nil
}

func (b *backend[T]) batchNorm(x, weight, bias, runningMean, runningVar nn.Array, spec nn.BatchNormSpec) (nn.Array, nn.Pullback, error) {
	a, err := b.volume("x", x)
	if err != nil {
		return nil, nil, err
	}
	channels := a.shape[1]
	var vectors [4]*array[T]
	for i, v := range []nn.Array{weight, bias, runningMean, runningVar} {
		name := [...]string{"weight", "bias", "runningMean", "runningVar"}[i]
		if vectors[i], err = b.vector(name, v, channels); err != nil {
			return nil, nil, err
		}
	}
	w, shift, mean, variance := vectors[0], vectors[1], vectors[2], vectors[3]
	if err := checkEpsilon(spec.Epsilon); err != nil {
		return nil, nil, err
	}
	n := &norm[T]{
		x: a, planes: a.shape[0] * channels, channels: channels,
		groups: channels, group: func(p int) int { return p % channels },
		weight: func(c int) float64 { return float64(w.data[c]) }, fixed: !spec.Training,
	}
	n.size = len(a.data) / n.planes
	v := make([]float64, channels)
	if spec.Training {
		m := n.values()
		if m < 2 {
			return nil, nil, fmt.Errorf("x has shape %v, want more than one value per channel in training", a.shape)
		}
		v = n.moments()
		for c := range channels {
			mean.data[c] = mix(mean.data[c], n.mean[c], spec.Momentum)
			variance.data[c] = mix(variance.data[c], v[c]*m/(m-1), spec.Momentum)
		}
	} else {
		n.mean = make([]float64, channels)
		for c := range channels {
			n.mean[c], v[c] = float64(mean.data[c]), float64(variance.data[c])
		}
	}
	n.setScale(v, spec.Epsilon)
	y := b.newArray(a.shape...)
	n.forward(y, func(c int) float64 { return float64(shift.data[c]) })
	return y, b.pullback("BatchNorm", y, 3, []*array[T]{a, w}, func(g *array[T], need []bool) []nn.Array {
		return b.backward(n, g, need)
	}), nil
}

// mix returns (1−momentum)·old + momentum·new.
func mix[T float](old T, new, momentum float64) T {
	return T(float64((1-momentum)*float64(old)) + float64(momentum*new))
}

// GroupNorm implements nn.Backend.
func (b *backend[T]) GroupNorm(x, weight, bias nn.Array, groups int, epsilon float64) (nn.Array, nn.Pullback, error) {
	y, pullback, err := b.groupNorm(x, weight, bias, groups, epsilon)
	if err != nil {
		return nil, nil, fmt.Errorf("GroupNorm: %w", err)
	}
	return y, pullback, nil
}

func (b *backend[T]) groupNorm(x, weight, bias nn.Array, groups int, epsilon float64) (nn.Array, nn.Pullback, error) {
	a, err := b.volume("x", x)
	if err != nil {
		return nil, nil, err
	}
	if err := checkEpsilon(epsilon); err != nil {
		return nil, nil, err
	}
	if (weight == nil) != (bias == nil) {
		return nil, nil, errors.New("one of weight and bias is nil, want both or neither")
	}
	channels := a.shape[1]
	if groups < 1 || channels%groups != 0 {
		return nil, nil, fmt.Errorf("groups is %d, want a divisor of the %d channels", groups, channels)
	}
	per := channels / groups
	n := &norm[T]{
		x: a, planes: a.shape[0] * channels, channels: channels,
		groups: a.shape[0] * groups, group: func(p int) int { return p / per },
	}
	n.size = len(a.data) / n.planes
	if n.values() < 2 {
		return nil, nil, fmt.Errorf("x has shape %v, want more than one value in each of %d groups", a.shape, groups)
	}
	n.weight = func(int) float64 { return 1 }
	shift := func(int) float64 { return 0 }
	var w *array[T]
	if weight != nil {
		if w, err = b.vector("weight", weight, channels); err != nil {
			return nil, nil, err
		}
		add, err := b.vector("bias", bias, channels)
		if err != nil {
			return nil, nil, err
		}
		n.weight = func(c int) float64 { return float64(w.data[c]) }
		shift = func(c int) float64 { return float64(add.data[c]) }
	}
	n.setScale(n.moments(), epsilon)
	y := b.newArray(a.shape...)
	n.forward(y, shift)
	return y, b.pullback("GroupNorm", y, 3, []*array[T]{a, w}, func(g *array[T], need []bool) []nn.Array {
		return b.backward(n, g, need)
	}), nil
}

func checkEpsilon(epsilon float64) error {
	if !(epsilon >= 0) {
		return fmt.Errorf("epsilon is %v, want at least 0", epsilon)
	}
	return nil
}
