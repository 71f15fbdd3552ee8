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

} // namespace afl

AFL_KERNEL_OF(AflConv, afl_nn_conv_to_coarse, 2) {
	const int64_t voxels = afl::voxels_of(a.coarse), taps = afl::voxels_of(a.kernel);
	afl::each(a.samples * voxels * a.rows, [&](int64_t i) {
		const int64_t r = i % a.rows, o = i / a.rows % voxels, n = i / a.rows / voxels;
		const afl::Position at = afl::position_of(o, a.coarse);
		float sum = 0;
		for (int64_t t = 0; t < taps; t++) {
			afl::Position p;
			if (!afl::fine_voxel(a, at, afl::position_of(t, a.kernel), p))
				continue;
			const float *x = a.fine_values + (n * afl::voxels_of(a.fine) + afl::index_of(p, a.fine)) * a.columns;
			for (int64_t c = 0; c < a.columns; c++)
				sum = afl::fma(a.weight[(r * a.columns + c) * taps + t], x[c], sum);
		}
		a.coarse_values[i] = a.bias ? sum + a.bias[r] : sum;
	});
}

AFL_KERNEL_OF(AflConv, afl_nn_conv_to_fine, 2) {
	const int64_t voxels = afl::voxels_of(a.fine), taps = afl::voxels_of(a.kernel);
	afl::each(a.samples * voxels * a.columns, [&](int64_t i) {
		const int64_t c = i % a.columns, v = i / a.columns % voxels, n = i / a.columns / voxels;
		const afl::Position at = afl::position_of(v, a.fine);
		float sum = 0;
		for (int64_t t = 0; t < taps; t++) {
			afl::Position o;
			if (!afl::coarse_voxel(a, at, afl::position_of(t, a.kernel), o))
				continue;
			const float *x = a.coarse_values + (n * afl::voxels_of(a.coarse) + afl::index_of(o, a.coarse)) * a.rows;
			for (int64_t r = 0; r < a.rows; r++)
				sum = afl::fma(a.weight[(r * a.columns + c) * taps + t], x[r], sum);
		}
		a.fine_values[i] = a.bias ? sum + a.bias[c] : sum;
	});
}

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
