//go:build onednn

#include "kernels.h"
#include "targets.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

// table contains coefficients, each repeated over a period; see spans.h.
typedef struct {
	const float *mean, *scale, *shift, *slope, *mean2, *scale2, *shift2;
} table;

// spans are the inner loops for one instruction set.
typedef struct {
	void (*map)(int act, int post, int64_t n, int64_t period, const table *t, const float *x, const float *q, float *y);
	void (*moments)(int64_t n, int64_t period, const float *x, const float *mean, float *sum);
	void (*sums)(int act, int64_t n, int64_t period, const table *t, const float *x, const float *g, float *s);
	void (*backward)(int act, int64_t n, int64_t period, const table *t, const float *x, const float *g, float *gx);
	void (*post)(int act, int64_t n, const float *g, const float *y, float *gx);
	void (*drop)(int64_t n, int64_t period, const float *mask, const float *x, float *y);
	void (*channel_add)(int64_t n, int64_t period, const float *add, float *y);
	void (*add)(int64_t n, const float *a, const float *b, float *y);
	void (*scale)(int64_t n, float by, const float *x, float *y);
	void (*resample_row)(int64_t channels, const taps *z, int64_t count, const float *const *rows, const float *weights, float *y);
	void (*pool_voxel)(int64_t channels, int32_t number, const float *x, float *y, int32_t *tap);
	void (*unpool_voxel)(int64_t channels, int32_t number, const float *g, const int32_t *tap, float *gx);
	void (*gate)(int64_t rows, int64_t channels, const float *x, const float *by, float *y);
	void (*dot)(int64_t rows, int64_t channels, const float *x, const float *g, float *out);
	void (*sgd)(int64_t n, float *w, const float *g, float *v, int first, float rate, float momentum, float decay, int nesterov);
	void (*adamw)(int64_t n, float *w, const float *g, float *m, float *v, const adamw_factors *f);
	double (*squares)(int64_t n, const float *x);
} spans;

#define SUFFIX _plain
#include "spans.h"
#undef SUFFIX

#ifdef __x86_64__
AVX2_BEGIN
#define SUFFIX _avx2
#include "spans.h"
#undef SUFFIX
TARGET_END
AVX512_BEGIN
#define SUFFIX _avx512
#include "spans.h"
#undef SUFFIX
TARGET_END
#endif

// tier is an instruction set for which the loops are compiled.
typedef struct {
	const char *name;
	const spans *loops;
	int lanes;
} tier;

static const tier tiers[] = { // best first
#ifdef __x86_64__
	{"AVX-512", &spans_avx512, 16},
	{"AVX2", &spans_avx2, 8},
#endif
	{"plain", &spans_plain, 0},
};
enum { TIERS = sizeof tiers / sizeof *tiers };

static const spans *best = &spans_plain;

static int has(const tier *t) {
#ifdef __x86_64__
	__builtin_cpu_init();
	const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	if (t->loops == &spans_avx2) return avx2;
	if (t->loops == &spans_avx512)
		return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
			__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
	return t->loops == &spans_plain;
}

int kernels_use(const char *name) {
	for (int i = 0; i < TIERS; i++)
		if (!strcmp(tiers[i].name, name) && has(&tiers[i])) {
			best = tiers[i].loops;
			return 1;
		}
	return 0;
}

const char *kernels_open(int threads) {
	// oneDNN divides its work among the number of threads that OpenMP announces and
	// waits for all of them. It would wait forever if a thread limit or a busy machine
	// made OpenMP provide fewer.
	omp_set_dynamic(0);
	if (threads > 0 && threads < omp_get_max_threads()) omp_set_num_threads(threads);
	int team = 1;
	_Pragma("omp parallel")
	_Pragma("omp single")
	team = omp_get_num_threads();
	omp_set_num_threads(team);
	int i = 0;
	while (!has(&tiers[i])) i++;
	best = tiers[i].loops;
	return tiers[i].name;
}

int kernels_threads(int n) {
	const int was = omp_get_max_threads();
	omp_set_num_threads(n);
	return was;
}

int kernels_lanes(void) {
	int i = 0;
	while (tiers[i].loops != best) i++;
	return tiers[i].lanes;
}

