package cuda

import (
	"time"

	"github.com/x/afl/examples/internal/nn"
)

// loader is a backend whose kernels a driver loads.
type loader interface {
	loadedKernels() (modules int, took time.Duration)
}

// LoadedKernels returns the number of modules of kernels that the driver has loaded for a backend
// of this package so far, with those of the losses, and the time that this took in all: seconds
// for a module that it had to compile, see [github.com/x/afl/cuda.Engine.LoadKernels]. They are 0
// for other backends.
func LoadedKernels(b nn.Backend) (modules int, took time.Duration) {
	if l, ok := b.(loader); ok {
		return l.loadedKernels()
	}
	return 0, 0
}
