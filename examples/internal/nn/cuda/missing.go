//go:build !(cgo && linux && (amd64 || arm64))

package cuda

import (
	"fmt"
	"time"

	"github.com/x/afl/cuda"
	"github.com/x/afl/examples/internal/nn"
)

// On fails: the backend needs cgo on Linux, amd64 or arm64.
func On(*cuda.Engine, nn.DType) (nn.Backend, error) {
	_, err := cuda.Devices() // says what is missing
	return nil, err
}

func closeWith(nn.Backend, *cuda.Engine) {}

// Engine returns nil, as there are no backends of this package.
func Engine(nn.Backend) *cuda.Engine { return nil }

// LoadKernels fails, as there are no backends of this package.
func LoadKernels(b nn.Backend, _ func(module string, took time.Duration)) error {
	return fmt.Errorf("nn/cuda: backend is %T, want one that On or New returned", b)
}
