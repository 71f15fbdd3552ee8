package cuda_test

import (
	"testing"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
	"github.com/x/afl/examples/internal/nn/nntest"
)

func TestBackend(t *testing.T) {
	nntest.Run(t, func(t *testing.T, dtype nn.DType) nn.Backend {
		if dtype != nn.Float32 {
			return nil
		}
		b, _ := emulated.Open(t)
		return b
	})
}
