// Numbers that the host knows and that the kernels read from device memory: block 0
// writes constants[i] = the i-th number of channel, one launch for every
// AFL_INLINE_DOUBLES of them. A launch holds its argument by value, so unlike a copy
// from the host it can be captured into a graph and replayed when the host's memory
// is gone.
#ifndef AFL_CONSTANTS_H
#define AFL_CONSTANTS_H

#include "device.h"

AFL_KERNEL(afl_constants, 4) {
	const uint32_t i = afl::thread_index();
	if (afl::block_index() == 0 && i < (uint32_t)a.constant_count)
		a.constants[i] = ((const double *)a.channel)[i];
}

#endif
