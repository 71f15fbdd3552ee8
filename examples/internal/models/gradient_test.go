package models_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
)

// TestOnGradient checks for every network, some of which use layers several times, that each
// parameter's gradient is reported once, and is the one that remains after the pass.
func TestOnGradient(t *testing.T) {
	for _, name := range models.Names() {
		architecture, err := models.ByName(name)
		require.NoError(t, err)
		fit := models.Fit(models.Config{Architecture: architecture, InChannels: 3}, [3]int{32, 32, 32})
		var b nn.Backend // has no values, so that a pass takes no time
		var net nn.Network
		_, err = cost.New(func(counting nn.Backend) (nn.Network, error) {
			b = counting
			net, err = models.New(fit.Config, counting, 1)
			return net, err
		})
		require.NoError(t, err, name)
		x, err := b.FromHost(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 3, fit.Size[0], fit.Size[1], fit.Size[2])), nn.Kept)
		require.NoError(t, err, name)
		tape := nn.NewTape(b, nn.Training, 0)
		reported := map[*nn.Param]nn.Array{}
		var order []string
		tape.OnGradient(func(p *nn.Param) error {
			assert.NotContains(t, reported, p, "%s: %s", name, p.Name)
			reported[p] = p.Grad
			order = append(order, p.Name)
			return nil
		})
		y, err := net.Forward(tape, tape.Input(x))
		require.NoError(t, err, name)
		g, err := b.Zeros(y.Shape())
		require.NoError(t, err, name)
		require.NoError(t, tape.Backward(y, g), name)
		for _, p := range net.Parameters() {
			require.NotNil(t, p.Grad, "%s: %s", name, p.Name)
			assert.Same(t, p.Grad, reported[p], "%s: %s", name, p.Name)
		}
		assert.Len(t, order, len(net.Parameters()), name)
	}
}
