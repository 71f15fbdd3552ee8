// afl_reduce_general and afl_gradient_general compute every loss on every type in
// float64, one thread per voxel. They serve what the float32 kernels do not: float64
// logits, target maps, voxel weights, un-reduced losses, label smoothing, a softmax
// without the background, and terms of different activations. Types are dispatched at
// run time. A pass reads each logit, target and weight from memory once (repeated
// reads of a voxel's channels hit the cache) and writes each gradient and element
// once. Probabilities are kept in a.scratch, by thread, for no more than the 256
// voxels of the block's current tile.
#include "block.h"
#include "factors.h"
#include "finish.h"

namespace afl {

// p = σ(x), q = 1−p = σ(−x), −log q and −log p, each accurate for every finite x.
struct Probability {
	double p, q, softplus, softplus_negative;
};

AFL_OUT_OF_LINE Probability probability_of(double x) {
	const double e = exp(-absolute(x)), l = log1p(e);
	const double large = 1 / (1 + e), small = e / (1 + e);
	if (x >= 0)
		return Probability{large, small, x + l, l};
	return Probability{small, large, l, l - x};
}

// An element and its derivative with respect to the logit.
struct Element {
	double f, df;
};

// focal_sigmoid returns, with s = 2t−1, b = ce·t·softplus(−x) + (1−t)·softplus(x),
//
//	f = (pos·t + neg·(1−t)) · b · σ(−s·x)^γ
//
// As σ(−s·x)^γ = exp(−γ·softplus(s·x)), f' is factor · σ(−s·x)^γ · (b' − γ·s·σ(s·x)·b).
AFL_OUT_OF_LINE Element focal_sigmoid(double x, double t, double gamma, double pos, double neg, double ce) {
	const Probability l = probability_of(x);
	double factor = pos * t + neg * (1 - t);
	const double b = ce * t * l.softplus_negative + (1 - t) * l.softplus;
	const double db = (1 - t) * l.p - ce * t * l.q;
	if (gamma == 0)
		return Element{factor * b, factor * db};
	const double s = 2 * t - 1;
	double sigma = l.p, soft = l.softplus;
	if (t == 0) {
		sigma = l.q;
		soft = l.softplus_negative;
	} else if (t != 1) {
		const Probability m = probability_of(s * x);
		sigma = m.p;
		soft = m.softplus;
	}
	factor *= exp(-gamma * soft);
	return Element{factor * b, factor * (db - gamma * s * sigma * b)};
}

// A voxel, with the thread's scratch memory for its channels: e holds softmax
// numerators or probabilities, a derivatives with respect to log-probabilities, g the
// gradient.
struct Voxel {
	const AflArguments &args;
	int32_t n;
	int64_t i;
	double *memory;
	double m;    // weight; 0 if the voxel takes no part
	int32_t y;   // class, unless the target is a map

	AFL_MEMBER double &e(int c) const { return memory[(int64_t)c * AFL_THREADS]; }
	AFL_MEMBER double &a(int c) const { return memory[((int64_t)args.channels + c) * AFL_THREADS]; }
	AFL_MEMBER double &g(int c) const { return memory[(2 * (int64_t)args.channels + c) * AFL_THREADS]; }

	AFL_MEMBER int64_t at(int c) const { return ((int64_t)n * args.channels + c) * args.voxels + i; }
	AFL_MEMBER double x(int c) const { return number_at(args.logits, args.logits_type, at(c)); }
	AFL_MEMBER double t(int c) const {
		if (args.dense)
			return maximum(0, map_at(args, at(c)));
		return y == (args.channels == 1 ? 1 : c); // a single channel is the foreground
	}
	// Index of the element of channel c.
	AFL_MEMBER int64_t element(int c) const {
		if (args.per_voxel)
			return n * args.voxels + i;
		return ((int64_t)n * (args.channels - args.first) + c - args.first) * args.voxels + i;
	}
	AFL_MEMBER double upstream(int c) const {
		return args.upstream ? number_at(args.upstream, args.logits_type, element(c)) : 1.0;
	}
	// put writes an element, plus the value of its group if there is an overlap term.
	AFL_MEMBER void put(int c, double x) const {
		if (args.overlap)
			x += load_constant(args.coefficients + (2 * (int64_t)args.samples + n) * args.channels + c);
		store_at(args.elements, args.logits_type, element(c), x);
	}

