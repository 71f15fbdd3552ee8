// The numbers that a pass multiplies by: from the statistics where the call has
// factors, else the constants of its arguments.
#ifndef AFL_FACTORS_H
#define AFL_FACTORS_H

#include "device.h"

namespace afl {

// Constants of channel c. Not by one pointer: the arguments lie in a memory of
// their own, which the GPU can read only where it is known that it is that one.
AFL_DEVICE AflChannel channel_of(const AflArguments &a, int c) {
	if (a.far) {
		const double *p = &a.far[c].pos;
		return AflChannel{load_constant(p), load_constant(p + 1), load_constant(p + 2), load_constant(p + 3), load_constant(p + 4),
			load_constant(p + 5)};
	}
	return a.channel[c];
}

// What the sum of the pointwise elements is multiplied by.
AFL_DEVICE double scale_of(const AflArguments &a) { return a.factors ? load_constant(a.factors) : a.scale; }

// The focusing parameter and the factors of the positive and negative voxels, of
// sample n and channel c.
AFL_DEVICE double gamma_of(const AflArguments &a, int n, int c) {
	if (a.factors)
		return load_constant(a.factors + 1 + (int64_t)n * a.channels + c);
	return channel_of(a, c).gamma;
}
AFL_DEVICE double pos_of(const AflArguments &a, int n, int c) {
	if (a.factors)
		return load_constant(a.factors + 1 + ((int64_t)a.samples + n) * a.channels + c);
	return channel_of(a, c).pos;
}
AFL_DEVICE double neg_of(const AflArguments &a, int n, int c) {
	if (a.factors)
		return load_constant(a.factors + 1 + (2 * (int64_t)a.samples + n) * a.channels + c);
	return channel_of(a, c).neg;
}

} // namespace afl

#endif
