// A set of kernels, compiled for the CPU to a library of its own, which the driver runs.
#ifndef AFL_EMULATOR_KERNELS_H
#define AFL_EMULATOR_KERNELS_H

#include <stddef.h>

struct AflKernels {
	// run runs a kernel with the given number of blocks on host memory. It returns null, or an
	// error message if not all threads reach a barrier or shuffle.
	const char *(*run)(const char *kernel, unsigned blocks, const void *arguments);
	// bytes returns the size of a kernel's arguments, or 0 if there is no kernel of that name.
	size_t (*bytes)(const char *kernel);
};

#endif
