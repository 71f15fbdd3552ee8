// Package kernels holds the CUDA kernels of the training engine as PTX, which the driver
// compiles for its GPU.
//
// The sources next to it are written in the subset of CUDA C++ of package
// github.com/x/afl/cuda/kernels, whose script compiles them and whose headers they use, and
// run in tests on the CPU likewise. arguments.h and conv_arguments.h declare their
// parameters, one struct for a kernel. Nothing that a kernel computes depends on the order in
// which blocks run: there are no atomics.
package kernels

import (
	"embed"
	"sync"

	"github.com/x/afl/internal/cuda/kernel"
)

//go:generate ../../../../../cuda/kernels/generate.sh .

//go:embed *.ptx
var files embed.FS

// Modules holds all modules.
var Modules = sync.OnceValue(func() *kernel.Set { return kernel.NewSet(files) })
