//go:build onednn

package onednn

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
)

// TestMemoryMatchesTheCount compares the counted memory with that of the pool after two
// training steps, when kernels have been converted to the layouts of the convolutions.
func TestMemoryMatchesTheCount(t *testing.T) {
	for _, a := range []models.Architecture{models.NewUNet(), models.NewSegResNet()} {
		cfg := models.Config{Architecture: a, InChannels: 3}
		create := func(b nn.Backend) (nn.Network, error) { return models.New(cfg, b, 1) }
		counter, err := cost.NewFused(create)
		require.NoError(t, err)
		shape := []int{1, 3, 64, 64, 48}
		want, err := counter.Step(shape, &nn.SGD{Momentum: 0.9})
		require.NoError(t, err)

		opened, err := New(nn.Float32, Config{})
		require.NoError(t, err)
		b := opened.(*backend)
		net, err := create(b)
		require.NoError(t, err)
		opt := &nn.SGD{LearningRate: 0.01, Momentum: 0.9}
		image := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
		for range 2 {
			x, err := b.FromHost(image, nn.Step)
			require.NoError(t, err)
			tape := nn.NewTape(b, nn.Training, 1)
			y, err := net.Forward(tape, tape.Input(x))
			require.NoError(t, err)
			g, err := b.FromHost(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(y.Shape()...)), nn.Step)
			require.NoError(t, err)
			require.NoError(t, tape.Backward(y, g))
			require.NoError(t, opt.Step(b, net.Parameters()))
			b.EndStep()
		}
		got := b.res.pool.held
		t.Logf("%s: counted %d MiB, allocated %d MiB", a.Name(), (want.KeptBytes+want.PassBytes)>>20, got>>20)
		// oneDNN's own scratch memory is not counted. It differs by processor: without AVX-512
		// some convolutions are matrix products of copied windows, and it is a fifth.
		assert.InEpsilon(t, got, want.KeptBytes+want.PassBytes, 0.3, a.Name())
	}
}
