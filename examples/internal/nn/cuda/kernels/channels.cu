// Operations on volumes with a factor by channel or voxel, and on their channels.
#include "activation.h"
#include "arguments.h"
#include "each.h"
#include "rows.h"

namespace afl {

// The slope of an element.
AFL_DEVICE float slope_of(const AflChannels &a, int64_t i) { return a.factor[a.slopes == 1 ? 0 : i % a.channels]; }

} // namespace afl

AFL_KERNEL_OF(AflChannels, afl_nn_prelu, 4) {
	afl::each(a.rows * a.channels, [&](int64_t i) { a.y[i] = afl::prelu(a.x[i], afl::slope_of(a, i)); });
}

AFL_KERNEL_OF(AflChannels, afl_nn_prelu_gradient, 4) {
	afl::each(a.rows * a.channels, [&](int64_t i) { a.y[i] = afl::prelu_gradient(a.x[i], afl::slope_of(a, i), a.g[i]); });
}

// Partial sums of the gradient of a slope.
AFL_KERNEL_OF(AflRows, afl_nn_prelu_slope_sums, 4) {
	const afl::RowRange r = afl::row_range(a);
	double sums[1] = {};
	afl::add_rows(r, sums, [&](int64_t row, afl::Sum (&part)[1]) {
		const float x = a.x[row * a.channels + r.channel];
		part[0].add_product(a.g[row * a.channels + r.channel], x > 0 ? 0 : x);
	});
	afl::add_lanes(r, sums);
	afl::store_partials(a, r, sums);
}

AFL_KERNEL_OF(AflChannels, afl_nn_dropout, 4) {
	const uint64_t seed = *a.seed;
	afl::each(a.rows * a.channels, [&](int64_t i) {
		const uint64_t plane = (uint64_t)(i / (a.voxels * a.channels) * a.channels + i % a.channels);
		uint64_t z = seed + (plane + 1) * 0x9E3779B97F4A7C15;
		z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
		z = (z ^ z >> 27) * 0x94D049BB133111EB;
		z ^= z >> 31;
		a.y[i] = z >> 11 >= a.threshold ? a.kept * a.x[i] : 0; // also if x is not finite
	});
}

// The product with a factor by voxel.
AFL_KERNEL_OF(AflChannels, afl_nn_gate, 4) {
	afl::each(a.rows * a.channels, [&](int64_t i) { a.y[i] = a.x[i] * a.factor[i / a.channels]; });
}

AFL_KERNEL_OF(AflChannels, afl_nn_gate_gradient, 4) {
	afl::each(a.rows, [&](int64_t row) {
		float sum = 0;
		for (int64_t c = 0; c < a.channels; c++)
			sum += a.x[row * a.channels + c] * a.g[row * a.channels + c];
		a.y[row] = sum;
	});
}

AFL_KERNEL_OF(AflSlice, afl_nn_insert, 4) {
	afl::each(a.rows * a.part_channels, [&](int64_t i) {
		a.whole[i / a.part_channels * a.channels + a.offset + i % a.part_channels] = a.part[i];
	});
}

AFL_KERNEL_OF(AflSlice, afl_nn_extract, 4) {
	afl::each(a.rows * a.part_channels, [&](int64_t i) {
		a.part[i] = a.whole[i / a.part_channels * a.channels + a.offset + i % a.part_channels];
	});
}

AFL_KERNEL_OF(AflSlice, afl_nn_repeat, 4) {
	afl::each(a.rows * a.channels, [&](int64_t i) {
		a.whole[i] = a.part[i / a.channels * a.part_channels + i % a.channels % a.part_channels];
	});
}

AFL_KERNEL_OF(AflSlice, afl_nn_repeat_gradient, 4) {
	afl::each(a.rows * a.part_channels, [&](int64_t i) {
		const float *g = a.whole + i / a.part_channels * a.channels;
		float sum = 0;
		for (int64_t c = i % a.part_channels; c < a.channels; c += a.part_channels)
			sum += g[c];
		a.part[i] = sum;
	});
}