// Scratch memory. It is cached for the next call, since all calls come from one thread.

static int failed;

int kernels_failed(void) {
	int f = failed;
	failed = 0;
	return f;
}

enum { SCRATCH_TABLES, SCRATCH_PARTS, SCRATCH_KINDS };

static void *scratch(int kind, size_t bytes) {
	static struct { void *p; size_t size; } cache[SCRATCH_KINDS];
	if (cache[kind].size < bytes) {
		free(cache[kind].p);
		cache[kind].size = (bytes + 4095) / 4096 * 4096;
		cache[kind].p = aligned_alloc(64, cache[kind].size);
		if (!cache[kind].p) {
			cache[kind].size = 0;
			failed = 1;
		}
	}
	return cache[kind].p;
}

// Chunks.

static int64_t period_of(int64_t channels) {
	if (channels >= 128) return channels;
	int64_t a = channels, b = 16;
	while (b) {
		int64_t r = a % b;
		a = b;
		b = r;
	}
	int64_t least = channels / a * 16;
	return (127 / least + 1) * least;
}

// chunk_of returns the number of elements that a thread processes at a time: whole
// periods, few enough for two or three arrays of them to fit in a core's private cache.
static int64_t chunk_of(int64_t period) { return (16384 / period + 1) * period; }

// spread repeats channels floats over a period, or v if from is NULL.
static void spread(float *to, int64_t period, int64_t channels, const float *from, float v) {
	for (int64_t j = 0; j < period; j++) to[j] = from ? from[j % channels] : v;
}

enum { TABLES = 7 };

// tables spreads up to seven coefficients of every block. If from[i] is NULL, the
// coefficient is the constant v[i]. If shared[i] is set, it is the same for all blocks.
static const float *tables(view w, int64_t period, const float *const from[TABLES], const float v[TABLES], const int shared[TABLES]) {
	float *t = scratch(SCRATCH_TABLES, sizeof(float) * w.blocks * TABLES * period);
	if (!t) return NULL;
	for (int64_t b = 0; b < w.blocks; b++)
		for (int i = 0; i < TABLES; i++) {
			const float *f = from[i];
			if (f && !shared[i]) f += b * w.channels;
			spread(t + (b * TABLES + i) * period, period, w.channels, f, v[i]);
		}
	return t;
}

static table table_at(const float *t, int64_t period, int64_t block) {
	const float *b = t + block * TABLES * period;
	return (table){b, b + period, b + 2 * period, b + 3 * period, b + 4 * period, b + 5 * period, b + 6 * period};
}

static const int slope_shared[TABLES] = {0, 0, 0, 1, 0, 0, 0};

// CHUNKS runs body in parallel for every chunk of every block. body sees the index of
// the block as block, and the first element and the length of the chunk as from and n.
#define CHUNKS(w, size, body) \
	const int64_t per_ = ((w).elements + (size) - 1) / (size), all_ = (w).blocks * per_; \
	_Pragma("omp parallel for schedule(static) if (all_ > 1)") \
	for (int64_t c_ = 0; c_ < all_; c_++) { \
		const int64_t block = c_ / per_, at_ = c_ % per_ * (size), from = block * (w).elements + at_; \
		const int64_t n = (w).elements - at_ < (size) ? (w).elements - at_ : (size); \
		body \
	}

void map_terms(view w, term p, const term *q, int post, float *y) {
	const int64_t period = period_of(w.channels), size = chunk_of(period);
	const coefficients none = {0}, *m = &p.norm, *m2 = q ? &q->norm : &none;
	const float *const from[TABLES] = {m->mean, m->scale, m->shift, p.slope, m2->mean, m2->scale, m2->shift};
	const float identity[TABLES] = {0.f, 1.f, 0.f, 0.f, 0.f, 1.f, 0.f};
	const float *t = tables(w, period, from, identity, slope_shared);
	if (!t) return;
	const float *qx = q ? q->x : NULL;
	CHUNKS(w, size, {
		table e = table_at(t, period, block);
		best->map(p.act, post, n, period, &e, p.x + from, qx ? qx + from : NULL, y + from);
	})
}

