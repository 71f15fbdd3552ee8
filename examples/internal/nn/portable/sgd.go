package portable

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// SGDStep implements nn.Backend.
func (b *backend[T]) SGDStep(value, gradient, velocity nn.Array, first bool, spec nn.SGDSpec) error {
	w, err := b.arg("value", value)
	if err != nil {
		return fmt.Errorf("SGDStep: %w", err)
	}
	g, err := b.like("gradient", gradient, w.shape)
	if err != nil {
		return fmt.Errorf("SGDStep: %w", err)
	}
	rate, momentum, decay := T(spec.LearningRate), T(spec.Momentum), T(spec.WeightDecay)
	if spec.Momentum == 0 {
		parallelRange(len(w.data), func(from, to int) {
			w, g := w.data[from:to], g.data[from:to]
			for i := range w {
				w[i] -= T(rate * (g[i] + T(decay*w[i])))
			}
		})
		return nil
	}
	v, err := b.like("velocity", velocity, w.shape)
	if err != nil {
		return fmt.Errorf("SGDStep: %w", err)
	}
	parallelRange(len(w.data), func(from, to int) {
		w, g, v := w.data[from:to], g.data[from:to], v.data[from:to]
		for i := range w {
			d := g[i] + T(decay*w[i])
			if first {
				v[i] = d
			} else {
				v[i] = T(momentum*v[i]) + d
			}
			if spec.Nesterov {
				d += T(momentum * v[i])
			} else {
				d = v[i]
			}
			w[i] -= T(rate * d)
		}
	})
	return nil
}
