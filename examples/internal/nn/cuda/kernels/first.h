// The first of what the threads of a block have found.
#ifndef AFL_NN_FIRST_H
#define AFL_NN_FIRST_H

#include "arguments.h"
#include "device.h"

namespace afl {

AFL_DEVICE int64_t first_of(int64_t a, int64_t b) { return b < a ? b : a; }
AFL_DEVICE AflFinitePart first_of(const AflFinitePart &a, const AflFinitePart &b) { return b.index < a.index ? b : a; }

// The first of the parts of the block's threads, in the first thread.
template <class T> AFL_DEVICE T block_first(T part) {
	AFL_SHARED T parts[AFL_THREADS];
	for (uint32_t half = AFL_THREADS / 2; half > 0; half /= 2) {
		parts[thread_index()] = part;
		barrier();
		if (thread_index() < half)
			part = first_of(part, parts[thread_index() + half]);
		barrier();
	}
	return part;
}

} // namespace afl

#endif
