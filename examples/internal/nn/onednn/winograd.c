//go:build onednn

#include "winograd.h"
#include "kernels.h"
#include "targets.h"

#include <omp.h>
#include <string.h>

// loops are the inner loops for one instruction set.
typedef struct {
	int64_t lanes, rows;
	void (*tile_in)(int px, int64_t channels, const float *const *voxels, float *to, int64_t step);
	void (*tile_out)(int64_t channels, const float *from, int64_t step, const float *bias, float *const *voxels);
	void (*tile_gradient)(int px, int64_t channels, const float *const *voxels, float *to, int64_t step);
	void (*kernel_in)(const float *taps, int64_t tap_step, float *to, int64_t step);
	void (*kernel_gradient)(const float *from, int64_t step, float *taps, int64_t tap_step);
	void (*product)(int64_t rows, int64_t columns, int64_t n, const float *a, int64_t a_row, const float *b, int64_t b_step, float *c, int64_t c_row);
	void (*product_add)(int64_t rows, int64_t columns, int64_t n, const float *a, int64_t a_step, const float *b, int64_t b_step, float *c, int64_t c_row);
} loops;

#ifdef __x86_64__
AVX2_BEGIN
#define SUFFIX _avx2
#define LANES 8
#define ROWS 4
#include "winograd_loops.h"
#undef SUFFIX
#undef LANES
#undef ROWS
TARGET_END
AVX512_BEGIN
#define SUFFIX _avx512
#define LANES 16
#define ROWS 8
#include "winograd_loops.h"
#undef SUFFIX
#undef LANES
#undef ROWS
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

int64_t winograd_lanes(void) { return best() ? best()->lanes : 0; }

enum { POINTS = 64, PLANE = 16, TAPS = 27 };

// A thread works on so many tiles at a time: enough to make up for reading the
// kernels' points, few enough for those of the tiles to stay in its cache.
enum { BLOCK = 48 };

// Steps between points are a line longer than a power of two: 64 streams at
// distances of a page would share few lines of the cache.
enum { LINE = 16 };

static int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// grid is the tiles of 2×2×2 voxels of the result.
typedef struct {
	int64_t size[3], count;
} grid;

static grid grid_of(const winograd_shape *s) {
	grid g = {.count = s->batch};
	for (int i = 0; i < 3; i++) g.count *= g.size[i] = ceiling(s->to[i], 2);
	return g;
}

static int always;

void winograd_always(int on) { always = on; }

int winograd_pays(const winograd_shape *s, int gradient) {
	const double in = s->in, out = s->out, tiles = grid_of(s).count;
	const double voxels = (double)s->batch * s->to[0] * s->to[1] * s->to[2];
	// In products at full speed, as measured: a point of a tile's channel costs 26
	// there and back, in the gradient 40; a point of a kernel, which goes through
	// main memory, 100. The sum over taps runs at three quarters of full speed.
	const double ours = POINTS * (tiles * (in * out + (gradient ? 40 : 26) * (in + out)) + 100 * in * out);
	return always || ours < voxels * TAPS * in * out / 0.75;
}

// corner returns the first voxel of a tile and its sample.
static int64_t corner(const grid *g, int64_t tile, int64_t at[3]) {
	for (int i = 2; i >= 0; i--) {
		at[i] = tile % g->size[i] * 2;
		tile /= g->size[i];
	}
	return tile;
}

// voxels_at points to the width³ voxels of a volume from voxel at on, to outside
// where there are none.
INLINE void voxels_at(int width, const int64_t size[3], int64_t channels, const float *volume, const int64_t at[3],
	const float *outside, const float **voxels) {
	const int whole = at[2] >= 0 && at[2] + width <= size[2];
	for (int x = 0; x < width; x++)
		for (int y = 0; y < width; y++, voxels += width) {
			const int64_t ax = at[0] + x, ay = at[1] + y;
			const int in = ax >= 0 && ax < size[0] && ay >= 0 && ay < size[1];
			const float *first = volume + ((ax * size[1] + ay) * size[2] + at[2]) * channels;
			if (in && whole)
				for (int z = 0; z < width; z++) voxels[z] = first + z * channels;
			else
				for (int z = 0; z < width; z++)
					voxels[z] = in && at[2] + z >= 0 && at[2] + z < size[2] ? first + z * channels : outside;
		}
}

