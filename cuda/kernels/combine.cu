// afl_combine: to = a·to + b·from, or a·to if from is null, for gradients and loss
// values. Elements are computed in float64 and rounded once; product and sum are not
// fused, as on the CPU.
#include "label.h"

AFL_KERNEL(afl_combine, 4) {
	const int64_t step = (int64_t)afl::block_count() * AFL_THREADS;
	for (int64_t i = (int64_t)afl::block_index() * AFL_THREADS + afl::thread_index(); i < a.combine_count; i += step) {
		double x = afl::rounded_product(a.combine_a, afl::number_at(a.combine_to, a.combine_type, i));
		if (a.combine_from)
			x = afl::rounded_sum(x, afl::rounded_product(a.combine_b, afl::number_at(a.combine_from, a.combine_from_type, i)));
		afl::store_at(a.combine_to, a.combine_type, i, x);
	}
	// The sum of two loss values has the first rejected element of either.
	if (a.verdict && a.combine_verdict && afl::block_index() == 0 && afl::thread_index() == 0 && a.verdict->kind == AFL_GOOD)
		*a.verdict = *a.combine_verdict;
}
