// What the products by tiles need besides: packed weights and sums over splits.
#include "each.h"
#include "mma.h"

AFL_KERNEL_OF(AflPack, afl_nn_conv_pack, 4) {
	afl::each(a.count, [&](int64_t i) {
		const int32_t c = (int32_t)(i % a.padded), tap = (int32_t)(i / a.padded % a.taps), n = (int32_t)(i / a.padded / a.taps);
		const int64_t at = a.to_fine ? (int64_t)c * a.to_channels + n : (int64_t)n * a.from_channels + c;
		const float x = c < a.from_channels ? a.weight[at * a.taps + tap] : 0;
		if (a.precision == AFL_BFLOAT16_PRODUCTS)
			((uint16_t *)a.packed)[i] = (uint16_t)afl::round_bfloat16(x);
		else
			a.packed[i] = a.precision == AFL_TF32_PRODUCTS ? afl::round_tf32(x) : afl::as_word(x);
	});
}

namespace afl {

// The sum of element i over the splits, in four chains so that loads overlap.
AFL_DEVICE float sum_of_splits(const AflSplits &a, int64_t i) {
	float sum[4] = {};
	for (int32_t s = 0; s < a.splits; s += 4)
		AFL_UNROLL for (int32_t j = 0; j < 4; j++)
			if (s + j < a.splits)
				sum[j] += a.partials[(s + j) * a.count + i];
	return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

} // namespace afl

AFL_KERNEL_OF(AflSplits, afl_nn_conv_sum, 4) {
	afl::each(a.count, [&](int64_t i) { a.to[i] = afl::sum_of_splits(a, i) + (a.bias ? a.bias[i % a.channels] : 0); });
}

// The gradient of the weight, row-major.
AFL_KERNEL_OF(AflSplits, afl_nn_conv_gradient_sum, 4) {
	afl::each(a.count, [&](int64_t i) {
		const int64_t c = i % a.padded, tap = i / a.padded % a.taps, row = i / a.padded / a.taps;
		if (c < a.channels)
			a.to[(row * a.channels + c) * a.taps + tap] = afl::sum_of_splits(a, i);
	});
}
