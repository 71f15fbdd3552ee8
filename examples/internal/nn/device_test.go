//go:build cgo && linux && (amd64 || arm64)

package nn_test

import (
	"testing"

	"gorgonia.org/tensor"

	"github.com/x/afl/cuda"
	"github.com/x/afl/cuda/cudatest"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
)

// device is a backend whose losses run on a GPU.
type device struct {
	nn.Backend
	engine *cuda.Engine
}

// RunLoss implements nn.LossRunner.
func (d device) RunLoss(y nn.Array, inside nn.Box, label *tensor.Dense, loss nn.LossFunc) (nn.Array, error) {
	return nn.RunLoss(struct{ nn.Backend }{d.Backend}, y, inside, label, func(logits, label, grad *tensor.Dense) error {
		there := make([]*tensor.Dense, 3)
		defer func() {
			for _, t := range there {
				if t != nil {
					d.engine.Release(t)
				}
			}
		}()
		var err error
		for i, host := range []*tensor.Dense{logits, label, grad} {
			if host == nil {
				continue
			}
			if there[i], err = d.engine.Upload(host); err != nil {
				return err
			}
		}
		if err := loss(there[0], there[1], there[2]); err != nil {
			return err
		}
		return d.engine.CopyToHost(grad, there[2])
	})
}

// TestLossOnADevice runs the tests of losses with tensors in the memory of an emulated GPU.
func TestLossOnADevice(t *testing.T) {
	if testing.Short() {
		t.Skip("the emulated GPU is slow")
	}
	engine := cudatest.OpenEmulated(t)
	nntest.Losses(t, device{open(t, nn.Float32), engine})
}
