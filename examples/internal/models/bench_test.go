package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
)

// BenchmarkTrainingStep measures a training step of the UNet with its default widths:
// forward pass, backward pass and update, without the loss.
func BenchmarkTrainingStep(b *testing.B) {
	shape := []int{1, 1, 48, 64, 48}
	backend, err := portable.New(nn.Float32)
	require.NoError(b, err)
	net, err := models.New(models.Config{Architecture: models.NewUNet(), InChannels: 1}, backend, 1)
	require.NoError(b, err)
	host := func(name string, shape ...int) *tensor.Dense {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(nntest.HashValues(name, n, 1)))
	}
	x, gy := host("x", shape...), host("gout", 1, 2, 48, 64, 48)
	sgd := nn.SGD{LearningRate: 0.01, Momentum: 0.9, WeightDecay: 1e-5, Nesterov: true}
	step := func() {
		in, err := backend.FromHost(x, nn.Step)
		require.NoError(b, err)
		tape := nn.NewTape(backend, nn.Training, 1)
		y, err := net.Forward(tape, tape.Input(in))
		require.NoError(b, err)
		g, err := backend.FromHost(gy, nn.Step)
		require.NoError(b, err)
		require.NoError(b, tape.Backward(y, g))
		require.NoError(b, sgd.Step(backend, net.Parameters()))
		backend.EndStep()
	}
	step() // fills the pool
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}
