package workload

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func TestWriteRaw(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	require.NoError(t, WriteRaw(path, tensor.New(tensor.WithBacking([]float32{1.5, -2}))))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, b, 8)
	assert.Equal(t, float32(-2), math.Float32frombits(binary.LittleEndian.Uint32(b[4:])))
}
