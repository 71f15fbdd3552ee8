package portable

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// A convolution and a transposed convolution are the two directions of a linear map between
// a fine volume (input of the former, result of the latter) and a coarse one. convolution
// describes that map; both operations and all their gradients use its three methods:
//
//	toCoarse         coarse[r,o] = Σ_c Σ_a w[r,c,a] · fine[c, o·stride + a·dilation − padding]
//	toFine           the adjoint
//	weightGradient   w'[r,c,a] = Σ_o coarse[r,o] · fine[c, o·stride + a·dilation − padding]
type convolution[T float] struct {
	*backend[T]
	spec         nn.ConvSpec
	kernel       [3]int
	taps         int
	batch        int
	coarse, fine [3]int // spatial sizes
	rows, cols   int    // channels of the coarse and of the fine volume
	weight       *array[T]
	// The weight of row r, column c, tap a is at r·cols·taps + c·taps + a.
}

// Conv3D implements nn.Backend.
func (b *backend[T]) Conv3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	y, pullback, err := b.conv(x, weight, bias, spec, false)
	if err != nil {
		return nil, nil, fmt.Errorf("Conv3D: %w", err)
	}
	return y, pullback, nil
}

// ConvTranspose3D implements nn.Backend.
func (b *backend[T]) ConvTranspose3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	y, pullback, err := b.conv(x, weight, bias, spec, true)
	if err != nil {
		return nil, nil, fmt.Errorf("ConvTranspose3D: %w", err)
	}
	return y, pullback, nil
}

func (b *backend[T]) conv(x, weight, bias nn.Array, spec nn.ConvSpec, transposed bool) (nn.Array, nn.Pullback, error) {
	a, err := b.volume("x", x)
	if err != nil {
		return nil, nil, err
	}
	w, err := b.arg("weight", weight)
	if err != nil {
		return nil, nil, err
	}
	if len(w.shape) != 5 {
		return nil, nil, fmt.Errorf("weight has shape %v, want 5 axes", w.shape)
	}
	if spec, err = spec.Normalized(); err != nil {
		return nil, nil, err
	}
	kernel, size := [3]int(w.shape[2:]), [3]int(a.shape[2:])
	c := &convolution[T]{
		backend: b, spec: spec, kernel: kernel, taps: nn.Elements(kernel[:]), batch: a.shape[0],
		rows: w.shape[0], cols: w.shape[1], weight: w,
	}
	in, out, axis := c.cols, c.rows, 1
	if transposed {
		in, out, axis = c.rows, c.cols, 0
	}
	if a.shape[1] != in {
		return nil, nil, fmt.Errorf("x has %d channels, want %d as given by axis %d of the weight's shape %v", a.shape[1], in, axis, w.shape)
	}
	var add *array[T]
	if bias != nil {
		if add, err = b.vector("bias", bias, out); err != nil {
			return nil, nil, err
		}
	}
	var ySize [3]int
	if transposed {
		ySize, err = spec.TransposedSize(size, kernel)
		c.coarse, c.fine = size, ySize
	} else {
		if spec.OutputPadding != [3]int{} {
			return nil, nil, fmt.Errorf("output padding is %v, want 0 except in a transposed convolution", spec.OutputPadding)
		}
		ySize, err = spec.OutputSize(size, kernel)
		c.coarse, c.fine = ySize, size
	}
	if err != nil {
		return nil, nil, err
	}
	y := b.newArray(c.batch, out, ySize[0], ySize[1], ySize[2])
	forward, adjoint := c.toCoarse, c.toFine
	if transposed {
		forward, adjoint = c.toFine, c.toCoarse
	}
	forward(y, a, add)
	return y, b.pullback("convolution", y, 3, []*array[T]{a, w}, func(g *array[T], need []bool) []nn.Array {
		return wanted(need, func(input int) nn.Array {
			switch input {
			case 0:
				gx := b.newArray(a.shape...)
				adjoint(gx, g, nil)
				return gx
			case 1:
				gw := b.newArray(w.shape...)
				if transposed {
					c.weightGradient(gw, a, g)
				} else {
					c.weightGradient(gw, g, a)
				}
				return gw
			default:
				return b.biasGradient(g)
			}
		})
	}), nil
}

// biasGradient sums g over batch and space.
func (b *backend[T]) biasGradient(g *array[T]) *array[T] {
	channels := g.shape[1]
	planes := g.shape[0] * channels
	sums := sumPlanes(planes, len(g.data)/planes, func(_, from, to int) (float64, float64) {
		return sum(g.data[from:to]), 0
	})
	total := make([]float64, channels)
	for p, s := range sums {
		total[p%channels] += s[0]
	}
	out := b.newArray(channels)
	for c, v := range total {
		out.data[c] = T(v)
	}
	return out
}