// Norms.

// part is the statistics of one channel in one chunk: the number of values, their mean,
// and the sum of their squared deviations from it.
typedef struct { double count, mean, square; } part;

// merge combines two parts (Chan, Golub, LeVeque 1979).
static part merge(part a, part b) {
	if (a.count == 0) return b;
	if (b.count == 0) return a;
	double count = a.count + b.count, d = b.mean - a.mean;
	return (part){count, a.mean + d * b.count / count, a.square + b.square + d * d * a.count * b.count / count};
}

// measure computes the parts of one chunk in two passes, the second of which finds it in
// the cache. A single pass for the sum of squares would lose the variance of values far
// from 0 to rounding.
static void measure(const float *x, int64_t n, int64_t period, int64_t channels, float *sum, part *out) {
	float *mean = sum + period;
	best->moments(n, period, x, NULL, sum);
	const int64_t rows = n / channels;
	for (int64_t c = 0; c < channels; c++) {
		double s = 0;
		for (int64_t j = c; j < period; j += channels) s += sum[j];
		out[c].count = (double)rows;
		out[c].mean = (double)(float)(s / (double)rows);
		for (int64_t j = c; j < period; j += channels) mean[j] = (float)out[c].mean;
	}
	best->moments(n, period, x, mean, sum);
	for (int64_t c = 0; c < channels; c++) {
		double s = 0;
		for (int64_t j = c; j < period; j += channels) s += sum[j];
		out[c].square = s;
	}
}

void norm_statistics(view w, const float *x, int64_t groups, double epsilon, const float *weight, const float *bias,
	float *running_mean, float *running_var, double momentum, coefficients out) {
	const int64_t channels = w.channels, period = period_of(channels), size = chunk_of(period);
	const int64_t chunks = (w.elements + size - 1) / size;
	part *parts = scratch(SCRATCH_PARTS, sizeof(part) * w.blocks * chunks * channels);
	float *sums = scratch(SCRATCH_TABLES, sizeof(float) * omp_get_max_threads() * 2 * period);
	if (!parts || !sums) return;
	CHUNKS(w, size, {
		(void)block;
		measure(x + from, n, period, channels, sums + omp_get_thread_num() * 2 * period, parts + c_ * channels);
	})
	for (int64_t b = 0; b < w.blocks; b++) {
		part *first = parts + b * chunks * channels;
		for (int64_t k = 1; k < chunks; k++)
			for (int64_t c = 0; c < channels; c++) first[c] = merge(first[c], first[k * channels + c]);
		const int64_t per = channels / groups;
		for (int64_t g = 0; g < groups; g++) {
			part all = first[g * per];
			for (int64_t c = 1; c < per; c++) all = merge(all, first[g * per + c]);
			const double variance = all.square / all.count, rstd = 1 / sqrt(variance + epsilon);
			for (int64_t c = g * per; c < (g + 1) * per; c++) {
				const int64_t i = b * channels + c;
				out.mean[i] = (float)all.mean;
				out.rstd[i] = (float)rstd;
				out.scale[i] = (float)(rstd * (weight ? weight[c] : 1));
				out.shift[i] = bias ? bias[c] : 0.f;
				if (running_mean) {
					running_mean[c] = (float)((1 - momentum) * running_mean[c] + momentum * all.mean);
					running_var[c] = (float)((1 - momentum) * running_var[c] + momentum * (all.square / (all.count - 1)));
				}
			}
		}
	}
}

void norm_fixed(int64_t channels, const float *mean, const float *variance, double epsilon,
	const float *weight, const float *bias, coefficients out) {
	for (int64_t c = 0; c < channels; c++) {
		const double rstd = 1 / sqrt((double)variance[c] + epsilon);
		out.mean[c] = mean[c];
		out.rstd[c] = (float)rstd;
		out.scale[c] = (float)(rstd * weight[c]);
		out.shift[c] = bias[c];
	}
}

