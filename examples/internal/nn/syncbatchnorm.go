package nn

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"gorgonia.org/tensor"
)

// ChannelSums are sums over the values of each channel that a synchronized batch norm needs of
// all samples of a batch.
type ChannelSums struct {
	Norm *BatchNorm
	// Backward says that they are those of the backward pass.
	Backward bool
	// Count is the number of values of a channel.
	Count float64
	// First is the mean of x in the forward pass, and Σg in the backward pass.
	First []float64
	// Second is Σ(x−mean)² in the forward pass, and Σg·(x−m)/√(v+ε) in the backward pass.
	Second []float64
}

// Merge adds the sums of other samples of the same batch norm and pass. Means and squared
// deviations are combined by the update formula of Chan, Golub and LeVeque (1979), which does not
// suffer from cancellation.
func (s *ChannelSums) Merge(other *ChannelSums) {
	n := s.Count + other.Count
	for c := range s.First {
		if s.Backward {
			s.First[c] += other.First[c]
			s.Second[c] += other.Second[c]
			continue
		}
		// Conversions keep the compiler from fusing products and sums.
		d := other.First[c] - s.First[c]
		s.First[c] += float64(d * (other.Count / n))
		s.Second[c] += other.Second[c] + float64(d*d*(s.Count*other.Count/n))
	}
	s.Count = n
}

// Statistics returns the mean and the unbiased variance after the forward pass.
func (s *ChannelSums) Statistics() Statistics {
	return Statistics{Norm: s.Norm, Mean: slices.Clone(s.First), Var: scaled(s.Second, 1/(s.Count-1))}
}

// SyncFunc takes the sums of one sample, which it may change, and returns those of all samples of
// the batch, which the caller must not change.
type SyncFunc func(*ChannelSums) (*ChannelSums, error)

// SyncBatchNorm makes the batch norms of a training pass use the statistics of all samples of a
// batch, of which the tape's is one, as PyTorch's SyncBatchNorm does: y = (x−m)/√(v+ε)·weight +
// bias, where m and v are the mean and the biased variance over all samples, and
//
//	∂L/∂x = weight/√(v+ε)·(g − mean(g) − x̂·mean(g·x̂)),   x̂ = (x−m)/√(v+ε),
//
// with means over all samples. The gradients of weight and bias are those of this sample; the
// caller adds up those of all samples, as for any other parameter. The running statistics are
// left as they are; see [ChannelSums.Statistics] and [UpdateStatistics].
func (t *Tape) SyncBatchNorm(sync SyncFunc) { t.sync = sync }

// errOtherPass ends a pass because another one of the batch has failed.
var errOtherPass = errors.New("nn: another sample of the batch has failed")

// SyncPasses calls pass for each of n samples, such that all calls meet at every batch norm: a
// call runs until it calls sync, which returns when the others have called it too. Only one of
// them runs at a time, in the order of the samples. reduce combines the sums of all samples.
//
// It returns the first error of a pass, or of reduce, and the sample whose pass has returned it.
// The calls for the other samples then end with an error of sync.
func SyncPasses(n int, pass func(sample int, sync SyncFunc) error, reduce func(samples []*ChannelSums) (*ChannelSums, error)) (sample int, err error) {
	var all *ChannelSums
	errs := make([]error, n)
	next := make([]func() (*ChannelSums, bool), n)
	for i := range n {
		var stop func()
		next[i], stop = iter.Pull(func(yield func(*ChannelSums) bool) {
			errs[i] = pass(i, func(own *ChannelSums) (*ChannelSums, error) {
				if !yield(own) {
					return nil, errOtherPass
				}
				return all, nil
			})
		})
		defer stop()
	}
	for {
		var sums []*ChannelSums
		for i := range n {
			own, ok := next[i]()
			if errs[i] != nil {
				return i, errs[i]
			}
			if ok {
				sums = append(sums, own)
			}
		}
		if len(sums) == 0 {
			return 0, nil
		}
		for i, s := range sums {
			if len(sums) != n || s.Norm != sums[0].Norm || s.Backward != sums[0].Backward {
				return i, errors.New("nn: the samples of a batch pass different batch norms")
			}
		}
		if all, err = reduce(sums); err != nil {
			return 0, err
		}
	}
}

