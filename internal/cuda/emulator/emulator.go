// Package emulator builds and controls a CUDA driver for tests without a GPU: a library
// that replaces libcuda.so.1, emulates device memory in host memory and runs the
// project's kernels on the CPU. driver.cpp describes what it is strict about; losses.cpp
// compiles the kernels of the losses, and other packages bring such files of their own.
package emulator
