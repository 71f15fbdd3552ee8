// What the float32 passes share: a block's part of the batch, and its sums.
#ifndef AFL_PASS_H
#define AFL_PASS_H

#include "classbytes.h"
#include "finish.h"
#include "math32.h"
#include "voxels.h"

namespace afl {

// Elements are weighed by 2⁻¹² of their factor, so that sums of a few large ones
// stay finite in float32; the block's sum in float64 and the gradient undo it.
constexpr float element_weight = 0x1p-12f;
constexpr double element_unit = 0x1p12;

// A block's part of the batch.
struct Chunk {
	int32_t n;     // sample
	int64_t begin; // first voxel
	int32_t size;
	bool backwards; // what the pass before read last may still be in the cache
	const uint8_t *labels;
};

// gradient says that it is the pass which writes the gradient.
AFL_DEVICE Chunk chunk_of(const AflArguments &a, bool gradient) {
	Chunk ch;
	ch.backwards = gradient && a.overlap;
	uint32_t block = ch.backwards ? block_count() - 1 - block_index() : block_index();
	ch.n = (int32_t)(block / (uint32_t)a.chunks);
	ch.begin = (int64_t)(block % (uint32_t)a.chunks) * a.chunk;
	int64_t rest = a.voxels - ch.begin;
	ch.size = rest < a.chunk ? (int32_t)rest : a.chunk;
	ch.labels = label_bytes(a) + (ch.n * a.voxels + ch.begin);
	return ch;
}

// The chunk's first element of channel c, of the logits or the gradient.
template <class T> AFL_DEVICE const typename T::Bits *logits_row(const AflArguments &a, const Chunk &ch, int c) {
	return (const typename T::Bits *)a.logits + (((int64_t)ch.n * a.channels + c) * a.voxels + ch.begin);
}
template <class T> AFL_DEVICE typename T::Bits *grad_row(const AflArguments &a, const Chunk &ch, int c) {
	return (typename T::Bits *)a.grad + (((int64_t)ch.n * a.channels + c) * a.voxels + ch.begin);
}

// Tile i of the chunk.
template <class V> AFL_DEVICE Tile tile_of(const Chunk &ch, const V &v, int32_t i) {
	return tile_at(v, (ch.backwards ? (ch.size - 1) / V::tile - i : i) * V::tile);
}

// The first channel that takes part.
AFL_DEVICE int32_t first_channel(const AflArguments &a) {
	int32_t first = a.pointwise ? a.first : a.channels;
	return a.overlap && a.overlap_first < first ? a.overlap_first : first;
}

// Writes the gradient of a channel that takes no part.
template <class T, class V> AFL_DEVICE void clear_grad(const AflArguments &a, const Chunk &ch, int c) {
	const V v = voxels_of<V>(a, ch.labels, ch.size);
	typename V::Words zeros = {};
	for (int32_t at = 0; at < ch.size; at += V::tile)
		store(grad_row<T>(a, ch, c), v, tile_at(v, at), zeros);
}

// The focusing parameter of channel c. A larger one than 2²⁴ leaves the same: 1
// for a probability of the label that float32 takes for 0, and 0 for others.
AFL_DEVICE double bounded_gamma(const AflArguments &a, int n, int c) {
	double gamma = gamma_of(a, n, c);
	return gamma < 0x1p24 ? gamma : 0x1p24;
}

// What the derivative of an element, weighed by element_weight·unit, is
// multiplied by. The scale is infinite where no voxel takes part.
AFL_DEVICE float gradient_unit(const AflArguments &a, int unit) {
	double scale = scale_of(a);
	return absolute(scale) < infinity() ? (float)(scale * element_unit / unit) : 0.0f;
}

// The derivative of the overlap term with respect to the probability p of a
// channel: negative + slope·p, and for the voxels of its class
// positive − slope·(1−p). At p = 1 its parts may all but cancel, which float64
// does here once and float32 need not for every voxel.
template <class Number> struct OverlapSlope {
	Number positive, negative, slope;
};

AFL_DEVICE OverlapSlope<double> overlap_slope(const AflArguments &a, int n, int c) {
	const double *k = a.coefficients + ((int64_t)n * a.channels + c);
	double t = load_constant(k), p = load_constant(k + (int64_t)a.samples * a.channels);
	if (a.squared)
		return OverlapSlope<double>{t + 2 * p, 0, 2 * p};
	return OverlapSlope<double>{t + p, p, 0};
}

// The row of the block's sums.
AFL_DEVICE double *block_row(const AflArguments &a, const Chunk &ch) {
	int64_t block = (int64_t)ch.n * a.chunks + ch.begin / a.chunk;
	return a.partials + block * afl_sums_width(a.channels);
}

// Sets the row to 0, of which block_sums then writes what there is.
AFL_DEVICE void clear_row(const AflArguments &a, double *row) {
	for (int64_t k = thread_index(); k < afl_sums_width(a.channels); k += AFL_THREADS)
		row[k] = 0;
}

// Stores the sum of x[k] over the block's threads at sum[k·stride].
template <int count> AFL_DEVICE void block_sums(const double (&x)[count], double *sum, int64_t stride) {
	AFL_SHARED double part[WARPS][count];
	uint32_t t = thread_index();
	barrier(); // the call before has read its parts
	AFL_UNROLL for (int k = 0; k < count; k++) {
		double s = warp_sum(x[k]);
		if (t % 32 == 0)
			part[t / 32][k] = s;
	}
	barrier();
	if (t < count) {
		double s = 0;
		for (int w = 0; w < WARPS; w++)
			s += part[w][t];
		sum[(int64_t)t * stride] = s;
	}
}

// Ends a pass with a thread's sum of elements, weighed. With an overlap term the
// reduce pass has added them up.
template <bool gradient> AFL_DEVICE void end_pass(const AflArguments &a, double *row, double elements) {
	if (!(gradient && a.overlap)) {
		const double total[1] = {elements * element_unit};
		block_sums(total, row, 1);
	}
	if (gradient)
		finish_gradient(a);
	else
		finish_reduce(a);
}

} // namespace afl

#endif
