// spans.h contains the inner loops of kernels.c. It is included once per instruction
// set, each time with different compiler settings and a different SUFFIX, and defines
// a struct of function pointers. Each function processes one chunk on one thread.
//
// Coefficients are repeated in tables over a period. A period is a multiple of the
// number of channels and not short; if there are few channels, it is also a multiple of
// the length of a vector. A loop over elements can then index the tables without
// computing the channel, and 2 channels fill vectors as well as 64 do.

// expm1_ returns eˣ − 1 and stores eˣ: 2ⁿ·(1 + p) with x = n·ln 2 + r and
// p ≈ eʳ − 1. Error below 2 ulp of eˣ.
INLINE float FN(expm1_)(float x, float *e) {
	x = x < -105.f ? -105.f : x > 88.f ? 88.f : x;
	float n = (x * 1.44269504088896341f + 12582912.f) - 12582912.f; // rounds to nearest
	float r = (x - n * 0.693359375f) + n * 2.12194440054690583e-4f;
	float p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r;
	// 2ⁿ is computed as two factors, because it may be subnormal.
	const int32_t k = (int32_t)n, half = k >> 1;
	union { int32_t i; float f; } a = {.i = (half + 127) << 23}, b = {.i = (k - half + 127) << 23};
	*e = (p * a.f + a.f) * b.f;
	return p * a.f * b.f + (a.f * b.f - 1.f);
}

INLINE float FN(activate)(int act, float z, float slope) {
	float e, m;
	switch (act) {
	case ACT_RELU: return z > 0.f || z != z ? z : 0.f;
	case ACT_PRELU: return z > 0.f ? z : slope * z;
	case ACT_ELU: m = FN(expm1_)(z, &e); return z > 0.f ? z : m;
	// The formula depends on the sign of z: e⁻ᶻ would overflow for very negative z, where
	// eᶻ preserves the small values of the tail.
	case ACT_SIGMOID: FN(expm1_)(z < 0.f ? z : -z, &e); return (z < 0.f ? e : 1.f) / (1.f + e);
	default: return z;
	}
}

// slope_at returns act'(z).
INLINE float FN(slope_at)(int act, float z, float slope) {
	float e;
	switch (act) {
	case ACT_RELU: return z > 0.f ? 1.f : 0.f;
	case ACT_PRELU: return z > 0.f ? 1.f : slope;
	case ACT_ELU: FN(expm1_)(z, &e); return z > 0.f ? 1.f : e;
	case ACT_SIGMOID: FN(expm1_)(z < 0.f ? z : -z, &e); return e / ((1.f + e) * (1.f + e));
	default: return 1.f;
	}
}

// EACH runs body for every element of a chunk. body sees the element's index in the chunk
// as k and in the period as j.
#define EACH(n, period, body) \
	for (int64_t i = 0; i < (n); i += (period)) { \
		const int64_t m_ = (n) - i < (period) ? (n) - i : (period); \
		for (int64_t j = 0; j < m_; j++) { const int64_t k = i + j; body; } \
	}

INLINE void FN(map_one)(int act, int has_q, int post, int64_t n, int64_t period, const table *restrict t,
	const float *restrict x, const float *restrict q, float *restrict y) {
	const float *restrict m = t->mean, *restrict s = t->scale, *restrict b = t->shift, *restrict a = t->slope;
	const float *restrict m2 = t->mean2, *restrict s2 = t->scale2, *restrict b2 = t->shift2;
	EACH(n, period, {
		float v = FN(activate)(act, (x[k] - m[j]) * s[j] + b[j], a[j]);
		if (has_q) v += (q[k] - m2[j]) * s2[j] + b2[j];
		y[k] = FN(activate)(post, v, 0.f);
	})
}

#define ARGS n, period, t, x, q, y
#define POSTS(act) \
	switch (q ? post : -1) { \
	case -1: FN(map_one)(act, 0, ACT_NONE, ARGS); return; \
	case ACT_RELU: FN(map_one)(act, 1, ACT_RELU, ARGS); return; \
	case ACT_ELU: FN(map_one)(act, 1, ACT_ELU, ARGS); return; \
	case ACT_SIGMOID: FN(map_one)(act, 1, ACT_SIGMOID, ARGS); return; \
	default: FN(map_one)(act, 1, ACT_NONE, ARGS); return; \
	}

static void FN(map_span)(int act, int post, int64_t n, int64_t period, const table *t, const float *x, const float *q, float *y) {
	switch (act) {
	case ACT_RELU: POSTS(ACT_RELU)
	case ACT_ELU: POSTS(ACT_ELU)
	case ACT_SIGMOID: POSTS(ACT_SIGMOID)
	case ACT_PRELU: POSTS(ACT_PRELU)
	default: POSTS(ACT_NONE)
	}
}
#undef POSTS
#undef ARGS