void backward_sums(view w, term p, const float *g, double *sums) {
	const int64_t channels = w.channels, period = period_of(channels), size = chunk_of(period);
	const float *const from_[TABLES] = {p.norm.mean, p.norm.scale, p.norm.shift, p.slope};
	const float identity[TABLES] = {0.f, 1.f};
	const float *t = tables(w, period, from_, identity, slope_shared);
	const int64_t chunks = (w.elements + size - 1) / size;
	float *parts = scratch(SCRATCH_PARTS, sizeof(float) * w.blocks * chunks * 3 * period);
	if (!t || !parts) return;
	CHUNKS(w, size, {
		table e = table_at(t, period, block);
		best->sums(p.act, n, period, &e, p.x + from, g + from, parts + c_ * 3 * period);
	})
	const int64_t stride = w.blocks * channels;
	memset(sums, 0, sizeof(double) * 3 * stride);
	for (int64_t b = 0; b < w.blocks; b++)
		for (int64_t k = 0; k < chunks; k++)
			for (int s = 0; s < 3; s++) {
				const float *part = parts + ((b * chunks + k) * 3 + s) * period;
				double *to = sums + s * stride + b * channels;
				for (int64_t j = 0; j < period; j += channels)
					for (int64_t c = 0; c < channels; c++) to[c] += part[j + c];
			}
}

void norm_finish(view w, const double *sums, int64_t groups, coefficients norm, const float *weight, int fixed,
	float *gweight, float *gbias, float *shift, float *slope) {
	const int64_t channels = w.channels, stride = w.blocks * channels, per = channels / groups;
	const double values = (double)(w.elements / channels * per);
	for (int64_t b = 0; b < w.blocks; b++)
		for (int64_t g = 0; g < groups; g++) {
			double t0 = 0, t1 = 0;
			for (int64_t c = g * per; c < (g + 1) * per; c++) {
				const int64_t i = b * channels + c;
				const double by = weight ? weight[c] : 1;
				t0 += by * sums[i];
				t1 += by * sums[stride + i];
			}
			for (int64_t c = g * per; c < (g + 1) * per; c++) {
				const int64_t i = b * channels + c;
				const double r = norm.rstd[i];
				shift[i] = fixed ? 0.f : (float)(r * t0 / values);
				slope[i] = fixed ? 0.f : (float)(r * r * r * t1 / values);
			}
		}
	for (int64_t c = 0; c < channels; c++) {
		double w0 = 0, w1 = 0;
		for (int64_t b = 0; b < w.blocks; b++) {
			const int64_t i = b * channels + c;
			w0 += sums[i];
			w1 += sums[stride + i] * norm.rstd[i];
		}
		if (gweight) gweight[c] = (float)w1;
		if (gbias) gbias[c] = (float)w0;
	}
}

void slope_gradient(view w, const double *sums, int64_t slopes, float *out) {
	const int64_t stride = w.blocks * w.channels;
	for (int64_t s = 0; s < slopes; s++) {
		double total = 0;
		for (int64_t i = s; i < stride; i += slopes) total += sums[2 * stride + i];
		out[s] = (float)total;
	}
}

void backward_map(view w, term p, const float *g, const float *scale, const float *shift, const float *slope, float *gx) {
	const int64_t period = period_of(w.channels), size = chunk_of(period);
	const float *const from_[TABLES] = {p.norm.mean, p.norm.scale, p.norm.shift, p.slope, scale, slope, shift};
	const float identity[TABLES] = {0.f, 1.f, 0.f, 0.f, 1.f, 0.f, 0.f};
	const float *t = tables(w, period, from_, identity, slope_shared);
	if (!t) return;
	CHUNKS(w, size, {
		table e = table_at(t, period, block);
		best->backward(p.act, n, period, &e, p.x + from, g + from, gx + from);
	})
}

// flat returns n elements as one block of one channel, for elementwise operations
// without coefficients.
static view flat(int64_t n) { return (view){1, n, 1}; }
enum { FLAT_CHUNK = 16384 };

void backward_post(int64_t count, int act, const float *g, const float *y, float *gx) {
	view w = flat(count);
	CHUNKS(w, FLAT_CHUNK, { best->post(act, n, g + from, y + from, gx + from); })
}

