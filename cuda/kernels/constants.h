// afl_constants writes numbers from the host to device memory: constants[i] becomes
// double i of channel, with one launch per AFL_INLINE_DOUBLES numbers. A launch holds
// its arguments by value, so unlike a copy from host memory it can be captured into a
// graph and replayed after that memory is gone.
#ifndef AFL_CONSTANTS_H
#define AFL_CONSTANTS_H

#include "arguments.h"
#include "device.h"

AFL_KERNEL(afl_constants, 4) {
	const uint32_t i = afl::thread_index();
	if (afl::block_index() == 0 && i < (uint32_t)a.constant_count)
		a.constants[i] = ((const double *)a.channel)[i];
}

#endif
