// Sums over the rows of a volume by channel, in an order that follows from the shape alone.
#ifndef AFL_NN_ROWS_H
#define AFL_NN_ROWS_H

#include "arguments.h"
#include "sums.h"

namespace afl {

// The part of a volume that a block adds up, and the part of it that its thread does: every
// step-th row from first on of one channel. Threads that have none start at end.
struct RowRange {
	int64_t sample, chunk;    // of the block
	int64_t first, end, step; // rows of the volume
	int64_t channel;
	uint32_t width, lane, lanes; // the thread's channel is one of width, its rows one of lanes
};

AFL_DEVICE RowRange row_range(const AflRows &a) {
	RowRange r;
	const int64_t tile = block_index() % a.tiles, part = block_index() / a.tiles;
	r.sample = part / a.chunks;
	r.chunk = part % a.chunks;
	const int64_t left = a.channels - tile * AFL_THREADS;
	r.width = left < AFL_THREADS ? (uint32_t)left : AFL_THREADS;
	r.lanes = AFL_THREADS / r.width;
	r.lane = thread_index() / r.width;
	r.channel = tile * AFL_THREADS + thread_index() % r.width;
	const int64_t begin = r.chunk * a.chunk, end = begin + a.chunk;
	r.end = r.sample * a.voxels + (end < a.voxels ? end : a.voxels);
	r.first = r.lane < r.lanes ? r.sample * a.voxels + begin + r.lane : r.end;
	r.step = r.lanes;
	return r;
}

// A float32 sum with its rounding errors, nearly as accurate as one in float64, which many GPUs
// add at 1/64 of the rate: sums that cancel to zero have to.
struct Sum {
	float high = 0, low = 0;

	AFL_MEMBER void add(float x) {
		const float sum = high + x, added = sum - high;
		low += (high - (sum - added)) + (x - added);
		high = sum;
	}
	AFL_MEMBER void add_product(float x, float y) {
		const float product = rounded_product(x, y);
		low += fma(x, y, -product);
		add(product);
	}
	// The sum is added to a total, unless an infinity has made the errors NaN.
	AFL_MEMBER double value() const { return high - high == 0 ? (double)high + low : high; }
};

// map_rows calls store(row, load(row)) for the thread's rows. It loads several rows before it
// stores the first, so that their loads are in flight at the same time.
template <class Load, class Store> AFL_DEVICE void map_rows(const RowRange &r, Load load, Store store) {
	enum { FEW = 4 };
	int64_t row = r.first;
	for (; row + (FEW - 1) * r.step < r.end; row += FEW * r.step) {
		decltype(load(row)) loaded[FEW];
		AFL_UNROLL for (int i = 0; i < FEW; i++)
			loaded[i] = load(row + i * r.step);
		AFL_UNROLL for (int i = 0; i < FEW; i++)
			store(row + i * r.step, loaded[i]);
	}
	for (; row < r.end; row += r.step)
		store(row, load(row));
}

// map_gradients stores f(x, a.g) in a.y for the elements of the thread's rows.
template <class F> AFL_DEVICE void map_gradients(const AflRows &a, const RowRange &r, const float *x, F f) {
	struct Pair {
		float x, g;
	};
	map_rows(
		r,
		[&](int64_t row) {
			const int64_t i = row * a.channels + r.channel;
			return Pair{x[i], a.g[i]};
		},
		[&](int64_t row, const Pair &v) { a.y[row * a.channels + r.channel] = f(v.x, v.g); });
}

// add_rows calls f(row, part) for the thread's rows, which adds to the sums part, and adds
// these to sums every few rows.
template <int K, class F> AFL_DEVICE void add_rows(const RowRange &r, double (&sums)[K], F f) {
	enum { FEW = 8 };
	for (int64_t row = r.first; row < r.end;) {
		Sum part[K];
		for (int i = 0; i < FEW && row < r.end; i++, row += r.step)
			f(row, part);
		AFL_UNROLL for (int k = 0; k < K; k++)
			sums[k] += part[k].value();
	}
}

// add_lanes adds up the sums of the threads of each channel by a tree; the first lane gets the
// totals. All threads of the block call it.
template <int K> AFL_DEVICE void add_lanes(const RowRange &r, double (&sums)[K]) {
	AFL_SHARED double part[K][AFL_THREADS];
	const uint32_t thread = thread_index();
	uint32_t half = 1;
	while (half < r.lanes)
		half *= 2;
	for (half /= 2; half > 0; half /= 2) {
		AFL_UNROLL for (int k = 0; k < K; k++)
			part[k][thread] = sums[k];
		barrier();
		if (r.lane < half && r.lane + half < r.lanes)
			AFL_UNROLL for (int k = 0; k < K; k++)
				sums[k] += part[k][thread + half * r.width];
		barrier();
	}
}

// store_partials stores the sums of the channels of the block's rows.
template <int K> AFL_DEVICE void store_partials(const AflRows &a, const RowRange &r, const double (&sums)[K]) {
	if (r.lane == 0)
		AFL_UNROLL for (int k = 0; k < K; k++)
			a.partials[((r.sample * a.chunks + r.chunk) * a.channels + r.channel) * K + k] = sums[k];
}

} // namespace afl

#endif
