// The kernels, compiled for the CPU.
#ifndef AFL_EMULATOR_KERNELS_H
#define AFL_EMULATOR_KERNELS_H

#include "../../kernels/arguments.h"

// emulate runs a kernel with the given number of blocks on host memory. It returns null,
// or an error message if there is no kernel of that name or not all threads reach a
// barrier or shuffle.
const char *emulate(const char *kernel, unsigned blocks, const AflArguments *a);

// emulated_kernel reports whether there is a kernel of that name.
bool emulated_kernel(const char *name);

#endif
