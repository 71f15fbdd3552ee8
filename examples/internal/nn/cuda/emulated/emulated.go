// Package emulated opens backends of package nn/cuda on an emulated GPU, for tests. The
// emulator runs the kernels on the CPU, which is slow; see package
// github.com/x/afl/cuda/cudatest.
package emulated
