// The passes for what those of logistic.h and softmax.h do not serve: target maps, voxel
// weights, un-reduced losses, label smoothing, a softmax without the background or of a
// single channel, probabilities in place of logits, terms of different activations, more
// classes than a byte can name, and float64 logits. All losses and types of targets share
// them; the types of a target and the terms of a loss are branches that all threads take
// alike.
//
// They compute in float32, for float64 logits in float64. A block whose float32 results are
// not finite, or whose weights or factors are so small or large that products could leave
// the range of float32, computes its chunk again in float64, as the CPU does.
//
// A thread computes four voxels at a time in float32 and one in float64, channel by
// channel; repeated reads of a tile hit the caches. With a softmax, let d_k be the
// derivative of a voxel's terms with respect to log p_k. The gradient of channel c is
//
//	d_c·(1−p_c) − p_c·Σ_{k≠c} d_k
//
// where both 1−p_c and the sum are taken without cancellation: for the channel with the
// largest logit they are sums over the other channels, and for the others p_c ≤ ½.
#ifndef AFL_GENERAL_H
#define AFL_GENERAL_H

#include "group.h"
#include "real.h"

namespace afl {

// GeneralChannel holds the constants of a channel.
template <class Real> struct GeneralChannel {
	Real pos, neg, ce;      // of the pointwise term by sigmoid
	Real target, uniform;   // by softmax an element has the factor target·t + uniform
	Real scale, pull;       // factors of every element and of its derivative
	Real by_T, plain, by_P; // the overlap term's derivative with respect to p is by_T·t + plain + by_P·p
	Real offset;            // added to each element
	Exponent<Real> exponent;
};
static_assert(sizeof(GeneralChannel<double>) == 8 * AFL_GENERAL_CONSTANTS);

// general_channel returns the constants of channel c. It clears fits if one is outside the
// range of Real.
template <class Real> AFL_DEVICE GeneralChannel<Real> general_channel(const AflArguments &a, int n, int c, bool gradient, bool &fits) {
	GeneralChannel<Real> k = {};
	auto set_to = [&](Real &to, double x) {
		to = (Real)x;
		fits = fits && (absolute((double)to) < infinity() || !(absolute(x) < infinity()));
	};
	auto factor = [&](Real &to, double x) {
		set_to(to, x);
		fits = fits && is_moderate<Real>(x);
	};
	if (a.pointwise && c >= a.first) {
		const double pos = pos_of(a, n, c), scale = scale_of(a);
		factor(k.pos, pos);
		factor(k.neg, neg_of(a, n, c));
		factor(k.ce, channel_of(a, c).ce);
		set_to(k.target, pos * (1 - a.smoothing));
		set_to(k.uniform, pos * a.smoothing / a.channels);
		set(k.exponent, gamma_of(a, n, c));
		if (absolute(scale) < infinity()) { // else no voxel takes part
			factor(k.scale, scale);
			factor(k.pull, gradient ? scale * a.grad_scale : 0);
		}
	}
	if (gradient && a.overlap && c >= a.overlap_first) {
		const double *coefficients = a.coefficients + (int64_t)n * a.channels + c;
		const int64_t all = (int64_t)a.samples * a.channels;
		const double by_P = load_constant(coefficients + all);
		set_to(k.by_T, load_constant(coefficients));
		set_to(k.plain, a.squared ? 0 : by_P);
		set_to(k.by_P, a.squared ? 2 * by_P : 0);
		k.offset = (Real)load_constant(coefficients + 2 * all);
	}
	return k;
}

// A logistic probability.
template <class Real> struct Logistic {
	Real p, q;                        // σ(x) and 1−p = σ(−x)
	Real softplus, softplus_negative; // −log q and −log p
};

// The logarithms are left out unless they are needed.
template <class Real> AFL_DEVICE Logistic<Real> logistic_of(Real x, bool logarithms) {
	const Real e = exp_negative(-absolute(x));
	const Real large = reciprocal(1 + e), small = e * large;
	Logistic<Real> l = x < 0 ? Logistic<Real>{small, large, 0, 0} : Logistic<Real>{large, small, 0, 0};
	if (logarithms) {
		const Real log = log1p_up_to_1(e);
		l.softplus = x < 0 ? log : x + log;
		l.softplus_negative = x < 0 ? log - x : log;
	}
	return l;
}

// An element and its derivative, by sigmoid with respect to the logit and by softmax with
// respect to log p.
template <class Real> struct Element {
	Real f, df;
};

// sigmoid_element returns, with s = 2t−1, b = ce·t·softplus(−x) + (1−t)·softplus(x),
//
//	f = (pos·t + neg·(1−t)) · b · σ(−s·x)^γ
//
// As σ(−s·x)^γ = exp(−γ·softplus(s·x)), f' is factor · σ(−s·x)^γ · (b' − γ·s·σ(s·x)·b).
template <class Real>
AFL_DEVICE Element<Real> sigmoid_element(const GeneralChannel<Real> &k, bool focal, Real x, Real t, const Logistic<Real> &l) {
	const Real other = 1 - t, own = t * k.ce;
	const Real b = fma(own, l.softplus_negative, other * l.softplus);
	Real factor = fma(t, k.pos, other * k.neg), db = fma(other, l.p, -(own * l.q));
	if (focal) {
		const Real s = 2 * t - 1;
		Real sigma = t == 0 ? l.q : l.p, soft = t == 0 ? l.softplus_negative : l.softplus;
		if (t != 0 && t != 1) {
			const Logistic<Real> m = logistic_of(s * x, true);
			sigma = m.p;
			soft = m.softplus;
		}
		factor *= power_of_log(-soft, k.exponent);
		db = fma(-(value_of(k.exponent) * s * sigma), b, db);
	}
	return Element<Real>{factor * b, factor * db};
}

// GroupSoftmax is a softmax over the channels from `from` on, for each voxel of a group.
// Its numerators e_c = exp(x_c−largest) are scaled so that the largest is 1.
template <class G> struct GroupSoftmax {
	int32_t from, top[G::count];
	typename G::Row largest, others; // `others` is Σ e_c over the channels other than the top
	typename G::Row scale, log;      // 1/z and log z, where z = 1 + others
	typename G::Row d_top, d_others; // the derivative with respect to log p of the top, and the sum of the others'
};

// softmax_of computes all but the derivatives, which sum_derivatives adds.
template <class Real, class T, class G = VoxelGroup<Real, T>>
AFL_DEVICE void softmax_of(const AflArguments &a, const VoxelGroup<Real, T> &g, int32_t from, GroupSoftmax<G> &s) {
	typename G::Row x;
	s.from = from;
	load_logits(a, g, from, x);
	AFL_UNROLL for (int j = 0; j < G::count; j++) {
		s.top[j] = from;
		s.largest[j] = x[j];
		s.others[j] = s.d_top[j] = s.d_others[j] = 0;
	}
	AFL_ROLL for (int32_t c = from + 1; c < a.channels; c++) {
		load_logits(a, g, c, x);
		AFL_UNROLL for (int j = 0; j < G::count; j++) {
			s.top[j] = x[j] > s.largest[j] ? c : s.top[j];
			s.largest[j] = x[j] > s.largest[j] ? x[j] : s.largest[j]; // a NaN of another channel reaches `others`
		}
	}
	AFL_ROLL for (int32_t c = from; c < a.channels; c++) {
		load_logits(a, g, c, x);
		AFL_UNROLL for (int j = 0; j < G::count; j++) {
			const Real e = exp_negative(x[j] - s.largest[j]);
			s.others[j] += s.top[j] == c ? 0 : e;
		}
	}
	AFL_UNROLL for (int j = 0; j < G::count; j++) {
		s.scale[j] = reciprocal(1 + s.others[j]);
		s.log[j] = log1p_of(s.others[j]);
	}
}

// The sum of the numerators of voxel j but channel c's, which is e. The top's 1 is kept
// apart, so that 1−p is accurate near p = 1.
template <class G, class Real> AFL_DEVICE Real rest_of(const GroupSoftmax<G> &s, int j, int32_t c, Real e) {
	return s.top[j] == c ? s.others[j] : 1 + (s.others[j] - e);
}

// softmax_element returns −u·(1−p)^γ·log p and its derivative with respect to log p,
// −u·(1−p)^γ·(1 + γ·p·(−log p)/(1−p)), for channel c of voxel j.
template <class G, class Real>
AFL_DEVICE Element<Real> softmax_element(const GroupSoftmax<G> &s, const GeneralChannel<Real> &k, bool focal, int j, int32_t c, Real x, Real u, Real e) {
	const Real nll = u == 0 ? 0 : s.largest[j] - x + s.log[j];
	Real slope = 1;
	if (focal) {
		Real miss = rest_of(s, j, c, e) * s.scale[j];
		miss = miss > smallest_normal<Real> ? miss : smallest_normal<Real>;
		u *= power(miss, k.exponent);
		slope = fma(value_of(k.exponent) * (e * s.scale[j]), nll * reciprocal(miss), (Real)1);
	}
	return Element<Real>{u * nll, -(u * slope)};
}

// The overlap term's derivative with respect to p.
template <class Real> AFL_DEVICE Real overlap_derivative(const GeneralChannel<Real> &k, Real t, Real p) {
	return fma(p, k.by_P, fma(t, k.by_T, k.plain));
}

// Terms says which terms of a loss a pass computes, and how.
struct Terms {
	bool pointwise, sigmoid, softmax; // the pointwise term
	bool overlap, overlap_sigmoid, overlap_softmax;
	bool second; // the two terms' softmaxes run over different channels