static void voxels_in(const winograd_shape *s, const grid *g, const float *x, int64_t tile, const float *outside, const float **voxels) {
	int64_t at[3];
	x += corner(g, tile, at) * s->from[0] * s->from[1] * s->from[2] * s->in;
	for (int i = 0; i < 3; i++) at[i] -= s->pad[i];
	voxels_at(4, s->from, s->in, x, at, outside, voxels);
}

static void voxels_out(const winograd_shape *s, const grid *g, const float *y, int64_t tile, const float *outside, const float **voxels) {
	int64_t at[3];
	y += corner(g, tile, at) * s->to[0] * s->to[1] * s->to[2] * s->out;
	voxels_at(2, s->to, s->out, y, at, outside, voxels);
}

// plan is how the work is cut up. Units are blocks of tiles (forward) or planes
// of points (gradient), times parts of the channels that are made.
typedef struct {
	int64_t tiles;   // at a time
	int64_t columns; // of a unit
	int64_t units, parts;
	int64_t in_step, out_step; // between points
	int64_t own;               // floats of a thread's working memory
} plan;

// parts_of cuts channels so that units times parts are at least want.
static int64_t parts_of(const winograd_shape *s, int64_t units, int64_t want, int64_t *columns) {
	const int64_t pair = 2 * best()->lanes, most = ceiling(s->out, pair);
	const int64_t parts = smaller(most, larger(1, ceiling(want, units)));
	*columns = ceiling(most, parts) * pair;
	return ceiling(s->out, *columns);
}

static plan forward_plan(const winograd_shape *s, int threads) {
	const int64_t rows = best()->rows, count = grid_of(s).count;
	plan p;
	p.tiles = ceiling(smaller(BLOCK, count), rows) * rows;
	const int64_t blocks = ceiling(count, p.tiles);
	p.parts = parts_of(s, blocks, blocks < 3 * threads ? 2 * threads : 1, &p.columns);
	p.units = blocks * p.parts;
	p.in_step = p.tiles * s->in + LINE;
	p.out_step = p.tiles * p.columns + LINE;
	p.own = POINTS * (p.in_step + p.out_step);
	return p;
}

static plan gradient_plan(const winograd_shape *s, int threads) {
	plan p = {.tiles = BLOCK};
	p.parts = parts_of(s, 4, threads > 2 ? 2 * threads : 1, &p.columns);
	p.units = 4 * p.parts;
	p.in_step = p.tiles * s->in + LINE;
	p.out_step = p.tiles * p.columns + LINE;
	p.own = PLANE * (p.in_step + p.out_step);
	return p;
}

static int64_t kernel_step(const winograd_shape *s) { return s->in * s->out + LINE; }

size_t winograd_scratch(const winograd_shape *s, int gradient, int threads) {
	const plan p = gradient ? gradient_plan(s, threads) : forward_plan(s, threads);
	return sizeof(float) * (larger(s->in, s->out) + LINE + POINTS * kernel_step(s) + threads * p.own);
}

// divide splits the scratch memory into a row of zeros, which it clears, the
// kernels' points, and the threads' own.
static float *divide(const winograd_shape *s, void *scratch, const float **zeros, float **points) {
	float *p = scratch;
	const int64_t row = ceiling(larger(s->in, s->out), LINE) * LINE;
	memset(p, 0, sizeof(float) * row);
	*zeros = p;
	*points = p + row;
	return p + row + POINTS * kernel_step(s);
}

