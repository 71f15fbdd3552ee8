// Loops over elements that are distributed over all threads of a launch.
#ifndef AFL_NN_EACH_H
#define AFL_NN_EACH_H

#include "device.h"

namespace afl {

// each calls f for every i < count.
template <class F> AFL_DEVICE void each(int64_t count, F f) {
	const int64_t step = (int64_t)block_count() * AFL_THREADS;
	for (int64_t i = (int64_t)block_index() * AFL_THREADS + thread_index(); i < count; i += step)
		f(i);
}

} // namespace afl

#endif