	AFL_MEMBER bool any_softmax() const { return softmax || overlap_softmax; }
};

AFL_DEVICE Terms terms_of(const AflArguments &a, bool gradient) {
	Terms w;
	w.pointwise = a.pointwise && (gradient || a.value);
	w.sigmoid = w.pointwise && a.activation == AFL_SIGMOID;
	w.softmax = w.pointwise && a.activation == AFL_SOFTMAX;
	w.overlap = a.overlap && (!gradient || a.grad);
	w.overlap_sigmoid = w.overlap && a.overlap_activation == AFL_SIGMOID;
	w.overlap_softmax = w.overlap && a.overlap_activation == AFL_SOFTMAX;
	w.second = w.softmax && w.overlap_softmax && a.softmax_from != 0;
	return w;
}

// softmax_channel computes a softmax's numerators e of channel c, the elements f of the
// pointwise term and, in the gradient pass, the derivative d with respect to log p, of the
// given terms.
template <bool gradient, class Real, class T, class G = VoxelGroup<Real, T>>
AFL_DEVICE void softmax_channel(const AflArguments &a, const VoxelGroup<Real, T> &g, const GroupSoftmax<G> &s, const GeneralChannel<Real> &k,
	bool pointwise, bool overlap, int32_t c, const Real (&x)[G::count], const Real (&t)[G::count],
	Real (&e)[G::count], Real (&f)[G::count], Real (&d)[G::count]) {
	AFL_UNROLL for (int j = 0; j < G::count; j++) {
		e[j] = exp_negative(x[j] - s.largest[j]);
		f[j] = d[j] = 0;
	}
	Real u[G::count];
	bool any = !a.focal;
	AFL_UNROLL for (int j = 0; j < G::count; j++) {
		u[j] = fma(t[j], k.target, k.uniform);
		any = any || u[j] != 0;
	}
	if (pointwise && c >= a.first && any) { // without any, as in most channels of a one-hot map, the powers are left out
		Real upstream[G::count];
		if (gradient)
			load_upstream(a, g, c, upstream);
		AFL_UNROLL for (int j = 0; j < G::count; j++) {
			const Element<Real> y = softmax_element(s, k, a.focal, j, c, x[j], u[j], e[j]);
			f[j] = y.f;
			if (gradient)
				d[j] = g.weight[j] != 0 ? upstream[j] * (g.weight[j] * k.pull) * y.df : 0;
		}
	}
	if (gradient && overlap && c >= a.overlap_first) {
		AFL_UNROLL for (int j = 0; j < G::count; j++) {
			const Real p = e[j] * s.scale[j];
			d[j] = fma(g.weight[j] * p, overlap_derivative(k, t[j], p), d[j]);
		}
	}
}

// sum_derivatives sums the derivatives of the given terms with respect to log p over the
// channels of a softmax, as pull needs them.
template <class Real, class T, class G = VoxelGroup<Real, T>>
AFL_DEVICE void sum_derivatives(const AflArguments &a, const AflArguments &shared, const VoxelGroup<Real, T> &g, GroupSoftmax<G> &s,
	const GeneralChannel<Real> *table, bool pointwise, bool overlap) {
	AFL_ROLL for (int32_t c = s.from; c < a.channels; c++) {
		typename G::Row x, t, e, f, d;
		load_target(a, shared, g, c, t);
		load_logits(a, g, c, x);
		softmax_channel<true>(a, g, s, table[c], pointwise, overlap, c, x, t, e, f, d);
		AFL_UNROLL for (int j = 0; j < G::count; j++) {
			const bool top = s.top[j] == c;
			s.d_top[j] += top ? d[j] : 0;
			s.d_others[j] += top ? 0 : d[j];
		}
	}
}

// pull adds to y the gradient with respect to the logits of channel c, given its numerators
// and derivatives.
template <class G, class Real>
AFL_DEVICE void pull(const GroupSoftmax<G> &s, int32_t c, const Real (&e)[G::count], const Real (&d)[G::count], Real (&y)[G::count]) {
	AFL_UNROLL for (int j = 0; j < G::count; j++) {
		const Real others = s.top[j] == c ? s.d_others[j] : s.d_top[j] + (s.d_others[j] - d[j]);
		y[j] = fma(fma(d[j], rest_of(s, j, c, e[j]), -(e[j] * others)), s.scale[j], y[j]);
	}
}

// GeneralResult is a thread's part of the result of a chunk.
struct GeneralResult {
	double elements; // their sum
	bool value_fits; // whether that, and whether everything is in the range of the pass's type
	bool fits;
};

template <class Real> AFL_DEVICE bool is_finite(Real x) { return absolute(x) < (Real)__builtin_inf(); }

// ChannelSums collects the overlap term's sums of a tile by channel, and adds those of
// BATCH channels at a time to the block's row.
template <class Real> struct ChannelSums {
	enum { BATCH = 32, SUMS = 4 }; // I, P, G and that of the upstream gradient
	typedef Real Parts[BATCH][SUMS][WARPS];

	// add takes the thread's sums of channel c. All threads call it, for one channel after
	// another. It returns whether the sums that the thread has added to the row are finite.
	AFL_MEMBER static bool add(const AflArguments &a, Parts &part, double *row, int32_t c, Real I, Real P, Real G, Real U) {
		const int32_t thread = (int32_t)thread_index();
		const Real x = warp_sums(I, P, G, U);
		if (thread % 8 == 0)
			part[c % BATCH][thread % 32 / 8][thread / 32] = x;
		if (c % BATCH != BATCH - 1 && c != a.channels - 1)
			return true;
		bool finite = true;
		barrier();
		const int32_t own = c / BATCH * BATCH + thread / SUMS, sum = thread % SUMS;
		if (thread < BATCH * SUMS && own <= c) {
			Real total = 0;
			for (int w = 0; w < WARPS; w++)
				total += part[own % BATCH][sum][w];
			finite = is_finite(total);
			row[1 + (int64_t)sum * a.channels + own] += total;
		}
		barrier(); // the next channels overwrite the parts
		return finite;
	}
};

// general_chunk computes the block's chunk. The row of its sums is cleared and, in the
// reduce pass, receives all but that of the elements.
template <class Real, class T, bool gradient>
AFL_DEVICE GeneralResult general_chunk(const AflArguments &a, const AflArguments &shared, const Chunk &ch, double *row) {
	typedef VoxelGroup<Real, T> G;
	const Terms terms = terms_of(a, gradient);
	GeneralResult r{0, true, true};
	GeneralChannel<Real> *table = (GeneralChannel<Real> *)(a.scratch + block_index() * afl_scratch_doubles(a.channels));
	for (int32_t c = (int32_t)thread_index(); c < a.channels; c += AFL_THREADS)
		table[c] = general_channel<Real>(a, ch.n, c, gradient, r.fits);
	r.value_fits = r.fits;
	if (!gradient)
		clear_row(a, row);
	barrier();

	AFL_SHARED typename ChannelSums<Real>::Parts part;
	const int32_t tiles = (ch.size + G::tile - 1) / G::tile;
	Real check = 0; // NaN if a gradient is not finite
	for (int32_t i = 0; i < tiles; i++) {
		const G g = group_of<Real, T>(a, shared, ch, (ch.backwards ? tiles - 1 - i : i) * G::tile, r.value_fits);
		GroupSoftmax<G> softmax, second;
		if (terms.any_softmax())
			softmax_of(a, g, terms.softmax ? a.softmax_from : 0, softmax);
		if (terms.second)
			softmax_of(a, g, 0, second);
		if (gradient && a.grad) {
			if (terms.any_softmax())
				sum_derivatives(a, shared, g, softmax, table, terms.softmax, terms.overlap_softmax && !terms.second);
			if (terms.second)
				sum_derivatives(a, shared, g, second, table, false, true);
		}
		typename G::Row sum = {}; // of each voxel's elements, without scale
		AFL_ROLL for (int32_t c = 0; c < a.channels; c++) {
			const GeneralChannel<Real> &k = table[c];
			const bool pointwise = terms.pointwise && c >= a.first, overlap = terms.overlap && c >= a.overlap_first;
			typename G::Row x, t, p = {}, f = {}, y = {}; // y: the gradient
			load_target(a, shared, g, c, t);
			load_logits(a, g, c, x);
			if (terms.any_softmax() && c >= softmax.from) {
				typename G::Row e, d;
				softmax_channel<gradient>(a, g, softmax, k, terms.softmax, terms.overlap_softmax && !terms.second, c, x, t, e, f, d);
				AFL_UNROLL for (int j = 0; j < G::count; j++)
					p[j] = e[j] * softmax.scale[j];
				if (gradient && a.grad)
					pull(softmax, c, e, d, y);
			}
			if (terms.second) {
				typename G::Row e, d, none;
				softmax_channel<gradient>(a, g, second, k, false, true, c, x, t, e, none, d);
				AFL_UNROLL for (int j = 0; j < G::count; j++)
					p[j] = e[j] * second.scale[j];
				if (gradient)
					pull(second, c, e, d, y);
			}
			if ((pointwise && terms.sigmoid) || (overlap && terms.overlap_sigmoid)) {
				Logistic<Real> l[G::count];
				AFL_UNROLL for (int j = 0; j < G::count; j++)
					l[j] = logistic_of(x[j], pointwise && terms.sigmoid);
				if (pointwise && terms.sigmoid) {
					typename G::Row u;
					if (gradient)
						load_upstream(a, g, c, u);
					AFL_UNROLL for (int j = 0; j < G::count; j++) {
						const Element<Real> v = sigmoid_element(k, a.focal, x[j], t[j], l[j]);
						f[j] = v.f;
						if (gradient)
							y[j] = g.weight[j] != 0 ? fma(u[j] * (g.weight[j] * k.pull), v.df, y[j]) : 0;
					}
				}
				if (overlap && terms.overlap_sigmoid) {
					AFL_UNROLL for (int j = 0; j < G::count; j++) {
						p[j] = l[j].p;
						if (gradient)
							y[j] = fma(g.weight[j] * (l[j].p * l[j].q), overlap_derivative(k, t[j], l[j].p), y[j]);
					}
				}
			}
			if (overlap && a.overlap_activation == AFL_IDENTITY) {
				AFL_UNROLL for (int j = 0; j < G::count; j++) {
					p[j] = x[j];
					if (gradient)
						y[j] = fma(g.weight[j], overlap_derivative(k, t[j], x[j]), y[j]);
				}
			}

			if (pointwise) {
				AFL_UNROLL for (int j = 0; j < G::count; j++)
					sum[j] = fma(g.weight[j], f[j], sum[j]);
				if (gradient && a.elements && !a.per_voxel) {
					AFL_UNROLL for (int j = 0; j < G::count; j++)
						f[j] = fma(g.weight[j] * k.scale, f[j], k.offset);
					store_elements(a, g, c, f);
				}
			}
			if (gradient && a.grad) {
				AFL_UNROLL for (int j = 0; j < G::count; j++)
					check = fma(y[j], (Real)0, check);
				store_group((typename T::Bits *)a.grad + (((int64_t)g.n * a.channels + c) * a.voxels + g.first), g, y);
			}
			if (!gradient && terms.overlap) {
				Real I = 0, P = 0, G_sum = 0, U = 0;
				if (overlap) {
					AFL_UNROLL for (int j = 0; j < G::count; j++) {
						const Real wp = g.weight[j] * p[j], wt = g.weight[j] * t[j];
						I = fma(wp, t[j], I);
						P = fma(wp, a.squared ? p[j] : 1, P);
						G_sum = fma(wt, a.squared ? t[j] : 1, G_sum);
					}
				}
				if (a.elements && c >= a.first) {
					typename G::Row u;
					load_upstream(a, g, c, u);
					AFL_UNROLL for (int j = 0; j < G::count; j++)
						U += g.inside[j] ? u[j] : 0;
				}
				const bool finite = ChannelSums<Real>::add(a, part, row, c, I, P, G_sum, U);
				r.fits = r.fits && finite;
			}
		}
		if (terms.pointwise) {
			Real total = 0;
			AFL_UNROLL for (int j = 0; j < G::count; j++)
				total += sum[j];
			r.value_fits = r.value_fits && is_finite(total);
			r.elements += total;
		}
		if (gradient && a.elements && a.per_voxel) {
			AFL_UNROLL for (int j = 0; j < G::count; j++)
				sum[j] *= table[a.first].scale;
			store_elements(a, g, a.first, sum);
		}
	}
	r.fits = r.fits && r.value_fits && check == 0;
	return r;
}

// general_again computes a chunk in float64. shared is in shared memory.
template <class T, bool gradient> AFL_OUT_OF_LINE double general_again(const AflArguments &shared) {
	const Chunk ch = chunk_of(shared, gradient);
	return general_chunk<double, T, gradient>(shared, shared, ch, block_row(shared, ch)).elements;
}

template <class T, bool gradient> AFL_DEVICE void general_pass(const AflArguments &a) {
	const AflArguments &shared = shared_arguments(a);
	const Chunk ch = chunk_of(a, gradient);
	double *row = block_row(a, ch);
	double elements;
	if constexpr (sizeof(typename T::Bits) == 8) {
		elements = general_chunk<double, T, gradient>(a, shared, ch, row).elements;
	} else {
		AFL_SHARED bool fits, value_fits;
		if (thread_index() == 0)
			fits = value_fits = true;
		barrier();
		const GeneralResult r = general_chunk<float, T, gradient>(a, shared, ch, row);
		if (!r.fits)
			fits = false;
		if (!r.value_fits)
			value_fits = false;
		barrier();
		elements = r.elements;
		if (!fits) {
			const double again = general_again<T, gradient>(shared);
			// A gradient out of range does not change the value.
			if (!value_fits)
				elements = again;
		}
	}
	elements = block_sum(elements);
	if (thread_index() == 0)
		row[0] = elements;
	if (gradient)
		finish_gradient(a, a.pointwise && !a.overlap); // with an overlap term the reduce pass has summed the elements
	else
		finish_reduce(a, a.pointwise);
}

} // namespace afl

// Value, groups and coefficients from one pass over the input, and gradient, elements or
// both and, without an overlap term, the value, from another.
#define AFL_GENERAL_PASSES(type, suffix) \
	AFL_KERNEL(afl_reduce_general_##suffix, 2) { afl::general_pass<afl::type, false>(a); } \
	AFL_KERNEL(afl_gradient_general_##suffix, 2) { afl::general_pass<afl::type, true>(a); }

#endif
