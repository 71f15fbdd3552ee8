// The float32 passes over logits with a logistic probability p = σ(x): any number of
// channels by sigmoid, and two channels by softmax, where the second has p = σ(x₁−x₀)
// and the first 1−p.
//
// Let z = −x for voxels of the channel's class and z = x for the others, so that
// σ(z) = 1−p_t, let w be the factor of such voxels, and e = exp(−|x|):
//
//	−log p_t  = softplus(z) = max(0,z) + log(1+e)
//	element   w·(1−p_t)^γ·(−log p_t)
//	gradient  ∓w·(1−p_t)^γ·((1−p_t) + γ·p_t·(−log p_t)) + p·(1−p)·∂overlap/∂p
//
// The difference of two finite logits may overflow; half of it does not. A pair is
// therefore computed with x/2, and `unit`, 2 for a pair and 1 otherwise, is the factor
// by which x and all logarithms are scaled down.
#ifndef AFL_LOGISTIC_H
#define AFL_LOGISTIC_H

#include "pass.h"

namespace afl {

// LogisticChannel holds the constants of a channel, or of channel 1 of a pair, whose
// negative voxels are the positive ones of channel 0.
struct LogisticChannel {
	uint32_t positive;                // class
	float pos, neg;                   // factors of positive and negative voxels, times element_weight
	float gradient;                   // gradient_unit
	float pos_gamma, neg_gamma;       // times unit; equal unless it is a pair
	float pos_exponent, neg_exponent; // gamma times unit times log₂ e
	OverlapSlope<float> overlap;      // with respect to p, for both channels of a pair
};

template <bool pair> AFL_DEVICE LogisticChannel logistic_channel(const AflArguments &a, int n, int c, bool gradient) {
	constexpr int unit = pair ? 2 : 1;
	LogisticChannel k = {};
	k.positive = a.channels == 1 ? 1 : (uint32_t)c;
	if (a.pointwise && c >= a.first) {
		double pos = pos_of(a, n, c), neg = 0;
		double gamma = bounded_gamma(a, n, c), neg_gamma = gamma;
		if (!pair) {
			pos *= channel_of(a, c).ce;
			neg = neg_of(a, n, c);
		} else if (a.first == 0) {
			neg = pos_of(a, n, 0);
			neg_gamma = bounded_gamma(a, n, 0);
		}
		k.pos = (float)(pos * unit / element_unit);
		k.neg = (float)(neg * unit / element_unit);
		k.pos_gamma = (float)(gamma * unit);
		k.neg_gamma = (float)(neg_gamma * unit);
		k.pos_exponent = (float)(gamma * unit * log2e);
		k.neg_exponent = (float)(neg_gamma * unit * log2e);
		k.gradient = gradient_unit(a, unit);
	}
	if (gradient && a.overlap) {
		OverlapSlope<double> d = overlap_slope(a, n, c);
		if (pair) { // p₀ = 1−p
			OverlapSlope<double> d0 = overlap_slope(a, n, 0);
			d = OverlapSlope<double>{d.positive - d0.negative, d.negative - d0.positive, d.slope + d0.slope};
		}
		k.overlap = OverlapSlope<float>{(float)d.positive, (float)d.negative, (float)d.slope};
	}
	return k;
}

// A thread's sums over a tile; I0 and P0 are those of channel 0 of a pair.
struct LogisticSums {
	float elements;     // times element_weight
	float I, P, I0, P0; // of an overlap term
};

// The terms of a loss: whether there is a pointwise term and a focal factor in it, and
// whether an overlap term sums p or p².
enum PointwiseTerm { NO_POINTWISE, CROSS_ENTROPY, FOCAL };
enum OverlapTerm { NO_OVERLAP, OVERLAP_OF_P, OVERLAP_OF_SQUARES };

// logistic4 processes four of a thread's voxels, from index `from` on. x holds their
// logits of the channel (of channel 1 of a pair), x0 those of channel 0 of a pair, and
// y their classes. It replaces the logits by the gradient, or adds to the sums.
//
// A voxel that takes no part, which `ignored` says there may be, has a logit far below 0
// and another class, so that it contributes 0 everywhere except to sums of 1−p, which only
// channel 0 of a pair has.
template <class T, bool pair, bool gradient, PointwiseTerm pointwise, OverlapTerm overlap, int words>
AFL_DEVICE void logistic4(const LogisticChannel &k, bool ignored, int from, uint32_t y, uint32_t (&x)[words], uint32_t (&x0)[words],
	LogisticSums &sums) {
	constexpr int unit = pair ? 2 : 1;
	float value[4], value0[4], slope[4]; // slope: of the loss with respect to the logit
	widen4<T>(x, from, value);
	if (pair)
		widen4<T>(x0, from, value0);
	const uint32_t others = bytes_other_than(y, k.positive);
	AFL_UNROLL for (int i = 0; i < 4; i++) {
		const bool positive = (others & 0x80u << 8 * i) == 0;
		const float logit = pair ? value[i] - value0[i] : value[i]; // may be infinite, unlike the half of it
		if (pair)
			value[i] = fma(-0.5f, value0[i], 0.5f * value[i]);
		const float distance = at_least(-absolute(logit)); // log-odds of the less likely class
		const float e = exp_of<1>(distance);
		float large = reciprocal_fast(1 + e), small = e * large;
		const bool below = logit < 0, hit = below != positive; // hit: the voxel's class is the likelier one
		slope[i] = 0;
		if (overlap && !gradient) {
			if (pair && ignored && (y >> 8 * i & 0xff) == NO_CLASS)
				large = small = 0;
			const float p = below ? small : large, q = below ? large : small;
			sums.I += positive ? p : 0;
			sums.P = overlap == OVERLAP_OF_SQUARES ? fma(p, p, sums.P) : sums.P + p;
			if (pair) {
				sums.I0 += positive ? 0 : q;
				sums.P0 = overlap == OVERLAP_OF_SQUARES ? fma(q, q, sums.P0) : sums.P0 + q;
			}
		}
		const float miss = hit ? small : large;
		if (overlap && gradient) {
			float d = positive ? k.overlap.positive : k.overlap.negative;
			if (overlap == OVERLAP_OF_SQUARES)
				d = fma(miss, positive ? -k.overlap.slope : k.overlap.slope, d);
			slope[i] = d * (small * large);
		}
		if (pointwise) {
			// The element is factor·nll, the slope ∓factor·bracket.
			float factor = positive ? k.pos : k.neg, bracket = miss;
			const float l = log1p_upto1<unit>(e), nll = l + (hit ? 0 : absolute(value[i]));
			if (pointwise == FOCAL) {
				const float log_miss = (hit ? distance * (1.0f / unit) : 0) - l;
				factor *= exp2_product(pair && !positive ? k.neg_exponent : k.pos_exponent, log_miss);
				bracket = fma((hit ? large : small) * (pair && !positive ? k.neg_gamma : k.pos_gamma), nll, bracket);
			}
			sums.elements = fma(factor, nll, sums.elements);
			slope[i] = fma(factor * bracket, positive ? -k.gradient : k.gradient, slope[i]);
		}
	}
	if (gradient) {
		round4<T>(x, from, slope);
		if (pair)
			negate4<T>(x0, from, x);
	}
}

// logistic_terms processes the block's chunk channel by channel, for a loss with the
// given terms, and returns the thread's sum of elements.
template <class T, bool pair, bool gradient, PointwiseTerm pointwise, OverlapTerm overlap>
AFL_DEVICE double logistic_terms(const AflArguments &a, const Chunk &ch, double *row) {
	typedef Voxels<T, 8> V;
	const V v = voxels_of<V>(a, ch.labels, ch.size);
	const ClassBytes bytes = class_bytes(a);
	double elements = 0;
	for (int32_t c = pair ? 1 : first_channel(a); c < a.channels; c++) {
		AFL_SHARED LogisticChannel constants; // computed once: float64 is slow on many GPUs
		barrier();
		if (thread_index() == 0)
			constants = logistic_channel<pair>(a, ch.n, c, gradient);
		barrier();
		const LogisticChannel k = constants;

		const typename T::Bits *logits = logits_row<T>(a, ch, c), *logits0 = logits_row<T>(a, ch, 0);
		typename T::Bits *grad = grad_row<T>(a, ch, c), *grad0 = grad_row<T>(a, ch, 0);
		double I = 0, P = 0, I0 = 0, P0 = 0;
		uint32_t G = 0, G0 = 0;
		for (Tile tile = first_tile(v); tile.index < v.tiles; advance(v, tile)) {
			typename V::Words x = {}, x0 = {};
			typename V::Labels y = {};
			bool classes = false, ignored = false;
			if (tile.wide) {
				load_wide(logits, v, tile, x);
				if (pair)
					load_wide(logits0, v, tile, x0);
				classes = load_labels(bytes, ch.labels, v, tile, y);
			}
			if (!classes) {
				if (!tile.wide) {
					load_each(logits, v, tile, x);
					if (pair)
						load_each(logits0, v, tile, x0);
				}
				ignored = classify(a, bytes, ch.n, ch.begin, ch.labels, v, tile, y);
				if (ignored) {
					set_ignored<T>(x, y, T::far_below);
					set_ignored<T>(x0, y, 0);
				}
			}
			LogisticSums sums = {};
			AFL_UNROLL for (int round = 0; round < V::rounds; round++) {
				logistic4<T, pair, gradient, pointwise, overlap>(k, ignored, 4 * round, y[round], x, x0, sums);
				if (overlap && !gradient) {
					G += 4 - count_tops(bytes_other_than(y[round], k.positive));
					if (pair)
						G0 += 4 - count_tops(bytes_other_than(y[round], 0));
				}
			}
			elements += sums.elements;
			if (gradient) {
				store(grad, v, tile, x);
				if (pair)
					store(grad0, v, tile, x0);
			}
			I += sums.I;
			P += sums.P;
			I0 += sums.I0;
			P0 += sums.P0;
		}
		if (overlap && !gradient) {
			const double channel[3] = {I, P, (double)G}, channel0[3] = {I0, P0, (double)G0};
			if (c >= a.overlap_first)
				block_sums(channel, row + 1 + c, a.channels);
			if (pair && a.overlap_first == 0)
				block_sums(channel0, row + 1, a.channels);
		}
	}
	return elements;
}

template <class T, bool pair, bool gradient, PointwiseTerm pointwise>
AFL_DEVICE double logistic_overlap(const AflArguments &a, const Chunk &ch, double *row) {
	if constexpr (pointwise != NO_POINTWISE)
		if (!a.overlap)
			return logistic_terms<T, pair, gradient, pointwise, NO_OVERLAP>(a, ch, row);
	if (a.squared)
		return logistic_terms<T, pair, gradient, pointwise, OVERLAP_OF_SQUARES>(a, ch, row);
	return logistic_terms<T, pair, gradient, pointwise, OVERLAP_OF_P>(a, ch, row);
}

template <class T, bool pair, bool gradient> AFL_DEVICE void logistic_pass(const AflArguments &a) {
	const Chunk ch = chunk_of(a, gradient);
	double *row = block_row(a, ch);
	if (!gradient && a.overlap)
		clear_row(a, row);
	double elements = 0;
	if (!sums_elements<gradient>(a))
		logistic_overlap<T, pair, gradient, NO_POINTWISE>(a, ch, row);
	else if (a.focal)
		elements = logistic_overlap<T, pair, gradient, FOCAL>(a, ch, row);
	else
		elements = logistic_overlap<T, pair, gradient, CROSS_ENTROPY>(a, ch, row);
	if (gradient && !pair)
		for (int32_t c = 0; c < first_channel(a); c++)
			clear_grad<T, Voxels<T, 8>>(a, ch, c);
	end_pass<gradient>(a, row, elements);
}

} // namespace afl

#endif
