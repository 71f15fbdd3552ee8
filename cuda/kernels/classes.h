// afl_classes converts class indices of any type, N×V, to bytes, so that the other
// kernels read one byte per voxel and need no types. The target's rules (ignore,
// binarize) and the check that every label is a class are fused into it; no one-hot
// map is ever made. Traffic per voxel: one label read, one byte written.
#ifndef AFL_CLASSES_H
#define AFL_CLASSES_H

#include "block.h"
#include "reject.h"

namespace afl {

AFL_KERNEL(afl_classes, 4) {
	const AflArguments &s = shared_arguments(a);
	const Range r = range_of_block(a);
	const int64_t base = r.sample * a.voxels;
	for (int64_t i = r.begin + thread_index(); i < r.end; i += AFL_THREADS) {
		int32_t y = class_of_target(s, base + i);
		if (y == REJECTED)
			reject_class(a, r.sample, i);
		a.classes[base + i] = y < 0 ? (uint8_t)NO_CLASS : (uint8_t)y;
	}
	if (last_block(a) && thread_index() == 0)
		finish_rejections(s);
}

} // namespace afl

#endif
