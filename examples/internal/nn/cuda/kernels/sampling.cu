// Pooling and resampling. The gradients gather: a thread adds up what its voxel receives, in a
// fixed order.
#include "arguments.h"
#include "each.h"
#include "position.h"

namespace afl {

// The voxel of the first largest value, or the first NaN, of channel c of window o. x is the
// sample.
AFL_DEVICE int64_t largest_of(const AflPool &a, const float *x, const Position &o, int64_t c) {
	int32_t from[3], to[3];
	for (int axis = 0; axis < 3; axis++) {
		const int32_t first = o.at[axis] * a.stride[axis] - a.padding[axis], end = first + a.kernel[axis];
		from[axis] = first > 0 ? first : 0;
		to[axis] = end < a.in[axis] ? end : a.in[axis];
	}
	int64_t at = -1;
	float best = 0;
	Position p;
	for (p.at[0] = from[0]; p.at[0] < to[0]; p.at[0]++)
		for (p.at[1] = from[1]; p.at[1] < to[1]; p.at[1]++)
			for (p.at[2] = from[2]; p.at[2] < to[2]; p.at[2]++) {
				const int64_t v = index_of(p, a.in);
				const float y = x[v * a.channels + c];
				if (at < 0 || y > best || (y != y && best == best)) {
					best = y;
					at = v;
				}
			}
	return at;
}

// The weight of voxel i of an axis in a voxel with the given tap.
AFL_DEVICE float weight_of(const AflTap &t, int32_t i) {
	return (t.at == i ? 1 - t.weight : 0) + (t.next == i ? t.weight : 0);
}

} // namespace afl

AFL_KERNEL_OF(AflPool, afl_nn_max_pool, 4) {
	const int64_t in = afl::voxels_of(a.in), out = afl::voxels_of(a.out);
	afl::each(a.samples * out * a.channels, [&](int64_t i) {
		const int64_t c = i % a.channels, o = i / a.channels % out, n = i / a.channels / out;
		const float *x = a.x + n * in * a.channels;
		a.y[i] = x[afl::largest_of(a, x, afl::position_of(o, a.out), c) * a.channels + c];
	});
}

AFL_KERNEL_OF(AflPool, afl_nn_max_pool_gradient, 4) {
	const int64_t in = afl::voxels_of(a.in), out = afl::voxels_of(a.out);
	afl::each(a.samples * in * a.channels, [&](int64_t i) {
		const int64_t c = i % a.channels, v = i / a.channels % in, n = i / a.channels / in;
		const float *x = a.x + n * in * a.channels, *g = a.g + n * out * a.channels;
		const afl::Position p = afl::position_of(v, a.in);
		// The windows that contain the voxel.
		int32_t from[3], to[3];
		for (int axis = 0; axis < 3; axis++) {
			const int32_t q = p.at[axis] + a.padding[axis], first = q - a.kernel[axis] + 1, last = q / a.stride[axis];
			from[axis] = first > 0 ? (first + a.stride[axis] - 1) / a.stride[axis] : 0;
			to[axis] = last < a.out[axis] ? last : a.out[axis] - 1;
		}
		float sum = 0;
		afl::Position o;
		for (o.at[0] = from[0]; o.at[0] <= to[0]; o.at[0]++)
			for (o.at[1] = from[1]; o.at[1] <= to[1]; o.at[1]++)
				for (o.at[2] = from[2]; o.at[2] <= to[2]; o.at[2]++)
					if (afl::largest_of(a, x, o, c) == v)
						sum += g[afl::index_of(o, a.out) * a.channels + c];
		a.y[i] = sum;
	});
}

AFL_KERNEL_OF(AflResize, afl_nn_resize, 4) {
	const int64_t in = afl::voxels_of(a.in), out = afl::voxels_of(a.out);
	afl::each(a.samples * out * a.channels, [&](int64_t i) {
		const int64_t c = i % a.channels, o = i / a.channels % out, n = i / a.channels / out;
		const float *x = a.x + n * in * a.channels + c;
		const afl::Position at = afl::position_of(o, a.out);
		const AflTap tx = a.taps[at.at[0]], ty = a.taps[a.out[0] + at.at[1]], tz = a.taps[a.out[0] + a.out[1] + at.at[2]];
		float sum = 0;
		// A voxel of weight 0, which may be infinite, takes no part.
		for (int ix = 0; ix < (tx.weight > 0 ? 2 : 1); ix++)
			for (int iy = 0; iy < (ty.weight > 0 ? 2 : 1); iy++) {
				const int64_t row = ((int64_t)(ix ? tx.next : tx.at) * a.in[1] + (iy ? ty.next : ty.at)) * a.in[2];
				float value = x[(row + tz.at) * a.channels];
				if (tz.weight > 0)
					value = (1 - tz.weight) * value + tz.weight * x[(row + tz.next) * a.channels];
				sum += (ix ? tx.weight : 1 - tx.weight) * (iy ? ty.weight : 1 - ty.weight) * value;
			}
		a.y[i] = sum;
	});
}

AFL_KERNEL_OF(AflResize, afl_nn_resize_gradient, 4) {
	const int64_t in = afl::voxels_of(a.in), out = afl::voxels_of(a.out);
	afl::each(a.samples * in * a.channels, [&](int64_t i) {
		const int64_t c = i % a.channels, v = i / a.channels % in, n = i / a.channels / in;
		const float *g = a.x + n * out * a.channels + c;
		const afl::Position p = afl::position_of(v, a.in);
		const AflReaders rx = a.readers[p.at[0]], ry = a.readers[a.in[0] + p.at[1]], rz = a.readers[a.in[0] + a.in[1] + p.at[2]];
		const AflTap *tx = a.taps, *ty = tx + a.out[0], *tz = ty + a.out[1];
		float sum = 0;
		for (int32_t x = rx.first; x <= rx.last; x++)
			for (int32_t y = ry.first; y <= ry.last; y++) {
				const int64_t row = ((int64_t)x * a.out[1] + y) * a.out[2];
				const float w = afl::weight_of(tx[x], p.at[0]) * afl::weight_of(ty[y], p.at[1]);
				for (int32_t z = rz.first; z <= rz.last; z++)
					sum += w * afl::weight_of(tz[z], p.at[2]) * g[(row + z) * a.channels];
			}
		a.y[i] = sum;
	});
}
