//go:build onednn

#include "planes.h"
#include "kernels.h"
#include "targets.h"

#include <omp.h>
#include <string.h>

// stencil describes a pass over rows of one plane of the result. Channels are step floats
// apart and rows are pitch floats apart. Between the rows are voxels outside the volume,
// which are computed like all others.
typedef struct {
	int64_t in, taps, pitch, step, voxels;
	int planes;                // of the input
	int64_t plane[5], tap[5]; // offset of each plane, and the tap along x applied to it
} stencil;

// loops are the inner loops for one instruction set; see planes_loops.h.
typedef struct {
	int lanes;
	struct {
		int outputs, vectors;
		void (*run)(const stencil *s, const float *bias, const float *x, const float *w, float *y);
	} rows[3];
	struct {
		int inputs, outputs;
		void (*run)(const stencil *s, const float *x, const float *g, float *sums);
	} taps[2][2]; // for 3 and 5 taps; for up to 2 output channels and for more
} loops;

#ifdef __x86_64__
AVX2_BEGIN
#define SUFFIX _avx2
#define LANES 8
#define SUMS 12
#include "planes_loops.h"
TARGET_END
AVX512_BEGIN
#define SUFFIX _avx512
#define LANES 16
#define SUMS 24
#include "planes_loops.h"
TARGET_END
#endif

static const loops *best(void) {
#ifdef __x86_64__
	switch (kernels_lanes()) {
	case 16: return &loops_avx512;
	case 8: return &loops_avx2;
	}
#endif
	return NULL;
}

static int64_t round_up(int64_t a, int64_t b) { return ceiling(a, b) * b; }

static int always;

void planes_always(int yes) { always = yes; }

int planes_choose(const filter *f) {
	if (!best() || (f->taps != 3 && f->taps != 5) || always < 0) return 0;
	return always || f->out <= 8;
}

// plan describes how the work is divided into bands of rows and runs of planes,
// independently of the number of threads. The planes of the input that the taps reach are
// cached.
typedef struct {
	int64_t rows, bands, run, runs, units;
	int64_t pitch, step; // between rows, and between channels
	int64_t outputs;     // output channels at a time
	int64_t inputs;      // input channels at a time, in a gradient
	int64_t in, out;     // numbers of channels, rounded up to multiples of these
	int64_t vector;      // voxels at a time
	int which;           // index of the loops
} plan;

static plan plan_of(const filter *f, int gradient) {
	const loops *l = best();
	plan p = {.pitch = f->to[2] + f->taps - 1, .inputs = 1};
	if (gradient) {
		p.which = f->out > 2;
		p.outputs = l->taps[f->taps == 5][p.which].outputs;
		p.inputs = l->taps[f->taps == 5][p.which].inputs;
		p.vector = l->lanes;
	} else {
		p.which = (f->out > 2) + (f->out > 4);
		p.outputs = l->rows[p.which].outputs;
		p.vector = l->rows[p.which].vectors * l->lanes;
	}
	p.in = round_up(f->in, p.inputs);
	p.out = round_up(f->out, p.outputs);
	// The cached planes fit in the second-level cache.
	const int64_t fit = (96 << 10) / (p.in * f->taps * p.pitch) - f->taps;
	p.rows = even(f->to[1], larger(fit, 8));
	p.bands = ceiling(f->to[1], p.rows);
	p.runs = larger(smaller(ceiling(32, f->batch * p.bands), f->to[0] / 16), 1);
	p.run = ceiling(f->to[0], p.runs);
	p.runs = ceiling(f->to[0], p.run);
	p.units = f->batch * p.bands * p.runs;
	p.step = round_up(round_up(p.rows * p.pitch, p.vector) + f->taps * p.pitch, 16) + 16;
	return p;
}

// unit is a run of planes of one band.
typedef struct {
	int64_t sample, row, rows, plane, planes;
} unit;