void add(int64_t count, const float *a, const float *b, float *y) {
	view w = flat(count);
	CHUNKS(w, FLAT_CHUNK, { best->add(n, a + from, b + from, y + from); })
}

void scale(int64_t count, float by, const float *x, float *y) {
	view w = flat(count);
	CHUNKS(w, FLAT_CHUNK, { best->scale(n, by, x + from, y + from); })
}

void zero(int64_t count, float *y) { memset(y, 0, sizeof(float) * count); }

void mean_of(int64_t count, int64_t k, const float *const *xs, float *y) {
	view w = flat(count);
	const float by = (float)(1.0 / (double)k);
	CHUNKS(w, FLAT_CHUNK, {
		float *to = y + from;
		if (k == 1) {
			memcpy(to, xs[0] + from, sizeof(float) * n);
			continue;
		}
		float sum[FLAT_CHUNK];
		best->add(n, xs[0] + from, xs[1] + from, sum);
		for (int64_t i = 2; i < k; i++)
			for (int64_t j = 0; j < n; j++) sum[j] += xs[i][from + j];
		best->scale(n, by, sum, to);
	})
}

void sgd(int64_t count, float *w_, const float *g, float *v, int first, float rate, float momentum, float decay, int nesterov) {
	view w = flat(count);
	CHUNKS(w, FLAT_CHUNK, { best->sgd(n, w_ + from, g + from, v ? v + from : NULL, first, rate, momentum, decay, nesterov); })
}

void adamw(int64_t count, float *w_, const float *g, float *m, float *v, adamw_factors f) {
	view w = flat(count);
	CHUNKS(w, FLAT_CHUNK, { best->adamw(n, w_ + from, g + from, m + from, v + from, &f); })
}

double sum_of_squares(int64_t count, const float *x) {
	view w = flat(count);
	const int64_t chunks = (count + FLAT_CHUNK - 1) / FLAT_CHUNK;
	double *parts = scratch(SCRATCH_PARTS, sizeof(double) * chunks);
	if (!parts) return 0;
	CHUNKS(w, FLAT_CHUNK, { parts[c_] = best->squares(n, x + from); })
	double total = 0;
	for (int64_t c = 0; c < chunks; c++) total += parts[c];
	return total;
}

// Operations per channel.

void channel_sum(int64_t rows, int64_t channels, const float *x, float *out) {
	view w = {1, rows * channels, channels};
	const int64_t period = period_of(channels), size = chunk_of(period);
	const int64_t chunks = (w.elements + size - 1) / size;
	float *parts = scratch(SCRATCH_PARTS, sizeof(float) * chunks * period);
	if (!parts) return;
	CHUNKS(w, size, {
		(void)block;
		best->moments(n, period, x + from, NULL, parts + c_ * period);
	})
	for (int64_t c = 0; c < channels; c++) {
		double total = 0;
		for (int64_t j = c; j < chunks * period; j += channels) total += parts[j];
		out[c] = (float)total;
	}
}

void channel_add(int64_t rows, int64_t channels, const float *add, float *y) {
	view w = {1, rows * channels, channels};
	const int64_t period = period_of(channels), size = chunk_of(period);
	float *t = scratch(SCRATCH_TABLES, sizeof(float) * period);
	if (!t) return;
	spread(t, period, channels, add, 0.f);
	CHUNKS(w, size, { best->channel_add(n, period, t, y + from); })
}

void drop(view w, const float *x, const float *mask, float *y) {
	const int64_t period = period_of(w.channels), size = chunk_of(period);
	float *t = scratch(SCRATCH_TABLES, sizeof(float) * w.blocks * period);
	if (!t) return;
	for (int64_t b = 0; b < w.blocks; b++) spread(t + b * period, period, w.channels, mask + b * w.channels, 0.f);
	CHUNKS(w, size, { best->drop(n, period, t + block * period, x + from, y + from); })
}

// ROWS runs body in parallel for every chunk of rows. body sees the first row as row and
// the number of rows as count.
#define ROWS(rows, channels, body) \
	const int64_t size_ = (channels) < 16384 ? 16384 / (channels) : 1, all_ = ((rows) + size_ - 1) / size_; \
	_Pragma("omp parallel for schedule(static) if (all_ > 1)") \
	for (int64_t c_ = 0; c_ < all_; c_++) { \
		const int64_t row = c_ * size_, count = (rows) - row < size_ ? (rows) - row : size_; \
		body \
	}

