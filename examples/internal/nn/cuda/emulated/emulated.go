// Package emulated opens backends of package nn/cuda for tests: on an emulated GPU, which runs
// the kernels on the CPU and is slow (see package github.com/x/afl/cuda/cudatest), or, in a test
// binary that is run with -gpu, on the first GPU of the machine.
package emulated

import "flag"

var onGPU = flag.Bool("gpu", false, "run on the first GPU instead of the emulated one; tests that need the emulator are skipped")

// OnGPU reports whether the tests run on the machine's first GPU.
func OnGPU() bool { return *onGPU }
