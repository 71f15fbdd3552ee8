package weights

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func TestReadMetadata(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	tensors := map[string]*tensor.Dense{"a": tensor.New(tensor.WithBacking([]float32{1, 2, 3}))}
	for _, want := range []map[string]string{{"run": "1f", "text": "with \"quotes\""}, nil} {
		require.NoError(t, Save(path, tensors, want))
		got, err := ReadMetadata(path)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, n := range []int{0, 5, 8, 9, 20, len(good) - 1} {
		require.NoError(t, os.WriteFile(path, good[:n], 0o644))
		_, err := ReadMetadata(path)
		assert.ErrorContains(t, err, path, "%d bytes", n)
	}
	_, err = ReadMetadata(filepath.Join(t.TempDir(), "absent"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}