void copy_channels(int64_t rows, int64_t width, const float *from, int64_t from_channels, int64_t at_from,
	float *to, int64_t to_channels, int64_t at_to) {
	const int64_t wide = from_channels > to_channels ? from_channels : to_channels;
	ROWS(rows, wide, {
		for (int64_t r = row; r < row + count; r++)
			memcpy(to + r * to_channels + at_to, from + r * from_channels + at_from, sizeof(float) * width);
	})
}

void repeat_channels(int64_t rows, int64_t in, int64_t out, const float *x, float *y) {
	ROWS(rows, out, {
		for (int64_t r = row; r < row + count; r++)
			for (int64_t c = 0, s = 0; c < out; c++, s = s + 1 == in ? 0 : s + 1) y[r * out + c] = x[r * in + s];
	})
}

void repeat_backward(int64_t rows, int64_t in, int64_t out, const float *g, float *gx) {
	ROWS(rows, out, {
		for (int64_t r = row; r < row + count; r++) {
			for (int64_t c = 0; c < in; c++) gx[r * in + c] = g[r * out + c];
			for (int64_t c = in, s = 0; c < out; c++, s = s + 1 == in ? 0 : s + 1) gx[r * in + s] += g[r * out + c];
		}
	})
}

void gate(int64_t rows, int64_t channels, const float *x, const float *by, float *y) {
	ROWS(rows, channels, { best->gate(count, channels, x + row * channels, by + row, y + row * channels); })
}

void gate_backward(int64_t rows, int64_t channels, const float *x, const float *by, const float *g, float *gx, float *gby) {
	ROWS(rows, channels, {
		if (gx) best->gate(count, channels, g + row * channels, by + row, gx + row * channels);
		if (gby) best->dot(count, channels, x + row * channels, g + row * channels, gby + row);
	})
}

// Max pooling.