void winograd_run(const winograd_shape *s, int flip, int threads, const float *x, const float *kernel, const float *bias,
	float *y, void *scratch) {
	const loops *l = best();
	const grid g = grid_of(s);
	const plan p = forward_plan(s, threads);
	const float *zeros;
	float *points;
	float *own = divide(s, scratch, &zeros, &points);
	const int64_t kernels = s->in * s->out, step = kernel_step(s);
	_Pragma("omp parallel for num_threads(threads) schedule(static)")
	for (int64_t k = 0; k < kernels; k += l->lanes)
		l->kernel_in(kernel + k + (flip ? (TAPS - 1) * kernels : 0), flip ? -kernels : kernels, points + k, step);

	_Pragma("omp parallel for num_threads(threads) schedule(dynamic)")
	for (int64_t u = 0; u < p.units; u++) {
		const int64_t first = u / p.parts * p.tiles, count = smaller(p.tiles, g.count - first);
		const int64_t from = u % p.parts * p.columns, columns = smaller(p.columns, s->out - from);
		float *in = own + omp_get_thread_num() * p.own, *out = in + POINTS * p.in_step;
		const float *voxels[POINTS];
		for (int64_t t = 0; t < count; t++) {
			voxels_in(s, &g, x, first + t, zeros, voxels);
			for (int px = 0; px < 4; px++) l->tile_in(px, s->in, voxels, in + px * PLANE * p.in_step + t * s->in, p.in_step);
		}
		// Rows beyond the last tile are computed and not looked at.
		const int64_t rows = ceiling(count, l->rows) * l->rows;
		for (int64_t i = 0; i < POINTS; i++) {
			memset(in + i * p.in_step + count * s->in, 0, sizeof(float) * (rows - count) * s->in);
			l->product(rows, columns, s->in, in + i * p.in_step, s->in, points + i * step + from, s->out, out + i * p.out_step, columns);
		}
		for (int64_t t = 0; t < count; t++) {
			voxels_out(s, &g, y + from, first + t, NULL, voxels);
			l->tile_out(columns, out + t * columns, p.out_step, bias ? bias + from : NULL, (float *const *)voxels);
		}
	}
}

void winograd_gradient(const winograd_shape *s, int threads, const float *x, const float *g, float *kernel, void *scratch) {
	const loops *l = best();
	const grid tiles = grid_of(s);
	const plan p = gradient_plan(s, threads);
	const float *zeros;
	float *points;
	float *own = divide(s, scratch, &zeros, &points);
	const int64_t kernels = s->in * s->out, step = kernel_step(s);
	// A unit adds up all tiles, in order, for a part of the points.
	_Pragma("omp parallel for num_threads(threads) schedule(dynamic)")
	for (int64_t u = 0; u < p.units; u++) {
		const int px = u / p.parts;
		const int64_t from = u % p.parts * p.columns, columns = smaller(p.columns, s->out - from);
		float *in = own + omp_get_thread_num() * p.own, *out = in + PLANE * p.in_step;
		float *sum = points + px * PLANE * step + from;
		for (int64_t i = 0; i < PLANE; i++)
			for (int64_t c = 0; c < s->in; c++) memset(sum + i * step + c * s->out, 0, sizeof(float) * columns);
		const float *voxels[POINTS];
		for (int64_t first = 0; first < tiles.count; first += p.tiles) {
			const int64_t count = smaller(p.tiles, tiles.count - first);
			for (int64_t t = 0; t < count; t++) {
				voxels_in(s, &tiles, x, first + t, zeros, voxels);
				l->tile_in(px, s->in, voxels, in + t * s->in, p.in_step);
				voxels_out(s, &tiles, g + from, first + t, zeros, voxels);
				l->tile_gradient(px, columns, voxels, out + t * columns, p.out_step);
			}
			for (int64_t i = 0; i < PLANE; i++)
				l->product_add(s->in, columns, count, in + i * p.in_step, s->in, out + i * p.out_step, columns, sum + i * step, s->out);
		}
	}
	_Pragma("omp parallel for num_threads(threads) schedule(static)")
	for (int64_t k = 0; k < kernels; k += l->lanes) l->kernel_gradient(points + k, step, kernel + k, kernels);
}
