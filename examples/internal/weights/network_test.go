package weights_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/examples/internal/weights"
)

// TestTorchCheckpointInANetwork loads the checkpoint of a small U-Net built from PyTorch's
// layers, with DataParallel's prefix, and compares its output with that of PyTorch, which
// make.py prints.
func TestTorchCheckpointInANetwork(t *testing.T) {
	file, err := weights.Open("testdata/checkpoint.pth")
	require.NoError(t, err)
	defer file.Close()
	backend, err := portable.New(nn.Float32)
	require.NoError(t, err)
	architecture := models.NewUNet()
	architecture.Channels, architecture.Strides = []int{2, 3}, [][3]int{{2, 2, 2}}
	net, err := models.NewUninitialized(models.Config{Architecture: architecture, InChannels: 1}, backend, 1)
	require.NoError(t, err)
	var network []weights.Entry
	for _, p := range net.Parameters() {
		network = append(network, weights.Entry{Name: p.Name, Shape: p.Value.Shape()})
	}
	for _, f := range net.Buffers() {
		network = append(network, weights.Entry{Name: f.Name, Counter: f.Value == nil})
	}
	fitted, err := file.Fit(network, "")
	require.NoError(t, err)
	assert.Equal(t, "state_dict", fitted.Prefix)
	require.NoError(t, nn.LoadStateDict(backend, net, fitted.State))

	values := make([]float32, 64)
	for i := range values {
		values[i] = (float32(i) - 3) / 32
	}
	x, err := backend.FromHost(tensor.New(tensor.WithShape(1, 1, 4, 4, 4), tensor.WithBacking(values)), nn.Step)
	require.NoError(t, err)
	tape := nn.NewTape(backend, nn.Inference, 0)
	y, err := net.Forward(tape, tape.Input(x))
	require.NoError(t, err)
	logits := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 2, 4, 4, 4))
	require.NoError(t, backend.ToHost(y.Array(), logits))
	want := []float32{
		0.066764161, 0.151002854, 0.0323364027, 0.083716616, 0.15659377, 0.26672405, 0.168202549, 0.0148745775,
		0.0305724964, 0.198917121, 0.033529643, 0.062098477, 0.0842575133, 0.149103925, 0.0862315744, 0.0904120356,
	}
	// Channel 1, the second plane.
	assert.InDeltaSlice(t, want, logits.Data().([]float32)[64+16:64+32], 1e-6)
	for _, f := range net.Buffers() {
		if f.Value == nil {
			assert.Equal(t, int64(3), f.Count, f.Name)
		}
	}
}
