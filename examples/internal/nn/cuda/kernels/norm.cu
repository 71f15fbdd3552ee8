// Norms: moments, and the gradients, also of a norm with the activation behind it. The
// normalized volume is a term, see term.cu.
#include "rows.h"
#include "stop.h"
#include "term.h"

namespace afl {

AFL_DEVICE int64_t group_of(const AflNorm &a, int64_t n, int64_t c) {
	return a.batch ? c : n * (a.rows.channels / a.group_channels) + c / a.group_channels;
}

// The planes (channels of a sample) of group g: `count` ones, the k-th of which is plane(k).
struct Planes {
	int64_t count, first, step;
	AFL_MEMBER int64_t plane(int64_t k) const { return first + k * step; }
};

AFL_DEVICE Planes planes_of(const AflNorm &a, int64_t g) {
	if (a.batch)
		return Planes{a.rows.samples, g, a.rows.channels};
	return Planes{a.group_channels, g * a.group_channels, 1};
}

AFL_DEVICE double weight_of(const AflNorm &a, int64_t c) { return a.weight ? (double)a.weight[c] : 1; }

// The normalizer of channel c: (x − mean)·scale·weight + bias.
AFL_DEVICE AflNormalizer normalizer_of(const AflNorm &a, double mean, double scale, int64_t c) {
	const double factor = scale * weight_of(a, c);
	const float m = (float)mean;
	return AflNormalizer{m, (float)(mean - m), (float)factor, (float)((a.bias ? a.bias[c] : 0) - (mean - m) * factor)};
}

} // namespace afl

// Partial sums of x, and of the squared differences from the mean of the block's rows, which
// the second loop finds in the cache.
AFL_KERNEL_OF(AflNorm, afl_nn_norm_moments, 4) {
	const afl::RowRange r = afl::row_range(a.rows);
	const float *x = a.rows.x;
	double sum[1] = {};
	afl::add_rows(r, sum, [&](int64_t row, afl::Sum (&part)[1]) { part[0].add(x[row * a.rows.channels + r.channel]); });
	afl::add_lanes(r, sum);
	const int64_t begin = r.chunk * a.rows.chunk, left = a.rows.voxels - begin;
	const double count = (double)(left < a.rows.chunk ? left : a.rows.chunk), mean = sum[0] / count;
	AFL_SHARED float center[AFL_THREADS];
	if (r.lane == 0)
		center[afl::thread_index()] = (float)mean;
	afl::barrier();
	const float m = center[afl::thread_index() % r.width];
	double squares[1] = {};
	afl::add_rows(r, squares, [&](int64_t row, afl::Sum (&part)[1]) {
		const float d = x[row * a.rows.channels + r.channel] - m;
		part[0].add_product(d, d);
	});
	afl::add_lanes(r, squares);
	const double off = mean - m; // the rounding error of the center
	const double sums[2] = {sum[0], squares[0] - count * off * off};
	afl::store_partials(a.rows, r, sums);
}

// The mean and the scale of a group, and the normalizers of its planes, by a block. Variances of
// parts are combined by the differences of their means.
AFL_KERNEL_OF(AflNorm, afl_nn_norm_statistics, 4) {
	const int64_t g = afl::block_index(), parts = a.rows.chunks;
	const afl::Planes planes = afl::planes_of(a, g);
	auto add = [&](auto f) {
		double sum = 0;
		for (int64_t i = afl::thread_index(); i < planes.count * parts; i += AFL_THREADS) {
			const int64_t plane = planes.plane(i / parts), j = i % parts, n = plane / a.rows.channels, c = plane % a.rows.channels;
			const int64_t left = a.rows.voxels - j * a.rows.chunk;
			const double *p = a.rows.partials + ((n * parts + j) * a.rows.channels + c) * 2;
			sum += f(p[0], p[1], (double)(left < a.rows.chunk ? left : a.rows.chunk));
		}
		return afl::block_sum(sum);
	};
	const double mean = add([](double sum, double, double) { return sum; }) / a.values;
	const double variance = add([&](double sum, double squares, double count) {
		const double d = sum / count - mean;
		return squares + count * d * d;
	}) / a.values;
	const double scale = 1 / afl::square_root(variance + a.epsilon);
	for (int64_t k = afl::thread_index(); k < planes.count; k += AFL_THREADS) {
		const int64_t plane = planes.plane(k);
		a.norm[plane] = afl::normalizer_of(a, mean, scale, plane % a.rows.channels);
	}
	if (afl::thread_index() != 0)
		return;
	a.statistics[2 * g] = mean;
	a.statistics[2 * g + 1] = scale;
	if (a.running_mean && !afl::stopped(a.stop)) {
		const double unbiased = variance * a.values / (a.values - 1);
		a.running_mean[g] = (float)((1 - a.momentum) * a.running_mean[g] + a.momentum * mean);
		a.running_var[g] = (float)((1 - a.momentum) * a.running_var[g] + a.momentum * unbiased);
	}
}

// The statistics and the normalizers of a batch norm from the running statistics.
AFL_KERNEL_OF(AflNorm, afl_nn_norm_running, 4) {
	const int64_t c = (int64_t)afl::block_index() * AFL_THREADS + afl::thread_index();
	if (c >= a.rows.channels)
		return;
	const double mean = a.running_mean[c], scale = 1 / afl::square_root((double)a.running_var[c] + a.epsilon);
	a.statistics[2 * c] = mean;
	a.statistics[2 * c + 1] = scale;
	for (int64_t n = 0; n < a.rows.samples; n++)
		a.norm[n * a.rows.channels + c] = afl::normalizer_of(a, mean, scale, c);
}