	// load sets the voxel's weight and class, and rejects invalid ones.
	AFL_MEMBER void load() {
		m = weight_at(args, n * args.voxels + i);
		if (m < 0) {
			reject_weight(args, n, i);
			m = 0;
		}
		y = IGNORED;
		if (args.dense) {
			for (int c = 0; c < args.channels; c++)
				if (map_at(args, at(c)) < 0)
					reject_map(args, n, c, i);
			return;
		}
		y = class_at(args, n * args.voxels + i);
		if (y == REJECTED)
			reject_class(args, n, i);
		if (y < 0)
			m = 0;
	}
};

// A softmax, whose numerators are in Voxel.e, scaled so that the largest is 1.
struct VoxelSoftmax {
	double z, others, largest; // z = 1 + others, the sum of the numerators
	int32_t from, top;

	// The sum of all numerators but c's, without cancellation: the difference
	// contains the top one's 1.
	AFL_MEMBER double rest(const Voxel &v, int c) const { return c == top ? others : z - v.e(c); }
};

AFL_OUT_OF_LINE VoxelSoftmax softmax_of(const Voxel &v, int32_t from) {
	const int32_t channels = v.args.channels;
	VoxelSoftmax s{0, 0, v.x(from), from, from};
	for (int c = from + 1; c < channels; c++) {
		const double x = v.x(c);
		if (x > s.largest || is_nan(x)) {
			s.top = c;
			s.largest = x;
		}
	}
	for (int c = from; c < channels; c++) {
		const double e = exp(v.x(c) - s.largest);
		v.e(c) = e;
		if (c != s.top)
			s.others += e;
	}
	s.z = 1 + s.others;
	return s;
}

// pullback adds scale·(a_j·(1−p_j) − p_j·Σ_{k≠j} a_k) to the gradient of every
// channel j. The sum over the others is accumulated from both ends, since subtracting
// from the full sum would cancel.
AFL_OUT_OF_LINE void pullback(const Voxel &v, const VoxelSoftmax &s, double scale) {
	double before = 0;
	for (int c = s.from; c < v.args.channels; c++) {
		v.g(c) += scale * (v.a(c) * s.rest(v, c) - v.e(c) * before) / s.z;
		before += v.a(c);
	}
	double after = 0;
	for (int c = v.args.channels - 1; c >= s.from; c--) {
		v.g(c) -= scale * v.e(c) * after / s.z;
		after += v.a(c);
	}
}

// pointwise_sigmoid and pointwise_softmax return the sum of a voxel's elements
// without scale. With `grad` they add the gradient to g; with `elements` they write
// elements by channel, unless they are summed per voxel.
AFL_OUT_OF_LINE double pointwise_sigmoid(const Voxel &v, double scale, bool grad, bool elements) {
	const AflArguments &a = v.args;
	double total = 0;
	for (int c = a.first; c < a.channels; c++) {
		Element f = focal_sigmoid(v.x(c), v.t(c), gamma_of(a, v.n, c), pos_of(a, v.n, c), neg_of(a, v.n, c), channel_of(a, c).ce);
		total += v.m * f.f;
		if (grad)
			v.g(c) += v.upstream(c) * scale * v.m * f.df;
		if (elements && !a.per_voxel)
			v.put(c, scale * v.m * f.f);
	}
	return total;
}

AFL_OUT_OF_LINE double pointwise_softmax(const Voxel &v, const VoxelSoftmax &s, double scale, bool grad, bool elements) {
	const AflArguments &a = v.args;
	const double log_z = log1p(s.others);
	double total = 0;
	for (int c = s.from; c < a.channels; c++) {
		// u is the weight of log p, and d the derivative of the element with
		// respect to log p, without the voxel's weight.
		double u = 0;
		if (c >= a.first)
			u = pos_of(a, v.n, c) * ((1 - a.smoothing) * v.t(c) + a.smoothing / a.channels);
		double f = 0, d = 0;
		if (u != 0) {
			const double log_p = v.x(c) - s.largest - log_z, gamma = gamma_of(a, v.n, c);
			double factor = 1, slope = -1;
			if (gamma != 0) {
				const double miss = s.rest(v, c) / s.z; // 1−p
				// p·log p/(1−p), which tends to −1 as p → 1.
				const double ratio = miss > 0 ? v.e(c) / s.z * log_p / miss : -1.0;
				factor = pow(miss, gamma);
				slope = gamma * ratio - 1;
			}
			f = -u * factor * log_p;
			d = u * factor * slope * (grad ? v.upstream(c) : 1.0);
		}
		total += v.m * f;
		if (grad)
			v.a(c) = d;
		if (elements && !a.per_voxel && c >= a.first)
			v.put(c, scale * v.m * f);
	}
	if (grad)
		pullback(v, s, scale * v.m);
	return total;
}

// The voxel's whole pointwise term.
AFL_DEVICE double pointwise(const Voxel &v, double scale, bool grad, bool elements) {
	const AflArguments &a = v.args;
	double total = 0;
	if (v.m != 0) {
		if (a.activation == AFL_SIGMOID)
			total = pointwise_sigmoid(v, scale, grad, elements);
		else
			total = pointwise_softmax(v, softmax_of(v, a.softmax_from), scale, grad, elements);
	} else if (elements && !a.per_voxel) {
		for (int c = a.first; c < a.channels; c++)
			v.put(c, 0);
	}
	if (elements && a.per_voxel)
		v.put(a.first, total != 0 ? scale * total : 0.0);
	return total;
}

// overlap_gradient adds the overlap term's gradient to g. ∂L/∂p is CoefT·t + CoefP,
// or CoefT·t + 2·CoefP·p with sums of squares.
AFL_OUT_OF_LINE void overlap_gradient(const Voxel &v) {
	const AflArguments &a = v.args;
	const double *coef_T = a.coefficients + (int64_t)v.n * a.channels, *coef_P = coef_T + (int64_t)a.samples * a.channels;
	auto slope = [&](int c, double p) {
		return v.m * (load_constant(coef_T + c) * v.t(c) + load_constant(coef_P + c) * (a.squared ? 2 * p : 1.0));
	};
	if (a.overlap_activation == AFL_SOFTMAX) {
		const VoxelSoftmax s = softmax_of(v, 0);
		for (int c = 0; c < a.channels; c++) {
			const double p = v.e(c) / s.z;
			v.a(c) = c < a.overlap_first ? 0.0 : p * slope(c, p);
		}
		pullback(v, s, 1);
		return;
	}
	for (int c = a.overlap_first; c < a.channels; c++) {
		if (a.overlap_activation == AFL_IDENTITY) {
			v.g(c) += slope(c, v.x(c));
			continue;
		}
		const Probability l = probability_of(v.x(c));
		v.g(c) += slope(c, l.p) * l.p * l.q;
	}
}

// probabilities stores the probabilities of the overlap term in e.
AFL_OUT_OF_LINE void probabilities(const Voxel &v) {
	const AflArguments &a = v.args;
	if (a.overlap_activation == AFL_SOFTMAX) {
		const VoxelSoftmax s = softmax_of(v, 0);
		for (int c = 0; c < a.channels; c++)
			v.e(c) /= s.z;
		return;
	}
	for (int c = a.overlap_first; c < a.channels; c++) {
		const double x = v.x(c);
		v.e(c) = a.overlap_activation == AFL_IDENTITY ? x : probability_of(x).p;
	}
}

AFL_DEVICE double *memory_of_thread(const AflArguments &a) {
	return a.scratch + block_index() * afl_scratch_doubles(a.channels) + thread_index();
}

AFL_DEVICE void reduce_general(const AflArguments &a) {
	AFL_SHARED double weight[AFL_THREADS];
	AFL_SHARED int32_t label[AFL_THREADS];
	const Range r = range_of_block(a);
	const uint32_t thread = thread_index(), lane = thread % 32;
	double *sums = a.partials + block_index() * afl_sums_width(a.channels);
	for (int64_t k = thread; k < afl_sums_width(a.channels); k += AFL_THREADS)
		sums[k] = 0;
	const bool value = a.pointwise && a.value;
	const double scale = value ? scale_of(a) : 0;
	double total = 0;
	for (int64_t tile = r.begin; tile < r.end; tile += AFL_THREADS) {
		Voxel v{a, r.sample, tile + thread, memory_of_thread(a), 0, IGNORED};
		if (v.i < r.end) {
			v.load();
			if (value)
				total += pointwise(v, scale, false, false);
			if (a.overlap && v.m != 0)
				probabilities(v);
		}
		if (!a.overlap)
			continue;
		// The sums by channel: each warp takes a channel, each lane every 32nd voxel.
		weight[thread] = v.m;
		label[thread] = v.y;
		barrier();
		for (int c = (int)(thread / 32); c < a.channels; c += WARPS) {
			double I = 0, P = 0, G = 0, U = 0;
			for (uint32_t at = lane; at < AFL_THREADS && tile + at < r.end; at += 32) {
				const Voxel o{a, r.sample, tile + at, v.memory - thread + at, weight[at], label[at]};
				if (a.elements && c >= a.first)
					U += o.upstream(c);
				if (o.m == 0 || c < a.overlap_first)
					continue;
				const double p = o.e(c), t = o.t(c);
				I += o.m * p * t;
				P += o.m * p * (a.squared ? p : 1.0);
				G += o.m * t * (a.squared ? t : 1.0);
			}
			I = warp_sum(I);
			P = warp_sum(P);
			G = warp_sum(G);
			U = warp_sum(U);
			if (lane == 0) {
				sums[at_I(c)] += I;
				sums[at_P(a, c)] += P;
				sums[at_G(a, c)] += G;
				sums[at_upstream(a, c)] += U;
			}
		}
		barrier(); // the next tile overwrites the probabilities
	}
	total = block_sum(total);
	if (thread == 0)
		sums[0] = total;
	if (last_block(a))
		finish_sums(a);
}

AFL_DEVICE void gradient_general(const AflArguments &a) {
	const Range r = range_of_block(a);
	const double scale = a.pointwise ? scale_of(a) : 0;
	double total = 0;
	for (int64_t i = r.begin + thread_index(); i < r.end; i += AFL_THREADS) {
		Voxel v{a, r.sample, i, memory_of_thread(a), 0, IGNORED};
		v.load();
		for (int c = 0; c < a.channels; c++)
			v.g(c) = 0;
		if (a.pointwise)
			total += pointwise(v, scale, a.grad != nullptr, a.elements != nullptr);
		if (!a.grad)
			continue;
		if (a.overlap && v.m != 0)
			overlap_gradient(v);
		for (int c = 0; c < a.channels; c++)
			store_at(a.grad, a.logits_type, v.at(c), v.g(c));
	}
	total = block_sum(total);
	if (thread_index() == 0)
		a.partials[block_index() * afl_sums_width(a.channels)] = total;
	if (!a.overlap && last_block(a))
		finish_sums(a);
}

// Value, groups and coefficients from one read of the input.
AFL_KERNEL(afl_reduce_general, 2) { reduce_general(shared_arguments(a)); }

// Gradient, elements or both and, without an overlap term, the value, from one read
// of the input. Derivatives through a softmax are taken with respect to log p and
// pulled back.
AFL_KERNEL(afl_gradient_general, 2) { gradient_general(shared_arguments(a)); }

} // namespace afl
