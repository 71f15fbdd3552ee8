// The factors of a pass: AflArguments.factors, which follow from the label's
// statistics, where there are any, else the constants in the arguments.
#ifndef AFL_FACTORS_H
#define AFL_FACTORS_H

#include "arguments.h"
#include "device.h"

namespace afl {

// Constants of channel c. There are two paths instead of one pointer because
// parameters have an address space of their own, which must be known statically.
AFL_DEVICE AflChannel channel_of(const AflArguments &a, int c) {
	if (a.far) {
		const double *p = &a.far[c].pos;
		return AflChannel{load_constant(p), load_constant(p + 1), load_constant(p + 2), load_constant(p + 3), load_constant(p + 4),
			load_constant(p + 5)};
	}
	return a.channel[c];
}

// The factor of the sum of the pointwise elements.
AFL_DEVICE double scale_of(const AflArguments &a) { return a.factors ? load_constant(a.factors) : a.scale; }

// The focusing parameter and the factors of positive and negative voxels, by sample n
// and channel c.
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
