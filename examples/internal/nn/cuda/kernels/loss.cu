// What losses need: the first value that is not finite, and the part of a volume inside a box
// in row-major order.
#include "arguments.h"
#include "each.h"
#include "first.h"

namespace afl {

// The element of the volume at position `at` of the box, of which there are samples × channels
// × box.
AFL_DEVICE int64_t element_of(const AflBox &a, int64_t at) {
	const int64_t z = at % a.box[2], y = at / a.box[2] % a.box[1], x = at / a.box[2] / a.box[1] % a.box[0];
	const int64_t plane = at / a.box[2] / a.box[1] / a.box[0], c = plane % a.channels, n = plane / a.channels;
	const int64_t voxel = ((x + a.start[0]) * a.size[1] + y + a.start[1]) * a.size[2] + z + a.start[2];
	const int64_t voxels = (int64_t)a.size[0] * a.size[1] * a.size[2];
	return a.channels_last ? (n * voxels + voxel) * a.channels + c : plane * voxels + voxel;
}

} // namespace afl

AFL_KERNEL_OF(AflFinite, afl_nn_find_non_finite, 4) {
	AflFinitePart part = {a.count, 0, 0};
	afl::each(a.count, [&](int64_t i) {
		const float x = a.x[i];
		if (x - x == 0)
			return;
		int64_t index = i;
		if (a.channels_last) {
			const int64_t row = i / a.channels;
			index = (row / a.voxels * a.channels + i % a.channels) * a.voxels + row % a.voxels;
		}
		part = afl::first_of(part, AflFinitePart{index, x, 0});
	});
	part = afl::block_first(part);
	if (afl::thread_index() == 0)
		a.parts[afl::block_index()] = part;
}

AFL_KERNEL_OF(AflFinite, afl_nn_first_non_finite, 4) {
	AflFinitePart part = {a.count, 0, 0};
	for (int64_t i = afl::thread_index(); i < a.blocks; i += AFL_THREADS)
		part = afl::first_of(part, a.parts[i]);
	part = afl::block_first(part);
	if (afl::thread_index() == 0)
		a.parts[0] = part;
}

AFL_KERNEL_OF(AflJudge, afl_nn_judge, 4) {
	if (afl::block_index() == 0 && afl::thread_index() == 0 && (a.first->index < a.count || *a.value - *a.value != 0))
		*a.stop = 1;
}

AFL_KERNEL_OF(AflBox, afl_nn_crop, 4) {
	afl::each(a.samples * a.channels * a.box[0] * a.box[1] * a.box[2], [&](int64_t i) { a.inside[i] = a.volume[afl::element_of(a, i)]; });
}

// Stores the inside of the box; the rest of the volume is not written.
AFL_KERNEL_OF(AflBox, afl_nn_pad, 4) {
	afl::each(a.samples * a.channels * a.box[0] * a.box[1] * a.box[2], [&](int64_t i) { a.volume[afl::element_of(a, i)] = a.inside[i]; });
}
