// What the float32 passes have in common: a block's part of the batch, and its sums.
#ifndef AFL_PASS_H
#define AFL_PASS_H

#include "classbytes.h"
#include "finish.h"
#include "math32.h"
#include "voxels.h"

namespace afl {

// Elements are scaled by 2⁻¹², so that sums of a few large ones stay finite in
// float32. The block's float64 sum and the gradient undo it.
constexpr float element_weight = 0x1p-12f;
constexpr double element_unit = 0x1p12;

// A block's part of the batch.
struct Chunk {
	int32_t n;     // sample
	int64_t begin; // first voxel
	int32_t size;
	bool backwards; // blocks start with what the previous pass read last, which may still be cached
	const uint8_t *labels;
};

// gradient says that this is the gradient pass.
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

// The chunk's first element of channel c in the logits and in the gradient.
template <class T> AFL_DEVICE const typename T::Bits *logits_row(const AflArguments &a, const Chunk &ch, int c) {
	return (const typename T::Bits *)a.logits + (((int64_t)ch.n * a.channels + c) * a.voxels + ch.begin);
}
template <class T> AFL_DEVICE typename T::Bits *grad_row(const AflArguments &a, const Chunk &ch, int c) {
	return (typename T::Bits *)a.grad + (((int64_t)ch.n * a.channels + c) * a.voxels + ch.begin);
}

// The first channel that takes part.
AFL_DEVICE int32_t first_channel(const AflArguments &a) {
	int32_t first = a.pointwise ? a.first : a.channels;
	return a.overlap && a.overlap_first < first ? a.overlap_first : first;
}

// Writes zeros to the gradient of a channel that takes no part.
template <class T, class V> AFL_DEVICE void clear_grad(const AflArguments &a, const Chunk &ch, int c) {
	const V v = voxels_of<V>(a, ch.labels, ch.size);
	typename V::Words zeros = {};
	for (Tile tile = first_tile(v); tile.index < v.tiles; advance(v, tile))
		store(grad_row<T>(a, ch, c), v, tile, zeros);
}

// The focusing parameter of channel c, at most 2²⁴. From there on the focal factor is
// the same: 1 where the label's probability is 0 in float32, and 0 elsewhere.
AFL_DEVICE double bounded_gamma(const AflArguments &a, int n, int c) {
	double gamma = gamma_of(a, n, c);
	return gamma < 0x1p24 ? gamma : 0x1p24;
}

// The factor of the derivative of an element that is scaled by element_weight·unit.
// The scale is infinite if no voxel takes part; the gradient is 0 then.
AFL_DEVICE float gradient_unit(const AflArguments &a, int unit) {
	double scale = scale_of(a);
	return absolute(scale) < infinity() ? (float)(scale * a.grad_scale * element_unit / unit) : 0.0f;
}

// The derivative of the overlap term with respect to the probability p of a channel:
// negative + slope·p, or for voxels of its class positive − slope·(1−p). Near p = 1
// its terms may nearly cancel; `positive`, their sum at p = 1, is computed once in
// float64 rather than per voxel in float32.
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

// Zeroes the row; block_sums then fills in the sums that the loss has.
AFL_DEVICE void clear_row(const AflArguments &a, double *row) {
	for (int64_t k = thread_index(); k < afl_sums_width(a.channels); k += AFL_THREADS)
		row[k] = 0;
}

// Stores the sum of x[k] over the block's threads at sum[k·stride].
template <int count> AFL_DEVICE void block_sums(const double (&x)[count], double *sum, int64_t stride) {
	AFL_SHARED double part[WARPS][count];
	uint32_t t = thread_index();
	barrier(); // the previous call has read its parts
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

// Whether a pass sums the elements. The gradient pass, which has them at hand, does so
// if there is one, and else the reduce pass. Both take a block's voxels in the same order,
// so that the sums have the same bits.
template <bool gradient> AFL_DEVICE bool sums_elements(const AflArguments &a) { return a.pointwise && (gradient || !a.coefficients); }

// Ends a pass, given the thread's sum of elements, scaled by element_weight.
template <bool gradient> AFL_DEVICE void end_pass(const AflArguments &a, double *row, double elements) {
	if (sums_elements<gradient>(a)) {
		const double total[1] = {elements * element_unit};
		block_sums(total, row, 1);
	}
	if (gradient)
		finish_gradient(a, a.pointwise);
	else
		finish_reduce(a, sums_elements<false>(a));
}

} // namespace afl

#endif
