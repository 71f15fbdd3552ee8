//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"fmt"
	"time"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda/kernels"
)

// LoadKernels has the driver compile all kernels of a backend of this package that are not loaded
// yet, and calls progress after each module unless it is nil. Without it each module is compiled
// when one of its kernels is first launched. The driver caches what it has compiled, see
// [github.com/x/afl/cuda.Engine.LoadKernels], which compiles the kernels of the losses.
func LoadKernels(b nn.Backend, progress func(module string, took time.Duration)) error {
	c, ok := b.(*backend)
	if !ok {
		return fmt.Errorf("nn/cuda: backend is %T, want one that On or New returned", b)
	}
	return c.runner.Load(kernels.Modules(), progress)
}
