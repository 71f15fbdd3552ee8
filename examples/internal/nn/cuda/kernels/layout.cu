// Conversions between row-major and channels-last order. A thread converts a voxel: its
// accesses to the row-major array are adjacent to those of its neighbors.
#include "arguments.h"
#include "each.h"

AFL_KERNEL_OF(AflLayout, afl_nn_to_channels_last, 4) {
	afl::each(a.samples * a.voxels, [&](int64_t i) {
		const int64_t n = i / a.voxels, v = i % a.voxels;
		for (int64_t c = 0; c < a.channels; c++)
			a.to[i * a.channels + c] = a.from[(n * a.channels + c) * a.voxels + v];
	});
}

AFL_KERNEL_OF(AflLayout, afl_nn_to_row_major, 4) {
	afl::each(a.samples * a.voxels, [&](int64_t i) {
		const int64_t n = i / a.voxels, v = i % a.voxels;
		for (int64_t c = 0; c < a.channels; c++)
			a.to[(n * a.channels + c) * a.voxels + v] = a.from[i * a.channels + c];
	});
}