// moments_span adds up x, or if mean is not NULL the squared deviations from it, for
// every index of the period.
static void FN(moments_span)(int64_t n, int64_t period, const float *restrict x, const float *restrict mean, float *restrict sum) {
	for (int64_t j = 0; j < period; j++) sum[j] = 0.f;
	if (!mean) {
		EACH(n, period, sum[j] += x[k])
		return;
	}
	EACH(n, period, { float d = x[k] - mean[j]; sum[j] += d * d; })
}

INLINE void FN(sums_one)(int act, int64_t n, int64_t period, const table *restrict t, const float *restrict x,
	const float *restrict g, float *restrict s0, float *restrict s1, float *restrict s2) {
	const float *restrict m = t->mean, *restrict s = t->scale, *restrict b = t->shift, *restrict a = t->slope;
	EACH(n, period, {
		float d = x[k] - m[j];
		float z = d * s[j] + b[j];
		float h = g[k] * FN(slope_at)(act, z, a[j]);
		s0[j] += h;
		s1[j] += h * d;
		if (act == ACT_PRELU) s2[j] += z > 0.f ? 0.f : g[k] * z;
	})
}

static void FN(sums_span)(int act, int64_t n, int64_t period, const table *t, const float *x, const float *g, float *s) {
	float *s0 = s, *s1 = s + period, *s2 = s + 2 * period;
	for (int64_t j = 0; j < 3 * period; j++) s[j] = 0.f;
	switch (act) {
	case ACT_RELU: FN(sums_one)(ACT_RELU, n, period, t, x, g, s0, s1, s2); return;
	case ACT_ELU: FN(sums_one)(ACT_ELU, n, period, t, x, g, s0, s1, s2); return;
	case ACT_SIGMOID: FN(sums_one)(ACT_SIGMOID, n, period, t, x, g, s0, s1, s2); return;
	case ACT_PRELU: FN(sums_one)(ACT_PRELU, n, period, t, x, g, s0, s1, s2); return;
	default: FN(sums_one)(ACT_NONE, n, period, t, x, g, s0, s1, s2); return;
	}
}

INLINE void FN(backward_one)(int act, int64_t n, int64_t period, const table *restrict t, const float *restrict x,
	const float *restrict g, float *restrict gx) {
	const float *restrict m = t->mean, *restrict s = t->scale, *restrict b = t->shift, *restrict a = t->slope;
	const float *restrict by = t->mean2, *restrict gd = t->scale2, *restrict gs = t->shift2;
	EACH(n, period, {
		float d = x[k] - m[j];
		float h = g[k] * FN(slope_at)(act, d * s[j] + b[j], a[j]);
		gx[k] = by[j] * h - gs[j] - gd[j] * d;
	})
}

static void FN(backward_span)(int act, int64_t n, int64_t period, const table *t, const float *x, const float *g, float *gx) {
	switch (act) {
	case ACT_RELU: FN(backward_one)(ACT_RELU, n, period, t, x, g, gx); return;
	case ACT_ELU: FN(backward_one)(ACT_ELU, n, period, t, x, g, gx); return;
	case ACT_SIGMOID: FN(backward_one)(ACT_SIGMOID, n, period, t, x, g, gx); return;
	case ACT_PRELU: FN(backward_one)(ACT_PRELU, n, period, t, x, g, gx); return;
	default: FN(backward_one)(ACT_NONE, n, period, t, x, g, gx); return;
	}
}

static void FN(post_span)(int act, int64_t n, const float *restrict g, const float *restrict y, float *restrict gx) {
	switch (act) {
	case ACT_RELU:
		for (int64_t i = 0; i < n; i++) gx[i] = y[i] > 0.f ? g[i] : 0.f;
		return;
	case ACT_ELU:
		for (int64_t i = 0; i < n; i++) gx[i] = y[i] > 0.f ? g[i] : g[i] * (y[i] + 1.f);
		return;
	default:
		for (int64_t i = 0; i < n; i++) gx[i] = g[i] * (y[i] * (1.f - y[i]));
	}
}

static void FN(drop_span)(int64_t n, int64_t period, const float *restrict mask, const float *restrict x, float *restrict y) {
	EACH(n, period, y[k] = mask[j] == 0.f ? 0.f : x[k] * mask[j])
}

static void FN(channel_add_span)(int64_t n, int64_t period, const float *restrict add, float *restrict y) {
	EACH(n, period, y[k] += add[j])
}

