package cuda

import (
	"time"

	"github.com/x/afl/examples/internal/nn"
)

// LoadedKernels returns the number of modules of kernels that the driver has loaded for a backend
// of this package so far, with those of the losses, and the time that this took in all, see
// [github.com/x/afl/cuda.Engine.LoadedKernels]. They are 0 for other backends.
func LoadedKernels(b nn.Backend) (modules int, took time.Duration) { return Engine(b).LoadedKernels() }

// DescribeSteps returns a line for a report: how often the work of training steps was launched
// as a graph, and why it was not otherwise; "" if there were no steps.
func DescribeSteps(b nn.Backend) string {
	e := Engine(b)
	if e == nil {
		return ""
	}
	return e.Runner().DescribeSteps()
}
