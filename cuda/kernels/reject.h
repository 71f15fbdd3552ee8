// Rejected elements: kernels carry on as if the element took no part, and record the
// smallest index of a bad element in the evaluation's status.
#ifndef AFL_REJECT_H
#define AFL_REJECT_H

#include "label.h"

namespace afl {

// reject records that the element at an index is bad, unless an earlier launch has
// found one. If many are bad, few threads reach the atomic.
AFL_DEVICE void reject(const AflArguments &a, uint64_t index) {
	const uint64_t found = UINT64_MAX - index;
	if (a.status && a.status->kind == AFL_GOOD && found > load_fresh(&a.status->found))
		atomic_maximum(&a.status->found, found);
}
AFL_DEVICE void reject_class(const AflArguments &a, int n, int64_t i) { reject(a, (uint64_t)(n * a.voxels + i)); }
AFL_DEVICE void reject_weight(const AflArguments &a, int n, int64_t i) { reject(a, (uint64_t)(n * a.voxels + i)); }
AFL_DEVICE void reject_map(const AflArguments &a, int n, int c, int64_t i) {
	reject(a, (uint64_t)(((int64_t)n * a.channels + c) * a.voxels + i));
}

// describe fills in the status of the bad element. a is in shared memory.
AFL_DEVICE void describe(const AflArguments &a, AflStatus *s, int64_t index) {
	if (a.voxel_weight && index < a.samples * a.voxels && weight_at(a, index) == REJECTED) {
		s->got = number_at(a.voxel_weight, a.voxel_weight_type, index);
		s->kind = AFL_BAD_WEIGHT;
	} else {
		s->got = number_at(a.target, a.target_type, index);
		s->kind = a.dense ? AFL_BAD_MAP : AFL_BAD_CLASS;
		s->type = a.target_type;
		if (a.target_type == AFL_UINT64 || a.target_type == AFL_INT64)
			s->bits = ((const uint64_t *)a.target)[index];
		else if (a.target_type >= AFL_UINT8)
			s->bits = (uint64_t)(int64_t)s->got;
	}
	s->has_ignore = a.has_ignore;
	s->ignore = a.ignore;
	s->channels = a.channels;
	s->limit = a.limit;
	s->voxels = a.voxels;
}

// finish_rejections is called by one thread of the last block. It returns whether an
// element was rejected in this evaluation, completes its description, and in the
// evaluation's last launch publishes it and resets the status. a is in shared memory.
AFL_DEVICE bool finish_rejections(const AflArguments &a) {
	AflStatus *s = a.status;
	const uint64_t found = load_fresh(&s->found);
	if (found && s->kind == AFL_GOOD)
		describe(a, s, (int64_t)(UINT64_MAX - found));
	if (a.last) {
		if (a.verdict)
			*a.verdict = *s;
		if (found && a.reported->kind == AFL_GOOD)
			*a.reported = *s;
		s->found = 0;
		s->kind = AFL_GOOD;
	}
	return found != 0;
}

} // namespace afl

#endif