static void FN(add_span)(int64_t n, const float *restrict a, const float *restrict b, float *restrict y) {
	for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void FN(scale_span)(int64_t n, float by, const float *restrict x, float *restrict y) {
	for (int64_t i = 0; i < n; i++) y[i] = x[i] * by;
}

// resample_row stores one row of voxels along the last axis. It applies the taps z of
// that axis to the weighted sum of count rows of x, whose weights come from the taps of
// the other two axes.
static void FN(resample_row)(int64_t channels, const taps *restrict z, int64_t count, const float *const *restrict rows,
	const float *restrict weights, float *restrict y) {
	for (int64_t o = 0; o < z->to; o++) {
		float *restrict d = y + o * channels;
		for (int64_t c = 0; c < channels; c++) d[c] = 0.f;
		for (int64_t e = z->first[o]; e < z->first[o + 1]; e++)
			for (int64_t r = 0; r < count; r++) {
				const float w = weights[r] * z->weight[e];
				const float *restrict s = rows[r] + z->index[e] * channels;
				for (int64_t c = 0; c < channels; c++) d[c] += w * s[c];
			}
	}
}

// pool_voxel compares one more voxel of a window.
static void FN(pool_voxel)(int64_t channels, int32_t number, const float *restrict x, float *restrict y, int32_t *restrict tap) {
	for (int64_t c = 0; c < channels; c++) {
		// NaN replaces any value and is never replaced, except by another NaN.
		int better = x[c] > y[c] || x[c] != x[c];
		y[c] = better ? x[c] : y[c];
		tap[c] = better ? number : tap[c];
	}
}

// unpool_voxel adds the gradients of the channels whose window chose this tap.
static void FN(unpool_voxel)(int64_t channels, int32_t number, const float *restrict g, const int32_t *restrict tap, float *restrict gx) {
	for (int64_t c = 0; c < channels; c++) gx[c] += tap[c] == number ? g[c] : 0.f;
}

static void FN(gate_span)(int64_t rows, int64_t channels, const float *restrict x, const float *restrict by, float *restrict y) {
	for (int64_t r = 0; r < rows; r++)
		for (int64_t c = 0; c < channels; c++) y[r * channels + c] = x[r * channels + c] * by[r];
}

static void FN(dot_span)(int64_t rows, int64_t channels, const float *restrict x, const float *restrict g, float *restrict out) {
	for (int64_t r = 0; r < rows; r++) {
		float lane[16] = {0};
		int64_t c = 0;
		for (; c + 16 <= channels; c += 16)
			for (int l = 0; l < 16; l++) lane[l] += x[r * channels + c + l] * g[r * channels + c + l];
		float sum = 0.f;
		for (int l = 0; l < 16; l++) sum += lane[l];
		for (; c < channels; c++) sum += x[r * channels + c] * g[r * channels + c];
		out[r] = sum;
	}
}

static void FN(sgd_span)(int64_t n, float *restrict w, const float *restrict g, float *restrict v, int first,
	float rate, float momentum, float decay, int nesterov) {
	if (!v) {
		for (int64_t i = 0; i < n; i++) w[i] -= rate * (g[i] + decay * w[i]);
		return;
	}
	if (first) {
		for (int64_t i = 0; i < n; i++) v[i] = 0.f;
	}
	const float ahead = nesterov ? momentum : 0.f;
	for (int64_t i = 0; i < n; i++) {
		float d = g[i] + decay * w[i];
		float u = momentum * v[i] + d;
		v[i] = u;
		w[i] -= rate * (nesterov ? d + ahead * u : u);
	}
}

static void FN(adamw_span)(int64_t n, float *restrict w, const float *restrict g, float *restrict m, float *restrict v,
	const adamw_factors *restrict factors) {
	const adamw_factors f = *factors;
	for (int64_t i = 0; i < n; i++) {
		m[i] = f.beta1 * m[i] + f.new1 * g[i];
		v[i] = f.beta2 * v[i] + f.new2 * g[i] * g[i];
		w[i] = f.decay * w[i] - f.size * m[i] / (sqrtf(v[i]) / f.correction + f.epsilon);
	}
}

// squares_span sums in eight lanes, whatever the instruction set, so that the result is
// the same on all.
static double FN(squares_span)(int64_t n, const float *restrict x) {
	double lane[8] = {0};
	int64_t i = 0;
	for (; i + 8 <= n; i += 8)
		for (int l = 0; l < 8; l++) lane[l] += (double)x[i + l] * x[i + l];
	double sum = 0;
	for (int l = 0; l < 8; l++) sum += lane[l];
	for (; i < n; i++) sum += (double)x[i] * x[i];
	return sum;
}

static const spans FN(spans) = {
	FN(map_span), FN(moments_span), FN(sums_span), FN(backward_span), FN(post_span), FN(drop_span),
	FN(channel_add_span), FN(add_span), FN(scale_span), FN(resample_row), FN(pool_voxel), FN(unpool_voxel),
	FN(gate_span), FN(dot_span), FN(sgd_span), FN(adamw_span), FN(squares_span),
};

#undef EACH
