// Sums over a warp and over a block's threads, bit-reproducible from run to run.
#ifndef AFL_SUMS_H
#define AFL_SUMS_H

#include "device.h"

namespace afl {

enum { WARPS = AFL_THREADS / 32 };

// The sum over the lanes of a warp, in every lane, by a butterfly.
template <typename T> AFL_DEVICE T warp_sum(T x) {
	for (int mask = 16; mask > 0; mask /= 2)
		x += shuffle_xor(x, mask);
	return x;
}

// Sums of a, b, c and d over a warp in one tree; lanes 0, 8, 16 and 24 get one each.
template <typename T> AFL_DEVICE T warp_sums(T a, T b, T c, T d) {
	const bool second = thread_index() & 16, odd = thread_index() & 8;
	T even = (second ? c : a) + shuffle_xor(second ? a : c, 16);
	T rest = (second ? d : b) + shuffle_xor(second ? b : d, 16);
	T x = (odd ? rest : even) + shuffle_xor(odd ? even : rest, 8);
	AFL_UNROLL for (int mask = 4; mask > 0; mask /= 2)
		x += shuffle_xor(x, mask);
	return x;
}

// The sum over the block's threads, in every thread.
AFL_DEVICE double block_sum(double x) {
	AFL_SHARED double part[WARPS];
	x = warp_sum(x);
	if (thread_index() % 32 == 0)
		part[thread_index() / 32] = x;
	barrier();
	x = 0;
	for (int i = 0; i < WARPS; i++)
		x += part[i];
	barrier(); // the next call writes part
	return x;
}

} // namespace afl

#endif
