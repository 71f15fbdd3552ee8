package portable

import (
	"fmt"
	"math"

	"github.com/x/afl/examples/internal/nn"
)

// Activate implements nn.Backend. The derivatives are functions of the result, so only the
// result is needed in the backward pass.
func (b *backend[T]) Activate(x nn.Array, f nn.Activation) (nn.Array, nn.Pullback, error) {
	a, err := b.arg("x", x)
	if err != nil {
		return nil, nil, fmt.Errorf("%v: %w", f, err)
	}
	var value func(y, x []T)
	var gradient func(gx, y, g []T)
	switch f {
	case nn.ReLU:
		value, gradient = relu[T], reluGradient[T]
	case nn.ELU:
		value, gradient = elu[T], eluGradient[T]
	case nn.Sigmoid:
		value, gradient = sigmoid[T], sigmoidGradient[T]
	default:
		return nil, nil, fmt.Errorf("Activate: f is %v, want ReLU, ELU or Sigmoid", f)
	}
	y := b.newArray(a.shape...)
	parallelRange(len(y.data), func(from, to int) { value(y.data[from:to], a.data[from:to]) })
	return y, b.pullback(f.String(), y, 1, []*array[T]{y}, func(g *array[T], need []bool) []nn.Array {
		return wanted(need, func(int) nn.Array {
			gx := b.newArray(a.shape...)
			parallelRange(len(gx.data), func(from, to int) {
				gradient(gx.data[from:to], y.data[from:to], g.data[from:to])
			})
			return gx
		})
	}), nil
}

func relu[T float](y, x []T) {
	for i, v := range x {
		y[i] = max(v, 0)
	}
}

func reluGradient[T float](gx, y, g []T) {
	for i, v := range y {
		gx[i] = choose(v, g[i], 0)
	}
}

func elu[T float](y, x []T) {
	for i, v := range x {
		if v > 0 {
			y[i] = v
		} else {
			y[i] = T(math.Expm1(float64(v)))
		}
	}
}

func eluGradient[T float](gx, y, g []T) {
	for i, v := range y {
		// Below zero the derivative is eˣ = y + 1.
		gx[i] = g[i] * choose(v, 1, v+1)
	}
}

func sigmoid[T float](y, x []T) {
	for i, v := range x {
		y[i] = T(1 / (1 + math.Exp(-float64(v))))
	}
}

func sigmoidGradient[T float](gx, y, g []T) {
	for i, v := range y {
		gx[i] = g[i] * (v * (1 - v))
	}
}
