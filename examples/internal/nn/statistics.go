package nn

import (
	"fmt"

	"gorgonia.org/tensor"
)

// Statistics are the mean and the unbiased variance of each channel that a batch norm has
// found in training, rounded to the backend's DType.
type Statistics struct {
	Norm      *BatchNorm
	Mean, Var []float64
}

// keptStatistics are the Statistics of a pass as arrays of the backend.
type keptStatistics struct {
	norm           *BatchNorm
	mean, variance Array
}

// KeepStatistics makes the batch norms of the tape's pass leave their running statistics as
// they are. Statistics then returns what they would have been updated with, for
// UpdateStatistics, so that passes in several processes can update them in a common order.
func (t *Tape) KeepStatistics() { t.keeps = true }

// Statistics returns what the batch norms of the pass have found, in the order in which they
// were called. It synchronizes with the host.
func (t *Tape) Statistics() ([]Statistics, error) {
	var all []Statistics
	for _, k := range t.kept {
		s := Statistics{Norm: k.norm}
		for _, part := range []struct {
			array  Array
			values *[]float64
		}{{k.mean, &s.Mean}, {k.variance, &s.Var}} {
			var err error
			if *part.values, err = hostValues(t.backend, part.array); err != nil {
				return nil, fmt.Errorf("nn: statistics of %s: %w", k.norm.RunningMean.Name, err)
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// keepStatistics calls a training batch norm that stores the statistics of x alone: with a
// momentum of 1 nothing is left of the running ones.
func (n *BatchNorm) keepStatistics(t *Tape, x, weight, bias Array, spec BatchNormSpec) (Array, Pullback, error) {
	k := keptStatistics{norm: n}
	for _, a := range []*Array{&k.mean, &k.variance} {
		var err error
		if *a, err = t.backend.Zeros(n.RunningMean.Value.Shape()); err != nil {
			return nil, nil, err
		}
	}
	spec.Momentum = 1
	y, pullback, err := t.backend.BatchNorm(x, weight, bias, k.mean, k.variance, spec)
	t.kept = append(t.kept, k)
	return y, pullback, err
}

// UpdateStatistics updates the running statistics of batch norms by those of passes, in their
// order:
//
//	running ← (1−BatchNormMomentum)·running + BatchNormMomentum·new
//
// computed in float64 and rounded to the backend's DType after each pass.
func UpdateStatistics(b Backend, passes []Statistics) error {
	running := map[*Buffer][]float64{}
	round := func(v float64) float64 { return v }
	if b.DType() == Float32 {
		round = func(v float64) float64 { return float64(float32(v)) }
	}
	var order []*Buffer
	for _, s := range passes {
		for _, part := range []struct {
			buffer *Buffer
			values []float64
		}{{s.Norm.RunningMean, s.Mean}, {s.Norm.RunningVar, s.Var}} {
			old, ok := running[part.buffer]
			if !ok {
				var err error
				if old, err = hostValues(b, part.buffer.Value); err != nil {
					return fmt.Errorf("nn: %s: %w", part.buffer.Name, err)
				}
				running[part.buffer] = old
				order = append(order, part.buffer)
			}
			if len(part.values) != len(old) {
				return fmt.Errorf("nn: %d statistics for %s, want %d", len(part.values), part.buffer.Name, len(old))
			}
			for c, v := range part.values {
				// Conversions keep the compiler from fusing the product and the sum.
				old[c] = round(float64((1-BatchNormMomentum)*old[c]) + float64(BatchNormMomentum*v))
			}
		}
		s.Norm.Batches.Count++
	}
	for _, f := range order {
		a, err := b.FromHost(tensor.New(tensor.WithShape(f.Value.Shape()...), tensor.WithBacking(running[f])), Kept)
		if err != nil {
			return fmt.Errorf("nn: %s: %w", f.Name, err)
		}
		f.Value = a
	}
	return nil
}

// hostValues copies an array to the host.
func hostValues(b Backend, a Array) ([]float64, error) {
	values := make([]float64, Elements(a.Shape()))
	err := b.ToHost(a, tensor.New(tensor.WithShape(a.Shape()...), tensor.WithBacking(values)))
	return values, err
}
