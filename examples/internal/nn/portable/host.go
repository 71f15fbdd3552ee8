package portable

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// FromHost implements nn.Backend.
func (b *backend[T]) FromHost(t *tensor.Dense, life nn.Lifetime) (nn.Array, error) {
	if err := nn.CheckHost(t); err != nil {
		return nil, fmt.Errorf("portable: FromHost: tensor %w", err)
	}
	shape := append([]int(nil), t.Shape()...)
	var a *array[T]
	switch life {
	case nn.Step:
		a = b.newArray(shape...)
	case nn.Kept:
		a = b.keptArray(shape)
	default:
		return nil, fmt.Errorf("portable: FromHost: life is %d, want nn.Step or nn.Kept", life)
	}
	switch src := t.Data().(type) {
	case []float32:
		convert(a.data, src)
	case []float64:
		convert(a.data, src)
	case float32:
		a.data[0] = T(src)
	case float64:
		a.data[0] = T(src)
	}
	return a, nil
}

// Zeros implements nn.Backend.
func (b *backend[T]) Zeros(shape []int) (nn.Array, error) {
	if err := nn.CheckShape(shape); err != nil {
		return nil, fmt.Errorf("portable: Zeros: %w", err)
	}
	return b.keptArray(append([]int(nil), shape...)), nil
}

func (b *backend[T]) keptArray(shape []int) *array[T] {
	return &array[T]{owner: b, shape: shape, data: make([]T, nn.Elements(shape)), kept: true}
}

// ToHost implements nn.Backend.
func (b *backend[T]) ToHost(x nn.Array, dst *tensor.Dense) error {
	a, err := b.arg("array", x)
	if err != nil {
		return fmt.Errorf("portable: ToHost: %w", err)
	}
	if err := nn.CheckHost(dst); err != nil {
		return fmt.Errorf("portable: ToHost: dst %w", err)
	}
	if !slices.Equal(dst.Shape(), a.shape) {
		return fmt.Errorf("portable: ToHost: dst has shape %v, want %v", []int(dst.Shape()), a.shape)
	}
	switch to := dst.Data().(type) {
	case []float32:
		convert(to, a.data)
	case []float64:
		convert(to, a.data)
	default:
		return errors.New("portable: ToHost: dst is a scalar, want a tensor with axes")
	}
	return nil
}

func convert[A, B float](dst []A, src []B) {
	src = src[:len(dst)]
	parallelRange(len(dst), func(from, to int) {
		for i := from; i < to; i++ {
			dst[i] = A(src[i])
		}
	})
}