namespace afl {

// Partial sums of h and h·(x − mean), and of the gradient of a slope where K is 3.
template <int K> AFL_DEVICE void norm_gradient_sums(const AflNorm &a) {
	const RowRange r = row_range(a.rows);
	const AflNormalizer norm = a.norm[r.sample * a.rows.channels + r.channel];
	const Activation act = activation_of(a.act, r.channel);
	double sums[K] = {};
	add_rows(r, sums, [&](int64_t row, Sum (&part)[K]) {
		const int64_t i = row * a.rows.channels + r.channel;
		const float x = a.rows.x[i], g = a.rows.g[i], y = normalized(norm, x), h = act.gradient(y, g);
		part[0].add(h);
		part[1].add_product(h, x - norm.mean - norm.low);
		if constexpr (K == 3)
			part[2].add_product(g, y > 0 ? 0 : y);
	});
	add_lanes(r, sums);
	store_partials(a.rows, r, sums);
}

} // namespace afl

AFL_KERNEL_OF(AflNorm, afl_nn_norm_gradient_sums, 4) {
	if (a.sums == 3)
		afl::norm_gradient_sums<3>(a);
	else
		afl::norm_gradient_sums<2>(a);
}

// The sums of a plane, by a block.
AFL_KERNEL_OF(AflNorm, afl_nn_norm_plane_sums, 4) {
	const int64_t plane = afl::block_index(), n = plane / a.rows.channels, c = plane % a.rows.channels;
	for (int64_t k = 0; k < a.sums; k++) {
		double sum = 0;
		for (int64_t j = afl::thread_index(); j < a.rows.chunks; j += AFL_THREADS)
			sum += a.rows.partials[((n * a.rows.chunks + j) * a.rows.channels + c) * a.sums + k];
		sum = afl::block_sum(sum);
		if (afl::thread_index() == 0)
			a.planes[a.sums * plane + k] = sum;
	}
}

// The gradient of a slope, of one channel or of all, by a block.
AFL_KERNEL_OF(AflNorm, afl_nn_norm_slopes, 4) {
	const int64_t planes = a.rows.samples * a.rows.channels, step = a.act.slopes;
	double sum = 0;
	for (int64_t plane = afl::block_index() + afl::thread_index() * step; plane < planes; plane += AFL_THREADS * step)
		sum += a.planes[a.sums * plane + 2];
	sum = afl::block_sum(sum);
	if (afl::thread_index() == 0)
		a.slope_gradient[afl::block_index()] = (float)sum;
}

// The means of weight·h and weight·h·(x − mean) of a group, by a thread.
AFL_KERNEL_OF(AflNorm, afl_nn_norm_group_means, 4) {
	const int64_t g = (int64_t)afl::block_index() * AFL_THREADS + afl::thread_index();
	if (g >= a.groups)
		return;
	const afl::Planes planes = afl::planes_of(a, g);
	double sums[2] = {};
	for (int64_t k = 0; k < planes.count; k++) {
		const int64_t plane = planes.plane(k);
		const double w = afl::weight_of(a, plane % a.rows.channels);
		sums[0] += w * a.planes[a.sums * plane];
		sums[1] += w * a.planes[a.sums * plane + 1];
	}
	a.means[2 * g] = sums[0] / a.values;
	a.means[2 * g + 1] = sums[1] / a.values;
}

// The gradients of weight and bias of a channel, by a thread.
AFL_KERNEL_OF(AflNorm, afl_nn_norm_parameters, 4) {
	const int64_t c = (int64_t)afl::block_index() * AFL_THREADS + afl::thread_index();
	if (c >= a.rows.channels)
		return;
	double weight = 0, bias = 0;
	for (int64_t n = 0; n < a.rows.samples; n++) {
		const double *p = a.planes + a.sums * (n * a.rows.channels + c);
		bias += p[0];
		weight += p[1] * a.statistics[2 * afl::group_of(a, n, c) + 1];
	}
	if (a.weight_gradient)
		a.weight_gradient[c] = (float)weight;
	if (a.bias_gradient)
		a.bias_gradient[c] = (float)bias;
}

// The gradient of x, scale·(w·h − mean(w·h) − x̂·mean(w·h·x̂)), or scale·w·h if the statistics
// are fixed. It is computed in float64: the gradient of a bias before the norm is the sum of
// these values, in which they cancel to zero.
AFL_KERNEL_OF(AflNorm, afl_nn_norm_gradient, 4) {
	const afl::RowRange r = afl::row_range(a.rows);
	const int64_t group = afl::group_of(a, r.sample, r.channel);
	const AflNormalizer norm = a.norm[r.sample * a.rows.channels + r.channel];
	const afl::Activation act = afl::activation_of(a.act, r.channel);
	const double mean = a.statistics[2 * group], scale = a.statistics[2 * group + 1];
	const double factor = scale * afl::weight_of(a, r.channel);
	const double shift = a.fixed ? 0 : scale * a.means[2 * group], slope = a.fixed ? 0 : scale * scale * scale * a.means[2 * group + 1];
	afl::map_gradients(a.rows, r, a.rows.x, [&](float x, float g) {
		const float h = act.gradient(afl::normalized(norm, x), g);
		return (float)(factor * h - shift - slope * (x - mean));
	});
}
