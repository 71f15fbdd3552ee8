// Convolutions in float32 by their definition: a thread computes an element of the result, with
// the terms in a fixed order.
#include "conv_arguments.h"
#include "each.h"
#include "position.h"

namespace afl {

// The fine voxel that tap t reads for coarse voxel o, and whether it is inside the volume.
AFL_DEVICE bool fine_voxel(const AflConv &a, const Position &o, const Position &t, Position &p) {
	bool inside = true;
	for (int axis = 0; axis < 3; axis++) {
		p.at[axis] = o.at[axis] * a.stride[axis] + t.at[axis] * a.dilation[axis] - a.padding[axis];
		inside = inside && p.at[axis] >= 0 && p.at[axis] < a.fine[axis];
	}
	return inside;
}

// The coarse voxel for which tap t reads fine voxel p, and whether there is one.
AFL_DEVICE bool coarse_voxel(const AflConv &a, const Position &p, const Position &t, Position &o) {
	bool inside = true;
	for (int axis = 0; axis < 3; axis++) {
		const int32_t q = p.at[axis] + a.padding[axis] - t.at[axis] * a.dilation[axis];
		o.at[axis] = q / a.stride[axis];
		inside = inside && q >= 0 && q % a.stride[axis] == 0 && o.at[axis] < a.coarse[axis];
	}
	return inside;
}

// The fine volume from the coarse one, or the coarse volume from the fine one.
template <bool to_fine> AFL_DEVICE void convolve(const AflConv &a) {
	const int32_t(&to)[3] = to_fine ? a.fine : a.coarse;
	const int32_t(&from)[3] = to_fine ? a.coarse : a.fine;
	const int64_t to_channels = to_fine ? a.columns : a.rows, from_channels = to_fine ? a.rows : a.columns;
	float *y = to_fine ? a.fine_values : a.coarse_values;
	const float *values = to_fine ? a.coarse_values : a.fine_values;
	const int64_t voxels = voxels_of(to), taps = voxels_of(a.kernel);
	each(a.samples * voxels * to_channels, [&](int64_t i) {
		const int64_t k = i % to_channels, v = i / to_channels % voxels, n = i / to_channels / voxels;
		const Position at = position_of(v, to);
		float sum = 0;
		for (int64_t t = 0; t < taps; t++) {
			Position p;
			if (!(to_fine ? coarse_voxel(a, at, position_of(t, a.kernel), p) : fine_voxel(a, at, position_of(t, a.kernel), p)))
				continue;
			const float *x = values + (n * voxels_of(from) + index_of(p, from)) * from_channels;
			for (int64_t c = 0; c < from_channels; c++)
				sum = fma(a.weight[(to_fine ? c * a.columns + k : k * a.columns + c) * taps + t], x[c], sum);
		}
		y[i] = a.bias ? sum + a.bias[k] : sum;
	});
}

} // namespace afl

AFL_KERNEL_OF(AflConv, afl_nn_conv_to_coarse, 2) { afl::convolve<false>(a); }

AFL_KERNEL_OF(AflConv, afl_nn_conv_to_fine, 2) { afl::convolve<true>(a); }

// A thread computes the sum over a chunk of coarse voxels for one weight.
AFL_KERNEL_OF(AflConv, afl_nn_conv_weight_partials, 2) {
	const int64_t voxels = afl::voxels_of(a.coarse), taps = afl::voxels_of(a.kernel), weights = a.rows * a.columns * taps;
	afl::each(weights * a.chunks, [&](int64_t i) {
		const int64_t weight = i % weights, t = weight % taps, c = weight / taps % a.columns, r = weight / taps / a.columns;
		const int64_t begin = i / weights * a.chunk, all = a.samples * voxels, end = begin + a.chunk < all ? begin + a.chunk : all;
		const afl::Position tap = afl::position_of(t, a.kernel);
		double sum = 0;
		for (int64_t j = begin; j < end; j++) {
			const int64_t n = j / voxels;
			afl::Position p;
			if (afl::fine_voxel(a, afl::position_of(j % voxels, a.coarse), tap, p))
				sum += (double)a.coarse_values[j * a.rows + r] *
					a.fine_values[(n * afl::voxels_of(a.fine) + afl::index_of(p, a.fine)) * a.columns + c];
		}
		a.partials[i] = sum;
	});
}

AFL_KERNEL_OF(AflConv, afl_nn_conv_weight_sum, 2) {
	const int64_t weights = a.rows * a.columns * afl::voxels_of(a.kernel);
	afl::each(weights, [&](int64_t i) {
		double sum = 0;
		for (int64_t k = 0; k < a.chunks; k++)
			sum += a.partials[k * weights + i];
		a.weight[i] = (float)sum;
	});
}
