//go:build onednn

package onednn_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/onednn"
)

func TestBackend(t *testing.T) {
	nntest.Run(t, func(t *testing.T, dtype nn.DType) nn.Backend {
		if dtype != nn.Float32 {
			return nil
		}
		b, err := onednn.New(dtype, onednn.Config{})
		require.NoError(t, err)
		return b
	})
}

func TestNewRefusesOtherTypes(t *testing.T) {
	_, err := onednn.New(nn.Float64, onednn.Config{})
	assert.ErrorContains(t, err, "float64")
}
