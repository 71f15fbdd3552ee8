package portable_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
)

func TestBackend(t *testing.T) {
	nntest.Run(t, func(t *testing.T, dtype nn.DType) nn.Backend {
		b, err := portable.New(dtype)
		require.NoError(t, err)
		return b
	})
}

func TestNewRejectsUnknownTypes(t *testing.T) {
	_, err := portable.New(nn.DType(7))
	assert.ErrorContains(t, err, "DType(7)")
}
