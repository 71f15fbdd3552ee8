// Sums over the blocks of a launch, bit-reproducible from run to run.
#ifndef AFL_BLOCK_H
#define AFL_BLOCK_H

#include "arguments.h"
#include "sums.h"

namespace afl {

// Whether this is the last of the launch's blocks to get here. All threads of the
// block call it, after writing what the last block reads with load_fresh.
AFL_DEVICE bool last_block(const AflArguments &a) {
	AFL_SHARED uint32_t last;
	fence();
	barrier();
	if (thread_index() == 0)
		last = atomic_increment(a.counter, block_count() - 1) == block_count() - 1;
	barrier();
	fence();
	return last;
}

// The voxels [begin, end) of a sample that a block processes.
struct Range {
	int32_t sample;
	int64_t begin, end;
};

AFL_DEVICE Range range_of_block(const AflArguments &a) {
	const int32_t n = (int32_t)(block_index() / a.chunks);
	const int64_t begin = (int64_t)(block_index() % a.chunks) * a.chunk, end = begin + a.chunk;
	return Range{n, begin < a.voxels ? begin : a.voxels, end < a.voxels ? end : a.voxels};
}

// A copy of the arguments in shared memory, whose address can be passed to
// functions: taking the parameter's address copies it to local memory per thread.
AFL_DEVICE const AflArguments &shared_arguments(const AflArguments &a) {
	AFL_SHARED AflArguments copy;
	static_assert(sizeof(AflArguments) % 8 == 0, "copied in words of 8 bytes");
	for (uint32_t i = thread_index(); i < sizeof(AflArguments) / 8; i += AFL_THREADS)
		((uint64_t *)&copy)[i] = ((const uint64_t *)&a)[i];
	barrier();
	return copy;
}

// sum_partials adds up the blocks' partial sums a.partials[block·width + k],
// k < columns, over each of `groups` equal ranges of blocks. The sums of range g
// replace the partial sums of its first block, see total_of. All threads of the
// last block call it.
//
// Adjacent threads take adjacent columns, so that reads coalesce. If there are
// fewer sums than threads, T = 2, 4, 8… threads share one: thread r of the T adds
// blocks r, r+T, …, and a tree adds the T results. T depends on the shape alone.
AFL_DEVICE void sum_partials(const AflArguments &a, int64_t width, int64_t columns, int32_t groups) {
	AFL_SHARED double part[AFL_THREADS];
	const uint32_t thread = thread_index();
	const int64_t rows = block_count() / groups, items = columns * groups;
	uint32_t team = 1; // T
	while (team < AFL_THREADS && team < rows && items * team * 2 <= AFL_THREADS)
		team *= 2;
	const uint32_t side = AFL_THREADS / team; // sums in parallel
	const uint32_t rank = thread / side;
	for (int64_t begin = 0; begin < items; begin += side) {
		const int64_t item = begin + thread % side;
		const int64_t group = item / columns, column = item % columns;
		double sum = 0;
		if (item < items) {
			const double *p = a.partials + group * rows * width + column;
			int64_t row = rank;
			enum { AHEAD = 8 }; // loads in flight
			for (; row + (AHEAD - 1) * team < rows; row += AHEAD * team) {
				double x[AHEAD];
				for (int i = 0; i < AHEAD; i++)
					x[i] = load_fresh(p + (row + i * team) * width);
				for (int i = 0; i < AHEAD; i++)
					sum += x[i];
			}
			for (; row < rows; row += team)
				sum += load_fresh(p + row * width);
		}
		for (uint32_t half = team / 2; half > 0; half /= 2) {
			part[thread] = sum;
			barrier();
			if (rank < half)
				sum += part[thread + half * side];
			barrier();
		}
		if (rank == 0 && item < items)
			a.partials[group * rows * width + column] = sum;
	}
	barrier();
}

// Sum k of range g of groups, after sum_partials.
AFL_DEVICE double total_of(const AflArguments &a, int64_t width, int32_t groups, int64_t g, int64_t k) {
	return load_fresh(a.partials + g * (block_count() / groups) * width + k);
}

} // namespace afl

#endif