static int64_t imax(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t imin(int64_t a, int64_t b) { return a < b ? a : b; }

void max_pool(const pool_shape *s, const float *x, float *y, int32_t *tap) {
	const int64_t channels = s->channels, rows = s->batch * s->out[0] * s->out[1];
#pragma omp parallel for schedule(static)
	for (int64_t r = 0; r < rows; r++) {
		const int64_t oy = r % s->out[1], ox = r / s->out[1] % s->out[0], b = r / (s->out[0] * s->out[1]);
		for (int64_t oz = 0; oz < s->out[2]; oz++) {
			const int64_t o = (r * s->out[2] + oz) * channels;
			for (int64_t c = 0; c < channels; c++) y[o + c] = -INFINITY;
			int first = 1;
			for (int64_t kx = 0; kx < s->kernel[0]; kx++) {
				const int64_t ix = ox * s->stride[0] + kx - s->pad[0];
				if (ix < 0 || ix >= s->in[0]) continue;
				for (int64_t ky = 0; ky < s->kernel[1]; ky++) {
					const int64_t iy = oy * s->stride[1] + ky - s->pad[1];
					if (iy < 0 || iy >= s->in[1]) continue;
					for (int64_t kz = 0; kz < s->kernel[2]; kz++) {
						const int64_t iz = oz * s->stride[2] + kz - s->pad[2];
						if (iz < 0 || iz >= s->in[2]) continue;
						const int32_t number = (int32_t)((kx * s->kernel[1] + ky) * s->kernel[2] + kz);
						if (first) // so that tap is set even if all values are −∞
							for (int64_t c = 0; c < channels; c++) tap[o + c] = number;
						first = 0;
						best->pool_voxel(channels, number, x + (((b * s->in[0] + ix) * s->in[1] + iy) * s->in[2] + iz) * channels, y + o, tap + o);
					}
				}
			}
		}
	}
}

void max_pool_backward(const pool_shape *s, const float *g, const int32_t *tap, float *gx) {
	const int64_t channels = s->channels, rows = s->batch * s->in[0] * s->in[1];
#pragma omp parallel for schedule(static)
	for (int64_t r = 0; r < rows; r++) {
		int64_t at[3], low[3], high[3]; // a voxel, and the windows that contain it
		at[0] = r / s->in[1] % s->in[0];
		at[1] = r % s->in[1];
		const int64_t b = r / (s->in[0] * s->in[1]);
		for (int64_t iz = 0; iz < s->in[2]; iz++) {
			at[2] = iz;
			float *to = gx + (r * s->in[2] + iz) * channels;
			for (int64_t c = 0; c < channels; c++) to[c] = 0.f;
			for (int a = 0; a < 3; a++) {
				const int64_t last = at[a] + s->pad[a], before = last - s->kernel[a] + 1;
				low[a] = before > 0 ? (before + s->stride[a] - 1) / s->stride[a] : 0;
				high[a] = imin(last / s->stride[a], s->out[a] - 1);
			}
			for (int64_t ox = low[0]; ox <= high[0]; ox++)
				for (int64_t oy = low[1]; oy <= high[1]; oy++)
					for (int64_t oz = low[2]; oz <= high[2]; oz++) {
						const int64_t kx = at[0] + s->pad[0] - ox * s->stride[0], ky = at[1] + s->pad[1] - oy * s->stride[1];
						const int64_t kz = at[2] + s->pad[2] - oz * s->stride[2];
						const int64_t o = (((b * s->out[0] + ox) * s->out[1] + oy) * s->out[2] + oz) * channels;
						best->unpool_voxel(channels, (int32_t)((kx * s->kernel[1] + ky) * s->kernel[2] + kz), g + o, tap + o, to);
					}
		}
	}
}

// Resampling.

void resample(int64_t batch, int64_t channels, const taps axis[3], const float *x, float *y) {
	const taps *ax = &axis[0], *ay = &axis[1], *az = &axis[2];
	int64_t widest = 1;
	for (int64_t i = 0; i < ax->to; i++) widest = imax(widest, ax->first[i + 1] - ax->first[i]);
	int64_t wide = 1;
	for (int64_t i = 0; i < ay->to; i++) wide = imax(wide, ay->first[i + 1] - ay->first[i]);
	const int64_t rows = batch * ax->to * ay->to;
#pragma omp parallel for schedule(static)
	for (int64_t r = 0; r < rows; r++) {
		const float *from[widest * wide];
		float weights[widest * wide];
		const int64_t oy = r % ay->to, ox = r / ay->to % ax->to, b = r / (ay->to * ax->to);
		int64_t count = 0;
		for (int64_t i = ax->first[ox]; i < ax->first[ox + 1]; i++)
			for (int64_t j = ay->first[oy]; j < ay->first[oy + 1]; j++, count++) {
				from[count] = x + ((b * ax->from + ax->index[i]) * ay->from + ay->index[j]) * az->from * channels;
				weights[count] = ax->weight[i] * ay->weight[j];
			}
		best->resample_row(channels, az, count, from, weights, y + r * az->to * channels);
	}
}

// Layouts.

#define VOLUME_FROM(name, type) \
	void name(int64_t batch, int64_t channels, int64_t voxels, const type *plain, float *volume) { \
		ROWS(batch * voxels, channels, { \
			for (int64_t c = 0; c < channels; c++) \
				for (int64_t r = row; r < row + count; r++) \
					volume[r * channels + c] = (float)plain[(r / voxels * channels + c) * voxels + r % voxels]; \
		}) \
	}
#define VOLUME_TO(name, type) \
	void name(int64_t batch, int64_t channels, int64_t voxels, const float *volume, type *plain) { \
		ROWS(batch * voxels, channels, { \
			for (int64_t c = 0; c < channels; c++) \
				for (int64_t r = row; r < row + count; r++) \
					plain[(r / voxels * channels + c) * voxels + r % voxels] = (type)volume[r * channels + c]; \
		}) \
	}

VOLUME_FROM(volume_from_float, float)
VOLUME_FROM(volume_from_double, double)
VOLUME_TO(volume_to_float, float)
VOLUME_TO(volume_to_double, double)
