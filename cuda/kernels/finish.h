// The end of a pass: its last block adds up the sums of all blocks and computes from
// them the loss and, for an overlap term, the coefficients of its gradient. So a loss
// needs no kernel between its passes and no host synchronization.
#ifndef AFL_FINISH_H
#define AFL_FINISH_H

#include "block.h"
#include "factors.h"
#include "reject.h"

namespace afl {

// The ratio of a group and its derivatives with respect to the sums I and P.
struct Ratio {
	double f, dI, dP;
};

// quotient returns 1 − num/den and its derivatives. 0/0, which remains if the
// smoothing is 0 and both masks are empty, counts as perfect agreement. If both masks
// are nearly empty the derivatives could overflow and are 0. den may be negative
// if logits that are not probabilities are taken as such.
AFL_DEVICE Ratio quotient(double num, double den, double num_I, double den_I, double den_P) {
	if (den == 0)
		return Ratio{0, 0, 0};
	double r = num / den;
	if (absolute(den) < 1e-290)
		return Ratio{1 - r, 0, 0};
	return Ratio{1 - r, (r * den_I - num_I) / den, r * den_P / den};
}

// log_cosh_of returns log cosh f.
AFL_DEVICE Ratio log_cosh_of(const Ratio &r) {
	const double f = absolute(r.f), e = exp(-2 * f);
	const double slope = r.f < 0 ? (e - 1) / (1 + e) : (1 - e) / (1 + e); // tanh f
	const double ln2 = 0x1.62e42fefa39efp-1;
	return Ratio{f - ln2 + log1p(e), slope * r.dI, slope * r.dP};
}

// ratio_of returns f^exponent or log cosh f of one group, for Dice, Jaccard and Tversky. If f is 0,
// a perfect prediction, or negative, from rounding or with nr > dr, the power and its
// derivatives are 0, also for exponents below 1.
AFL_DEVICE Ratio ratio_of(const AflArguments &a, double exponent, double I, double P, double G) {
	Ratio r;
	if (a.overlap == AFL_OVERLAP_TVERSKY)
		r = quotient(I + a.nr, I + a.alpha * (P - I) + a.beta * (G - I) + a.dr, 1, 1 - a.alpha - a.beta, a.alpha);
	else if (a.jaccard)
		r = quotient(2 * I + a.nr, 2 * (G + P - I) + a.dr, 2, -2, 2);
	else
		r = quotient(2 * I + a.nr, G + P + a.dr, 2, 0, 1);
	if (a.log_cosh)
		return log_cosh_of(r);
	if (exponent == 1)
		return r;
	if (r.f <= 0)
		return Ratio{0, 0, 0};
	const double slope = exponent * pow(r.f, exponent - 1);
	return Ratio{pow(r.f, exponent), slope * r.dI, slope * r.dP};
}

// Columns of the sums of channel c, see afl_sums_width.
AFL_DEVICE int64_t at_I(int c) { return 1 + c; }
AFL_DEVICE int64_t at_P(const AflArguments &a, int c) { return 1 + a.channels + c; }
AFL_DEVICE int64_t at_G(const AflArguments &a, int c) { return 1 + 2 * (int64_t)a.channels + c; }
AFL_DEVICE int64_t at_upstream(const AflArguments &a, int c) { return 1 + 3 * (int64_t)a.channels + c; }

// The number of ranges of blocks that are summed together: samples, or the batch.
AFL_DEVICE int32_t sum_groups(const AflArguments &a) { return a.overlap && a.batch ? 1 : a.samples; }

// Sum k of range m, after sum_partials.
AFL_DEVICE double sum_of_group(const AflArguments &a, int64_t m, int64_t k) {
	return total_of(a, afl_sums_width(a.channels), sum_groups(a), m, k);
}

// put writes the coefficients of channel c for all samples of range m.
AFL_DEVICE void put(const AflArguments &a, int64_t m, int32_t c, double coef_T, double coef_P, double offset) {
	if (!a.coefficients)
		return;
	const int64_t all = (int64_t)a.samples * a.channels;
	const int64_t begin = a.batch ? 0 : m, end = a.batch ? a.samples : m + 1;
	for (int64_t n = begin; n < end; n++) {
		double *p = a.coefficients + n * a.channels + c;
		p[0] = coef_T;
		p[all] = coef_P;
		p[2 * all] = offset;
	}
}

// generalized_group computes group m of the generalized Dice loss on one warp, in
// which each lane takes every 32nd channel, and returns its value.
//
//	f = 1 − (2Σ w·I + nr) / (Σ w·(G+P) + dr)
AFL_DEVICE double generalized_group(const AflArguments &a, int64_t m, double factor) {
	const int32_t first = a.overlap_first + thread_index() % 32;
	// 1/G², 1/G or 1; an empty class gets the largest weight of the other classes.
	auto weight = [&](int32_t c) {
		double G = sum_of_group(a, m, at_G(a, c));
		return a.weighting == AFL_WEIGHT_SQUARE ? 1 / (G * G) : a.weighting == AFL_WEIGHT_SIMPLE ? 1 / G : 1.0;
	};
	double largest = 0;
	for (int32_t c = first; c < a.channels; c += 32) {
		double w = weight(c);
		if (absolute(w) < infinity())
			largest = maximum(largest, w);
	}
	for (int mask = 16; mask > 0; mask /= 2)
		largest = maximum(largest, shuffle_xor(largest, mask));
	auto weighted = [&](int32_t c) {
		double w = weight(c);
		return (absolute(w) == infinity() ? largest : w) * channel_of(a, c).overlap;
	};
	double num = 0, den = 0;
	for (int32_t c = first; c < a.channels; c += 32) {
		double w = weighted(c);
		num += 2 * w * sum_of_group(a, m, at_I(c));
		den += w * (sum_of_group(a, m, at_G(a, c)) + sum_of_group(a, m, at_P(a, c)));
	}
	num = a.nr + warp_sum(num);
	den = a.dr + warp_sum(den);
	double u = factor * a.grad_scale;
	if (a.groups_upstream)
		u *= a.groups_upstream[m];
	for (int32_t c = first; c < a.channels; c += 32) {
		double w = weighted(c);
		Ratio r = quotient(num, den, 2 * w, 0, w);
		put(a, m, c, u * r.dI, u * r.dP, 0);
	}
	return quotient(num, den, 0, 0, 0).f;
}

// finish_overlap writes the groups and coefficients of the overlap term and returns
// its reduced value, in every thread.
AFL_DEVICE double finish_overlap(const AflArguments &a) {
	const uint32_t thread = thread_index();
	const int64_t samples = a.batch ? 1 : a.samples;
	const int32_t active = a.channels - a.overlap_first; // channels that take part
	const bool generalized = a.overlap == AFL_OVERLAP_GENERALIZED_DICE;
	const int64_t count = generalized ? samples : samples * active;
	const double factor = a.mean ? a.overlap_scale / (double)count : a.overlap_scale;

	for (int64_t i = thread; i < samples * a.overlap_first; i += AFL_THREADS)
		put(a, i / a.overlap_first, (int32_t)(i % a.overlap_first), 0, 0, 0);
	double total = 0;
	if (generalized) {
		for (int64_t m = thread / 32; m < samples; m += WARPS) {
			double f = generalized_group(a, m, factor);
			if (thread % 32 != 0)
				continue;
			total += f;
			if (a.groups)
				a.groups[m] = a.overlap_scale * f;
		}
		return block_sum(total) * factor;
	}
	for (int64_t i = thread; i < count; i += AFL_THREADS) {
		const int64_t m = i / active;
		const int32_t c = a.overlap_first + (int32_t)(i % active);
		const AflChannel k = channel_of(a, c);
		Ratio r = ratio_of(a, k.exponent, sum_of_group(a, m, at_I(c)), sum_of_group(a, m, at_P(a, c)), sum_of_group(a, m, at_G(a, c)));
		const double w = k.overlap, v = w * r.f;
		total += v;
		if (a.groups)
			a.groups[i] = a.overlap_scale * v;
		double u = factor * a.grad_scale, offset = 0;
		if (a.elements) {
			// The group is added to each of its elements, so their upstream gradients add up.
			u *= sum_of_group(a, m, at_upstream(a, c));
			offset = a.overlap_scale * v;
		} else if (a.groups_upstream) {
			u *= a.groups_upstream[i];
		}
		put(a, m, c, u * (w * r.dI), u * (w * r.dP), offset);
	}
	return block_sum(total) * factor;
}

// finish_sums is the last block's work: the sum of the elements, if `pointwise`, and the
// overlap term, if `overlap`. a is in shared memory.
AFL_OUT_OF_LINE void finish_sums(const AflArguments &a, bool pointwise, bool overlap) {
	AFL_SHARED int rejected;
	if (thread_index() == 0)
		rejected = a.status && finish_rejections(a);
	barrier();
	if (!a.value && !overlap)
		return;
	const int64_t width = afl_sums_width(a.channels);
	int64_t columns = 1; // needed ones; the order of a sum depends on it, so it is the same in both passes
	if (a.overlap)
		columns = a.elements ? width : at_upstream(a, 0);
	sum_partials(a, width, columns, sum_groups(a));
	double value = 0;
	if (pointwise && a.value) {
		double sum = 0;
		for (int32_t g = thread_index(); g < sum_groups(a); g += AFL_THREADS)
			sum += sum_of_group(a, g, 0);
		value = scale_of(a) * block_sum(sum);
	}
	if (overlap)
		value += finish_overlap(a);
	else if (a.overlap && a.value)
		value += *a.value; // by the reduce pass; NaN if an element was rejected
	if (a.value && thread_index() == 0)
		*a.value = rejected ? not_a_number() : value;
}

// finish_reduce ends a reduce pass: all threads of all blocks call it after writing
// their block's sums to a.partials[block·afl_sums_width(C) + k]. The sums of the
// upstream gradient may be missing if a.elements is null, and all but the pointwise
// sum if there is no overlap term. `pointwise` says that the pointwise sum is there; else
// the gradient pass adds it.
AFL_DEVICE void finish_reduce(const AflArguments &a, bool pointwise) {
	if (last_block(a))
		finish_sums(shared_arguments(a), pointwise, a.overlap);
}

// finish_gradient ends a gradient pass likewise. With an overlap term the reduce pass
// has finished everything but the pointwise sum, unless `pointwise` is false; without one,
// the pointwise sum is needed if a.value is not null.
AFL_DEVICE void finish_gradient(const AflArguments &a, bool pointwise) {
	if ((!a.overlap || (pointwise && a.value)) && last_block(a))
		finish_sums(shared_arguments(a), pointwise, false);
}

} // namespace afl

#endif
