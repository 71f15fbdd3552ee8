// Package emulator builds and controls a CUDA driver for tests without a GPU: a library
// that replaces libcuda.so.1, emulates device memory in host memory and runs the
// project's kernels on the CPU. driver.cpp describes what it is strict about; kernels.cpp
// compiles the kernels.
package emulator
