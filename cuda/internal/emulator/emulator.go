// Package emulator builds and steers a CUDA driver without a GPU: a library that
// takes the place of libcuda.so.1, keeps device memory in the host's and runs the
// project's kernels on the CPU. driver.cpp says what it is strict about, and
// kernels.cpp compiles the kernels. It is for tests.
package emulator