// synchronized is a training batch norm over all samples of the batch. It consists of operations
// that every backend has: a batch norm in training, of which only the statistics are used, and
// two with fixed statistics, one for y and one for the part of ∂L/∂x that depends on the means.
func (n *BatchNorm) synchronized(t *Tape, x, weight, bias Array) (Array, Pullback, error) {
	b := t.backend
	own, err := n.moments(b, x, weight, bias)
	if err != nil {
		return nil, nil, err
	}
	count := own.Count
	all, err := t.sync(own)
	if err != nil {
		return nil, nil, err
	}
	if all.Count < 2 {
		return nil, nil, fmt.Errorf("x has shape %v and is the only sample, want more than one value per channel in training", x.Shape())
	}
	fixed := BatchNormSpec{Epsilon: NormEpsilon}
	v := scaled(all.Second, 1/all.Count)
	mean, err := stepVector(b, all.First)
	if err != nil {
		return nil, nil, err
	}
	variance, err := stepVector(b, v)
	if err != nil {
		return nil, nil, err
	}
	y, pullback, err := b.BatchNorm(x, weight, bias, mean, variance, fixed)
	if err != nil {
		return nil, nil, err
	}
	return y, func(g Array, need []bool) ([]Array, error) {
		grads, err := pullback(g, []bool{need[0], true, true})
		if err != nil {
			return nil, err
		}
		own := &ChannelSums{Norm: n, Backward: true, Count: count}
		if own.First, err = hostValues(b, grads[2]); err != nil {
			return nil, err
		}
		if own.Second, err = hostValues(b, grads[1]); err != nil {
			return nil, err
		}
		sums, err := t.sync(own)
		if err != nil || !need[0] {
			return grads, err
		}
		// −weight/√(v+ε)·(mean(g) + x̂·mean(g·x̂)) is a batch norm of x.
		shift, err := hostValues(b, weight)
		if err != nil {
			return nil, err
		}
		scale := make([]float64, len(shift))
		for c, w := range shift {
			factor := -w / math.Sqrt(v[c]+NormEpsilon) / sums.Count
			shift[c], scale[c] = factor*sums.First[c], factor*sums.Second[c]
		}
		scales, err := stepVector(b, scale)
		if err != nil {
			return nil, err
		}
		shifts, err := stepVector(b, shift)
		if err != nil {
			return nil, err
		}
		means, _, err := b.BatchNorm(x, scales, shifts, mean, variance, fixed)
		if err != nil {
			return nil, err
		}
		gx, _, err := b.Add(grads[0], means)
		if err != nil {
			return nil, err
		}
		b.Release(means)
		b.Release(grads[0])
		grads[0] = gx
		return grads, nil
	}, nil
}

// moments returns the sums of the forward pass over x alone.
func (n *BatchNorm) moments(b Backend, x, weight, bias Array) (*ChannelSums, error) {
	shape := x.Shape()
	if len(shape) != 5 {
		return nil, fmt.Errorf("BatchNorm: x has shape %v, want N×C×X×Y×Z", shape)
	}
	channels := shape[1]
	s := &ChannelSums{Norm: n, Count: float64(Elements(shape) / channels)}
	if s.Count == 1 {
		var err error
		s.First, err = hostValues(b, x)
		s.Second = make([]float64, channels)
		return s, err
	}
	var found [2]Array
	for i := range found {
		var err error
		if found[i], err = stepVector(b, make([]float64, channels)); err != nil {
			return nil, err
		}
	}
	y, _, err := b.BatchNorm(x, weight, bias, found[0], found[1], BatchNormSpec{Training: true, Epsilon: NormEpsilon, Momentum: 1})
	if err != nil {
		return nil, err
	}
	b.Release(y)
	if s.First, err = hostValues(b, found[0]); err != nil {
		return nil, err
	}
	if s.Second, err = hostValues(b, found[1]); err != nil {
		return nil, err
	}
	s.Second = scaled(s.Second, s.Count-1) // the variance is the unbiased one
	for _, a := range found {
		b.Release(a)
	}
	return s, nil
}

// stepVector returns a Step array with the values.
func stepVector(b Backend, values []float64) (Array, error) {
	return b.FromHost(tensor.New(tensor.WithShape(len(values)), tensor.WithBacking(slices.Clone(values))), Step)
}

// scaled returns factor·values.
func scaled(values []float64, factor float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = factor * v
	}
	return out
}
