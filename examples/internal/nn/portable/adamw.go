package portable

import (
	"fmt"
	"math"

	"github.com/x/afl/examples/internal/nn"
)

// AdamWStep implements nn.Backend.
func (b *backend[T]) AdamWStep(value, gradient, first, second nn.Array, spec nn.AdamWSpec) error {
	w, err := b.arg("value", value)
	if err != nil {
		return fmt.Errorf("AdamWStep: %w", err)
	}
	var others [3]*array[T]
	for i, x := range []nn.Array{gradient, first, second} {
		if others[i], err = b.like([]string{"gradient", "first", "second"}[i], x, w.shape); err != nil {
			return fmt.Errorf("AdamWStep: %w", err)
		}
	}
	decay, beta1, beta2 := T(spec.Decay), T(spec.Beta1), T(spec.Beta2)
	new1, new2 := T(1-spec.Beta1), T(1-spec.Beta2)
	size, correction, epsilon := T(spec.StepSize), T(spec.Correction), T(spec.Epsilon)
	parallelRange(len(w.data), func(from, to int) {
		w, g, m, v := w.data[from:to], others[0].data[from:to], others[1].data[from:to], others[2].data[from:to]
		for i := range w {
			m[i] = T(beta1*m[i]) + T(new1*g[i])
			v[i] = T(beta2*v[i]) + T(T(new2*g[i])*g[i])
			root := T(math.Sqrt(float64(v[i])))
			w[i] = T(decay*w[i]) - T(size*m[i])/(T(root/correction)+epsilon)
		}
	})
	return nil
}
