package cudatest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func TestOpenEmulated(t *testing.T) {
	e := OpenEmulated(t)
	assert.Equal(t, "Emulated GPU 0", e.Device().Name)
	host := tensor.New(tensor.WithBacking([]float32{1, 2, 3}))
	device, err := e.Upload(host)
	require.NoError(t, err)
	back, err := e.Download(device)
	require.NoError(t, err)
	assert.Equal(t, host.Data(), back.Data())
}
