package models_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/internal/golden"
)

// kinkWidth is the magnitude of a ReLU input, relative to the largest in its array, below
// which its sign is uncertain in float32.
const kinkWidth = 3e-7

// kinks is a backend that records how close the inputs of ReLUs are to zero.
type kinks struct {
	nn.Backend
	t       *testing.T
	closest *float64
}

func (k kinks) Activate(x nn.Array, f nn.Activation) (nn.Array, nn.Pullback, error) {
	if f == nn.ReLU {
		d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(x.Shape()...))
		require.NoError(k.t, k.ToHost(x, d))
		least, most := math.Inf(1), 0.0
		for _, v := range d.Data().([]float64) {
			least, most = min(least, math.Abs(v)), max(most, math.Abs(v))
		}
		*k.closest = min(*k.closest, least/most)
	}
	return k.Backend.Activate(x, f)
}

// hasKink reports whether the gradients of a case are ambiguous in float32: an input of a
// ReLU is so close to zero that its sign depends on the order of a sum, and with it whether
// that voxel has a gradient at all.
func hasKink(t *testing.T, file *golden.File) bool {
	closest := math.Inf(1)
	l := load(t, file, variant{dtype: nn.Float64, open: func(dtype nn.DType) (nn.Backend, error) {
		b, err := portable.New(dtype)
		return kinks{b, t, &closest}, err
	}})
	tape := nn.NewTape(l.backend, nn.Training, 0)
	_, err := l.net.Forward(tape, tape.Input(l.input(t, file, "x")))
	require.NoError(t, err)
	return closest < kinkWidth
}
