// The float32 passes over three or more channels by softmax. Let m be the largest
// logit, that of channel `top`, e_c = exp(x_c−m), and `others` the sum of all e_c but
// the top's, which is 1. Then p_c = e_c/(1+others), and 1−p is accurate near p = 1:
//
//	−log p_y  = (m−x_y) + log(1+others)
//	1−p_y     = others/(1+others), or 1+others−e_y instead of others
//	element   w·(1−p_y)^γ·(−log p_y)
//	gradient  B·p_c, for the class itself −B·(1−p_y),
//	          B = w·(1−p_y)^γ·(1 + γ·p_y·(−log p_y)/(1−p_y))
//	overlap   p_c·((D_c−D_top) − Σ_k p_k·(D_k−D_top)), D = ∂overlap/∂p
//
// As for a pair, logits are halved, so that the difference of two is finite.
#ifndef AFL_SOFTMAX_H
#define AFL_SOFTMAX_H

#include "pass.h"

namespace afl {

// SoftmaxChannel holds the constants of a channel: those of the pointwise term for
// voxels of its class, and those of the overlap term. The last entry of a table, all
// zeros, is for voxels that take no part.
struct SoftmaxChannel {
	float factor; // times element_weight
	float gamma;
	Split exponent; // gamma
	OverlapSlope<float> overlap;
	float align; // pads to a multiple of 16 bytes
};

// Fills the table of sample n. All threads call it.
AFL_DEVICE void softmax_table(const AflArguments &a, int n, bool gradient, SoftmaxChannel *table) {
	for (int32_t c = (int32_t)thread_index(); c <= a.channels; c += AFL_THREADS) {
		SoftmaxChannel k = {};
		if (c < a.channels && a.pointwise && c >= a.first) {
			double gamma = bounded_gamma(a, n, c);
			k.factor = (float)(pos_of(a, n, c) * 2 / element_unit);
			k.gamma = (float)gamma;
			k.exponent = split(gamma);
		}
		if (c < a.channels && gradient && a.overlap) {
			OverlapSlope<double> d = overlap_slope(a, n, c);
			k.overlap = OverlapSlope<float>{(float)d.positive, (float)d.negative, (float)d.slope};
		}
		table[c] = k;
	}
	barrier();
}

// SoftmaxVoxel holds what the channels of a voxel have in common.
struct SoftmaxVoxel {
	uint32_t label; // NO_CLASS if it takes no part
	int32_t top;
	float most;   // half the largest logit
	float others; // Σ e_c over the channels other than the top
	float e_label, below_label; // e of the class, and half of its logit minus the largest
	float scale;                // 1/(1+others); 0 if the voxel takes no part, so that every p is 0
	float miss, slope;          // 1−p_y, and B
	float top_overlap, mean;    // D_top, and Σ p_k·(D_k−D_top)
};

// Updates the running maximum with half logit x of channel c.
AFL_DEVICE void softmax_most(SoftmaxVoxel &s, int32_t c, float x) {
	s.top = x > s.most ? c : s.top;
	s.most = x > s.most ? x : s.most; // a NaN of the first channel persists
}

// e_c.
AFL_DEVICE float softmax_e(const SoftmaxVoxel &s, float x) { return exp_of<2>(at_least(x - s.most)); }

// Adds e_c = exp(2·below) of channel c to the sums; top says that c is the top.
AFL_DEVICE void softmax_add(SoftmaxVoxel &s, int32_t c, bool top, float below, float e) {
	const bool own = s.label == (uint32_t)c;
	s.others += top ? 0 : e;
	s.e_label = own ? e : s.e_label;
	s.below_label = own ? below : s.below_label;
}

// p, or p−1 for the voxel's class.
AFL_DEVICE float softmax_excess(const SoftmaxVoxel &s, int32_t c, float p) { return s.label == (uint32_t)c ? -s.miss : p; }

// D_c, given the excess of channel c.
AFL_DEVICE float softmax_overlap(const SoftmaxVoxel &s, int32_t c, float excess, const OverlapSlope<float> &k) {
	return fma(excess, k.slope, s.label == (uint32_t)c ? k.positive : k.negative);
}

// Completes a voxel's sums and returns its element, times element_weight.
AFL_DEVICE float softmax_end(SoftmaxVoxel &s, const SoftmaxChannel &own, bool pointwise, bool focal, float gradient) {
	const float z = s.label == NO_CLASS ? __builtin_inff() : 1 + s.others;
	s.scale = reciprocal_fast(z);
	const float rest = s.e_label == 1 ? s.others : 1 + (s.others - s.e_label); // all e_c but the class's; 1 is the top's
	s.miss = rest * s.scale;
	if (!pointwise)
		return 0;
	const float nll = log1p_positive<2>(s.others) - s.below_label;
	float factor = own.factor;
	s.slope = factor * gradient;
	if (focal) {
		const float normal = __builtin_fmaxf(s.miss, 0x1p-126f);
		const float p = power(normal, own.exponent);
		// −log p_y/(1−p_y); if nll is close to the largest float, p_y is 0.
		const float ratio = __builtin_fminf(nll, 0x1p126f) * reciprocal_fast(normal);
		factor *= p;
		s.slope *= p * fma(2 * own.gamma * (s.e_label * s.scale), ratio, 1);
	}
	return factor * nll;
}

// The gradient of channel c, given its probability p.
AFL_DEVICE float softmax_slope(const SoftmaxVoxel &s, int32_t c, float p, bool pointwise, bool overlap, const OverlapSlope<float> &k) {
	const float excess = softmax_excess(s, c, p);
	float slope = 0;
	if (pointwise)
		slope = s.slope * excess;
	if (overlap)
		slope = fma(p, (softmax_overlap(s, c, excess, k) - s.top_overlap) - s.mean, slope);
	return slope;
}

// The pass over `channels` channels, held in registers, so that each logit is read
// once.
template <class T, int channels, bool gradient> AFL_DEVICE void softmax_registers(const AflArguments &a) {
	typedef Voxels<T, 4 * T::per_word> V;
	const Chunk ch = chunk_of(a, gradient);
	const V v = voxels_of<V>(a, ch.labels, ch.size);
	const ClassBytes bytes = class_bytes(a);
	const bool pointwise = sums_elements<gradient>(a), overlap = a.overlap, focal = a.focal;
	const float unit = gradient_unit(a, 2);
	AFL_SHARED SoftmaxChannel table[channels + 1];
	softmax_table(a, ch.n, gradient, table);

	double elements = 0, I[channels] = {}, P[channels] = {};
	uint32_t G[channels] = {};
	for (Tile tile = first_tile(v); tile.index < v.tiles; advance(v, tile)) {
		typename V::Words x[channels];
		typename V::Labels y = {};
		AFL_UNROLL for (int c = 0; c < channels; c++)
			load_logits(logits_row<T>(a, ch, c), v, tile, x[c]);
		if (load_classes(a, bytes, ch.n, ch.begin, ch.labels, v, tile, y)) {
			AFL_UNROLL for (int c = 0; c < channels; c++)
				set_ignored<T>(x[c], y, 0);
		}
		float element_sum = 0, sum_I[channels] = {}, sum_P[channels] = {};
		AFL_ROLL for (int round = 0; round < V::rounds; round++) {
			float out[channels][4];
			AFL_UNROLL for (int c = 0; c < channels; c++) {
				widen4<T>(x[c], 0, out[c]);
				if (!gradient && overlap)
					G[c] += 4 - count_tops(bytes_other_than(y[0], c));
			}
			AFL_UNROLL for (int j = 0; j < 4; j++) {
				SoftmaxVoxel s = {};
				s.label = y[0] >> 8 * j & 0xff;
				float most = out[0][j], below[channels], p[channels];
				AFL_UNROLL for (int c = 1; c < channels; c++)
					most = __builtin_fmaxf(most, out[c][j]); // fmax drops NaN; exp brings it back below
				bool top[channels], found = false; // the first channel with the largest logit
				AFL_UNROLL for (int c = 0; c < channels; c++) {
					top[c] = out[c][j] == most && !found;
					found = found || top[c];
					below[c] = fma(0.5f, out[c][j], -0.5f * most);
					p[c] = exp_of<2>(at_least(below[c]));
					softmax_add(s, c, top[c], below[c], p[c]);
				}
				const SoftmaxChannel &own = table[s.label < channels ? s.label : channels];
				element_sum += softmax_end(s, own, pointwise, focal, unit);
				AFL_UNROLL for (int c = 0; c < channels; c++)
					p[c] *= s.scale;
				if (gradient && overlap) {
					float d[channels];
					AFL_UNROLL for (int c = 0; c < channels; c++) {
						d[c] = softmax_overlap(s, c, softmax_excess(s, c, p[c]), table[c].overlap);
						s.top_overlap = top[c] ? d[c] : s.top_overlap;
					}
					AFL_UNROLL for (int c = 0; c < channels; c++) // 0 at the top
						s.mean = fma(p[c], d[c] - s.top_overlap, s.mean);
				}
				AFL_UNROLL for (int c = 0; c < channels; c++) {
					if (gradient)
						out[c][j] = softmax_slope(s, c, p[c], pointwise, overlap, table[c].overlap);
				}
				if (!gradient && overlap) {
					AFL_UNROLL for (int c = 0; c < channels; c++) {
						sum_I[c] += s.label == (uint32_t)c ? p[c] : 0;
						sum_P[c] = fma(p[c], a.squared ? p[c] : 1, sum_P[c]);
					}
				}
			}
			AFL_UNROLL for (int c = 0; c < channels; c++) {
				if (gradient)
					round4<T>(x[c], 0, out[c]);
				rotate<V::four>(x[c]);
			}
			rotate<1>(y);
		}
		elements += element_sum;
		AFL_UNROLL for (int c = 0; c < channels; c++) {
			if (gradient)
				store(grad_row<T>(a, ch, c), v, tile, x[c]);
			I[c] += sum_I[c];
			P[c] += sum_P[c];
		}
	}
	double *row = block_row(a, ch);
	if (!gradient && overlap) {
		clear_row(a, row);
		AFL_UNROLL for (int c = 0; c < channels; c++) {
			const double sums[3] = {I[c], P[c], (double)G[c]};
			if (c >= a.overlap_first)
				block_sums(sums, row + 1 + c, a.channels);
		}
	}
	end_pass<gradient>(a, row, elements);
}

// Calls f(c, x) for every channel, with half the logits of a thread's four voxels in x,
// 0 for voxels that take no part. The next channel's logits are prefetched.
template <class T, class V, class F>
AFL_DEVICE void each_channel(const AflArguments &a, const Chunk &ch, const V &v, Tile tile, uint32_t labels, const F &f) {
	typename V::Words next;
	load_logits(logits_row<T>(a, ch, 0), v, tile, next);
	AFL_ROLL for (int32_t c = 0; c < a.channels; c++) {
		float x[4];
		widen4<T>(next, 0, x);
		if (c + 1 < a.channels)
			load_logits(logits_row<T>(a, ch, c + 1), v, tile, next);
		AFL_UNROLL for (int j = 0; j < 4; j++)
			x[j] = (labels >> 8 * j & 0xff) == NO_CLASS ? 0 : 0.5f * x[j];
		f(c, x);
	}
}

// The pass over any number of channels. It reads a tile's logits three times (for the
// maximum, the sums and the result); the last two reads hit the caches.
template <class T, bool gradient> AFL_DEVICE void softmax_memory(const AflArguments &a) {
	typedef Voxels<T, 4> V;
	const Chunk ch = chunk_of(a, gradient);
	const V v = voxels_of<V>(a, ch.labels, ch.size);
	const ClassBytes bytes = class_bytes(a);
	const bool pointwise = sums_elements<gradient>(a), overlap = a.overlap, focal = a.focal;
	const float unit = gradient_unit(a, 2);
	const int32_t thread = (int32_t)thread_index();
	AFL_SHARED SoftmaxChannel table[AFL_THREADS];
	softmax_table(a, ch.n, gradient, table);

	// Sums of 32 channels by warp. Thread c accumulates those of channel c over the tiles.
	enum { BATCH = 32 };
	AFL_SHARED float part[BATCH][3][WARPS];
	double elements = 0, I = 0, P = 0, G = 0;
	for (Tile tile = first_tile(v); tile.index < v.tiles; advance(v, tile)) {
		typename V::Labels labels = {};
		load_classes(a, bytes, ch.n, ch.begin, ch.labels, v, tile, labels);
		SoftmaxVoxel s[4] = {};
		AFL_UNROLL for (int j = 0; j < 4; j++)
			s[j].label = labels[0] >> 8 * j & 0xff;
		each_channel<T>(a, ch, v, tile, labels[0], [&](int32_t c, const float(&x)[4]) {
			AFL_UNROLL for (int j = 0; j < 4; j++) {
				if (c == 0)
					s[j].most = x[j];
				softmax_most(s[j], c, x[j]);
			}
		});
		float squares[4] = {};
		each_channel<T>(a, ch, v, tile, labels[0], [&](int32_t c, const float(&x)[4]) {
			AFL_UNROLL for (int j = 0; j < 4; j++) {
				const float e = softmax_e(s[j], x[j]);
				softmax_add(s[j], c, s[j].top == c, x[j] - s[j].most, e);
				if (gradient && overlap) {
					const float rest = s[j].top == c ? 0 : e;
					const OverlapSlope<float> k = table[c].overlap;
					s[j].mean = fma(rest, s[j].label == (uint32_t)c ? k.positive - k.slope : k.negative, s[j].mean);
					squares[j] = fma(rest * e, k.slope, squares[j]);
				}
			}
		});
		float element_sum = 0;
		AFL_UNROLL for (int j = 0; j < 4; j++) {
			SoftmaxVoxel &t = s[j];
			element_sum += softmax_end(t, table[t.label == NO_CLASS ? (uint32_t)a.channels : t.label], pointwise, focal, unit);
			if (gradient && overlap) {
				t.top_overlap = softmax_overlap(t, t.top, softmax_excess(t, t.top, t.scale), table[t.top].overlap);
				t.mean = t.scale * (fma(t.scale, squares[j], t.mean) - t.top_overlap * t.others);
			}
		}
		elements += element_sum;
		if (!gradient && !overlap)
			continue;
		each_channel<T>(a, ch, v, tile, labels[0], [&](int32_t c, const float(&x)[4]) {
			float p[4];
			AFL_UNROLL for (int j = 0; j < 4; j++)
				p[j] = softmax_e(s[j], x[j]) * s[j].scale;
			if (gradient) {
				float out[4];
				AFL_UNROLL for (int j = 0; j < 4; j++)
					out[j] = softmax_slope(s[j], c, p[j], pointwise, overlap, table[c].overlap);
				typename V::Words words;
				round4<T>(words, 0, out);
				store(grad_row<T>(a, ch, c), v, tile, words);
				return;
			}
			float own = 0, sum = 0, count = 0;
			AFL_UNROLL for (int j = 0; j < 4; j++) {
				const bool positive = s[j].label == (uint32_t)c;
				own += positive ? p[j] : 0;
				sum = fma(p[j], a.squared ? p[j] : 1, sum);
				count += positive ? 1 : 0;
			}
			const float x3 = warp_sums(own, sum, count, 0.0f);
			if (thread % 8 == 0 && thread % 32 < 24)
				part[c % BATCH][thread % 32 / 8][thread / 32] = x3;
			if (c % BATCH == BATCH - 1 || c == a.channels - 1) {
				barrier();
				if (thread <= c && thread / BATCH == c / BATCH) {
					for (int w = 0; w < WARPS; w++) {
						I += part[thread % BATCH][0][w];
						P += part[thread % BATCH][1][w];
						G += part[thread % BATCH][2][w];
					}
				}
				barrier();
			}
		});
	}
	double *row = block_row(a, ch);
	if (!gradient && overlap) {
		clear_row(a, row);
		barrier();
		if (a.overlap_first <= thread && thread < a.channels) {
			row[at_I(thread)] = I;
			row[at_P(a, thread)] = P;
			row[at_G(a, thread)] = G;
		}
	}
	end_pass<gradient>(a, row, elements);
}

} // namespace afl

#endif
