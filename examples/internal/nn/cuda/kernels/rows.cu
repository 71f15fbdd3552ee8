// Sums over the rows of a volume by channel.
#include "rows.h"

// Partial sums of g.
AFL_KERNEL_OF(AflRows, afl_nn_row_sums, 4) {
	const afl::RowRange r = afl::row_range(a);
	double sums[1] = {};
	afl::add_rows(r, sums, [&](int64_t row, afl::Sum (&part)[1]) { part[0].add(a.g[row * a.channels + r.channel]); });
	afl::add_lanes(r, sums);
	afl::store_partials(a, r, sums);
}

// y[c] is the sum of the partial sums of channel c, of which a block adds up one.
AFL_KERNEL_OF(AflRows, afl_nn_sum_partials, 4) {
	const int64_t c = afl::block_index(), parts = a.samples * a.chunks;
	double sum = 0;
	for (int64_t i = afl::thread_index(); i < parts; i += AFL_THREADS)
		sum += a.partials[i * a.channels + c];
	sum = afl::block_sum(sum);
	if (afl::thread_index() == 0)
		a.y[c] = (float)sum;
}
