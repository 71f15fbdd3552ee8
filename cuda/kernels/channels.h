// Channel constants where there are too many for one argument: block 0 writes
// far[far_from + i] = channel[i], one launch for every AFL_INLINE_CHANNELS of
// them. A launch holds its argument by value, so unlike a copy from the host it
// can be captured into a graph and replayed when the host's memory is gone.
#ifndef AFL_CHANNELS_H
#define AFL_CHANNELS_H

#include "device.h"

AFL_KERNEL(afl_channels, 4) {
	uint32_t i = afl::thread_index();
	if (afl::block_index() != 0 || i >= (uint32_t)a.far_count) return;
	AflChannel *to = a.far + a.far_from + i;
	to->pos = a.channel[i].pos;
	to->neg = a.channel[i].neg;
	to->ce = a.channel[i].ce;
	to->overlap = a.channel[i].overlap;
}

#endif