static unit unit_at(const filter *f, const plan *p, int64_t number) {
	const int64_t band = number % p->bands, run = number / p->bands % p->runs;
	return (unit){
		.sample = number / p->bands / p->runs,
		.row = band * p->rows, .rows = smaller(p->rows, f->to[1] - band * p->rows),
		.plane = run * p->run, .planes = smaller(p->run, f->to[0] - run * p->run),
	};
}

// spread copies rows of a plane, one channel after the other. Each row starts `before`
// voxels before the volume. Voxels outside the volume become zeros.
static void spread(const float *plane, const int64_t size[3], int64_t channels, int64_t row, int64_t rows, int64_t before, int64_t pitch,
	int64_t step, float *to) {
	for (int64_t y = 0; y < rows; y++, to += pitch) {
		const int in = row + y >= 0 && row + y < size[1];
		const int64_t from = in ? smaller(larger(before, 0), pitch) : pitch, end = in ? larger(smaller(pitch, size[2] + before), from) : pitch;
		const float *voxels = plane + ((row + y) * size[2] - before) * channels;
		for (int64_t c = 0; c < channels; c++) {
			float *line = to + c * step;
			for (int64_t z = 0; z < from; z++) line[z] = 0;
			for (int64_t z = from; z < end; z++) line[z] = voxels[z * channels + c];
			for (int64_t z = end; z < pitch; z++) line[z] = 0;
		}
	}
}

// advance prepares the cache for plane `at` of the result: it spreads the plane of the
// input for the last tap, replacing the one that no tap needs any more, or if first is
// set, the planes for all taps. It lists in s the planes that exist.
static void advance(const filter *f, const plan *p, const unit *u, const float *x, int64_t at, int first, float *cache, stencil *s) {
	s->planes = 0;
	for (int64_t t = 0; t < f->taps; t++) {
		const int64_t plane = at + t - f->pad[0];
		if (plane < 0 || plane >= f->from[0]) continue;
		const int64_t where = plane % f->taps * p->in * p->step;
		if (first || t == f->taps - 1)
			spread(x + ((u->sample * f->from[0] + plane) * f->from[1]) * f->from[2] * f->in, f->from, f->in, u->row - f->pad[1],
				u->rows + f->taps - 1, f->pad[2], p->pitch, p->step, cache + where);
		s->plane[s->planes] = where;
		s->tap[s->planes++] = t;
	}
}

static int64_t cache_floats(const filter *f, const plan *p) { return f->taps * p->in * p->step; }

// thread_floats returns the number of floats per thread: the cached planes, the planes of
// the result or its gradient, and sums.
static int64_t thread_floats(const filter *f, const plan *p, int64_t sums) { return cache_floats(f, p) + p->out * p->step + sums; }

size_t planes_scratch(const filter *f, int gradient, int threads) {
	const plan p = plan_of(f, gradient);
	const int64_t taps = cubed(f->taps);
	if (gradient)
		return sizeof(float) * (p.units * taps * f->in * f->out + threads * thread_floats(f, &p, taps * p.in * p.out * best()->lanes));
	return sizeof(float) * (taps * f->in * p.out + round_up(p.out, 16) + threads * thread_floats(f, &p, 0));
}

