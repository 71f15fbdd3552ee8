// afl_classes: class indices of any type, N×V, become bytes, so that what follows
// reads one byte a voxel and knows no types. It fuses the rules of the target
// (ignored, binarized) and the check that every label is a class; nothing like a
// one-hot map is made. Bytes a voxel: one label read, 1 written.
#ifndef AFL_CLASSES_H
#define AFL_CLASSES_H

#include "block.h"
#include "refuse.h"

namespace afl {

AFL_KERNEL(afl_classes, 4) {
	const AflArguments &s = shared_arguments(a);
	const Range r = range_of_block(a);
	const int64_t base = r.sample * a.voxels;
	for (int64_t i = r.begin + thread_index(); i < r.end; i += AFL_THREADS) {
		int32_t y = class_of_target(s, base + i);
		if (y == REFUSED)
			refuse_class(a, r.sample, i);
		a.classes[base + i] = y < 0 ? (uint8_t)NO_CLASS : (uint8_t)y;
	}
	if (last_block(a) && thread_index() == 0)
		finish_refusals(s);
}

} // namespace afl

#endif
