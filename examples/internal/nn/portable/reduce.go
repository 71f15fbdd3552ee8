package portable

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// SumOfSquares implements nn.Backend.
func (b *backend[T]) SumOfSquares(xs ...nn.Array) (float64, error) {
	total := 0.0
	for i, x := range xs {
		a, err := b.arg(fmt.Sprintf("array %d", i), x)
		if err != nil {
			return 0, fmt.Errorf("SumOfSquares: %w", err)
		}
		parts := make([]float64, (len(a.data)+chunk-1)/chunk)
		parallelRange(len(a.data), func(from, to int) {
			sum := 0.0
			for _, v := range a.data[from:to] {
				sum += float64(float64(v) * float64(v))
			}
			parts[from/chunk] = sum
		})
		for _, part := range parts {
			total += part
		}
	}
	return total, nil
}

// Scale implements nn.Backend.
func (b *backend[T]) Scale(x nn.Array, factor float64) (nn.Array, error) {
	a, err := b.arg("array", x)
	if err != nil {
		return nil, fmt.Errorf("Scale: %w", err)
	}
	y := b.newArray(a.shape...)
	by := T(factor)
	parallelRange(len(y.data), func(from, to int) {
		d, s := y.data[from:to], a.data[from:to]
		for i, v := range s {
			d[i] = by * v
		}
	})
	return y, nil
}