void planes_run(const filter *f, int flip, int threads, const float *x, const float *kernel, const float *bias,
	float *y, void *scratch) {
	const loops *l = best();
	const plan p = plan_of(f, 0);
	const int64_t taps = cubed(f->taps), square = f->taps * f->taps, kernels = f->in * f->out;
	float *weights = scratch, *add = weights + taps * f->in * p.out, *local = add + round_up(p.out, 16);
	for (int64_t o = 0; o < p.out; o++) add[o] = bias && o < f->out ? bias[o] : 0;
	// The axes of weights: groups of output channels, planes of taps, input channels, taps of
	// a plane, output channels of a group.
	for (int64_t o = 0; o < p.out; o++)
		for (int64_t t = 0; t < taps; t++)
			for (int64_t i = 0; i < f->in; i++)
				weights[(((o / p.outputs * f->taps + t / square) * f->in + i) * square + t % square) * p.outputs + o % p.outputs] =
					o < f->out ? kernel[(flip ? taps - 1 - t : t) * kernels + i * f->out + o] : 0;

	_Pragma("omp parallel for num_threads(threads) schedule(dynamic)")
	for (int64_t number = 0; number < p.units; number++) {
		const unit u = unit_at(f, &p, number);
		float *cache = local + omp_get_thread_num() * thread_floats(f, &p, 0), *result = cache + cache_floats(f, &p);
		memset(cache, 0, sizeof(float) * cache_floats(f, &p));
		stencil s = {.in = f->in, .taps = f->taps, .pitch = p.pitch, .step = p.step, .voxels = u.rows * p.pitch};
		for (int64_t at = u.plane; at < u.plane + u.planes; at++) {
			advance(f, &p, &u, x, at, at == u.plane, cache, &s);
			for (int64_t o = 0; o < p.out; o += p.outputs)
				l->rows[p.which].run(&s, add + o, cache, weights + o * taps * f->in, result + o * p.step);
			float *to = y + ((u.sample * f->to[0] + at) * f->to[1] + u.row) * f->to[2] * f->out;
			for (int64_t row = 0; row < u.rows; row++)
				for (int64_t z = 0; z < f->to[2]; z++)
					for (int64_t o = 0; o < f->out; o++) *to++ = result[o * p.step + row * p.pitch + z];
		}
	}
}

void planes_gradient(const filter *f, int threads, const float *x, const float *g, float *kernel, void *scratch) {
	const loops *l = best();
	const plan p = plan_of(f, 1);
	const int lanes = l->lanes;
	const int64_t taps = cubed(f->taps), kernels = taps * f->in * f->out, sums = taps * p.in * p.out * lanes;
	const int64_t line = f->taps * p.inputs * p.outputs * lanes; // floats of sums of a row of taps
	float *parts = scratch, *local = parts + p.units * kernels;
	_Pragma("omp parallel for num_threads(threads) schedule(dynamic)")
	for (int64_t number = 0; number < p.units; number++) {
		const unit u = unit_at(f, &p, number);
		float *cache = local + omp_get_thread_num() * thread_floats(f, &p, sums), *by = cache + cache_floats(f, &p), *sum = by + p.out * p.step;
		memset(cache, 0, sizeof(float) * thread_floats(f, &p, sums));
		stencil s = {.in = f->in, .taps = f->taps, .pitch = p.pitch, .step = p.step, .voxels = u.rows * p.pitch};
		for (int64_t at = u.plane; at < u.plane + u.planes; at++) {
			advance(f, &p, &u, x, at, at == u.plane, cache, &s);
			spread(g + (u.sample * f->to[0] + at) * f->to[1] * f->to[2] * f->out, f->to, f->out, u.row, u.rows, 0, p.pitch, p.step, by);
			for (int64_t o = 0; o < p.out; o += p.outputs)
				for (int t = 0; t < s.planes; t++)
					for (int64_t i = 0; i < p.in; i += p.inputs)
						for (int64_t ty = 0; ty < f->taps; ty++)
							l->taps[f->taps == 5][p.which].run(&s, cache + s.plane[t] + i * p.step + ty * p.pitch, by + o * p.step,
								sum + (((o / p.outputs * f->taps + s.tap[t]) * f->taps + ty) * (p.in / p.inputs) + i / p.inputs) * line);
		}
		for (int64_t k = 0; k < kernels; k++) {
			const int64_t o = k % f->out, i = k / f->out % f->in, t = k / f->out / f->in;
			const float *lane = sum + ((o / p.outputs * f->taps * f->taps + t / f->taps) * (p.in / p.inputs) + i / p.inputs) * line +
				((i % p.inputs * f->taps + t % f->taps) * p.outputs + o % p.outputs) * lanes;
			float all = 0;
			for (int j = 0; j < lanes; j++) all += lane[j];
			parts[number * kernels + k] = all;
		}
	}
	_Pragma("omp parallel for num_threads(threads) schedule(static)")
	for (int64_t k = 0; k < kernels; k++) {
		float all = 0;
		for (int64_t number = 0; number < p.units; number++) all += parts[number * kernels + k];
		kernel[k] = all;
	}
}
