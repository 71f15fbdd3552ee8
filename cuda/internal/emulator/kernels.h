// The kernels on the CPU.
#ifndef AFL_EMULATOR_KERNELS_H
#define AFL_EMULATOR_KERNELS_H

#include "../../kernels/arguments.h"

// emulate runs a kernel with the given number of blocks over host memory. It
// returns null, or what went wrong: no kernel of that name, or a barrier or
// shuffle that not all threads reach.
const char *emulate(const char *kernel, unsigned blocks, const AflArguments *a);

// emulated_kernel says whether there is a kernel of that name.
bool emulated_kernel(const char *name);

#endif
