//go:build onednn

#include "winograd.h"
#include "kernels.h"
#include "targets.h"

#include <omp.h>
#include <string.h>

// LINE is the number of floats in a cache line. Steps between points exceed powers of two by
// one: streams whole pages apart would compete for a few lines of the cache.
enum { LINE = 16 };

// MAX_POINTS is the largest number of voxels of a tile, and AT_ONCE that of pointers stored at a
// time, so that a list of voxels needs room for AT_ONCE more.
enum { MAX_POINTS = 343, AT_ONCE = 8 };

// products are the matrix products for one instruction set; see winograd_products.h.
typedef struct {
	int64_t lanes, rows;
	void (*voxels_at)(int width, const int64_t size[3], int64_t channels, const float *volume, const int64_t at[3], const float *outside, const float **voxels);
	void (*product)(int64_t rows, int64_t columns, int64_t n, const float *a, const float *b, int64_t b_step, float *c, int64_t c_row, int64_t a_next, int64_t b_next);
	void (*product_add)(int64_t rows, int64_t columns, int64_t n, const float *a, const float *b, int64_t b_step, float *c, int64_t c_row, int64_t a_next, int64_t b_next);
} products;

// The ways to use transforms: in a convolution, and in a gradient by blocks or by runs; see
// gradient_plan.
enum { CONVOLUTION, BLOCKS, RUNS, WAYS };

// transforms are the transforms of one size; see winograd_transforms.h and
// winograd_sizes.h. If there are two groups of taps per axis, the second is applied to the
// next tile of the input, since a group has as many taps as a tile of the result has
// voxels. If the second group has more taps than are left, its last tap is zero, and so are
// the values at its last point.
typedef struct {
	int side, tile, taps, groups;
	double cost[WAYS];
	void (*tile_in)(int64_t channels, const float *const *voxels, float *to, int64_t step);
	// NULL if convolutions do not use this size.
	void (*tile_out)(int64_t channels, const float *from, int64_t step, const float *bias, float *const *voxels);
	void (*kernel_in)(const float *taps, int64_t tap_step, float *to, int64_t step);
	// NULL if gradients do not use this size.
	void (*tile_gradient)(int64_t channels, const float *const *voxels, float *to, int64_t step);
	void (*kernel_gradient)(const float *from, int64_t step, float *const *taps);
} transforms;

#ifdef __x86_64__
AVX2_BEGIN
#define SUFFIX _avx2
#define LANES 8
#define ROWS 4
#include "winograd_sizes.h"
TARGET_END
AVX512_BEGIN
#define SUFFIX _avx512
#define LANES 16
#define ROWS 8
#include "winograd_sizes.h"
TARGET_END
#endif

enum { SIZES = 5 };

// code is the code for the instruction set in use.
typedef struct {
	const products *p;
	const transforms *sizes[SIZES];
} code;

static code best(void) {
#ifdef __x86_64__
	switch (kernels_lanes()) {
	case 16: return (code){&products_avx512, {&transforms_2_3_avx512, &transforms_4_3_avx512, &transforms_2_5_avx512, &transforms_3_5_avx512, &transforms_3_3_5_avx512}};
	case 8: return (code){&products_avx2, {&transforms_2_3_avx2, &transforms_4_3_avx2, &transforms_2_5_avx2, &transforms_3_5_avx2, &transforms_3_3_5_avx2}};
	}
#endif
	return (code){0};
}

// supports reports whether a size can compute the convolution, or if gradient is set the
// gradient of its kernel.
static int supports(const transforms *t, const filter *f, int gradient) {
	return t->taps == f->taps && (gradient ? t->tile_gradient != NULL : t->tile_out != NULL);
}

static const transforms *size_of(const filter *f, int tile, int gradient) {
	const code c = best();
	for (int i = 0; i < SIZES; i++)
		if (c.sizes[i]->tile == tile && supports(c.sizes[i], f, gradient)) return c.sizes[i];
	return NULL;
}

// grid describes the tiles of the input: those of the result and, with two groups of taps,
// one extra on each axis.
typedef struct {
	int64_t tile, extra, size[3], count;
} grid;

static grid grid_of(const filter *f, const transforms *t) {
	grid g = {.tile = t->tile, .extra = t->groups - 1, .count = f->batch};
	for (int i = 0; i < 3; i++) g.count *= g.size[i] = ceiling(f->to[i], t->tile) + g.extra;
	return g;
}

// in_runs reports whether a gradient has so few channels that the sums of a thread and its
// points fit in the second-level cache.
static int in_runs(const filter *f, const transforms *t) {
	return t->groups == 1 && f->in * f->out <= 2048 && cubed(t->side) * f->in * f->out <= 256 << 10;
}

static int always;

void winograd_always(int tile) { always = tile; }

int winograd_choose(const filter *f, int gradient) {
	const code c = best();
	if (!c.p || f->in % c.p->lanes || f->out % c.p->lanes) return 0;
	const double in = f->in, out = f->out, voxels = (double)f->batch * f->to[0] * f->to[1] * f->to[2];
	// The unit of time is one product at full speed. As measured, direct convolution runs at
	// three quarters of that speed, its gradients more slowly if the last axis is short, and a point
	// of a kernel, which goes through main memory, costs 200, or 120 in a gradient.
	double least = voxels * cubed(f->taps) * in * out / 0.75;
	if (gradient) least *= 6. / smaller(f->to[2], 6);
	const double kernel = gradient ? 120 : 200;
	int tile = 0;
	for (int i = 0; i < SIZES; i++) {
		const transforms *t = c.sizes[i];
		if (!supports(t, f, gradient)) continue;
		// The second group of an axis needs no products at the last point.
		const double count = grid_of(f, t).count, products = cubed(t->side + (t->groups - 1) * (t->side - 1));
		const double transform = t->cost[!gradient ? CONVOLUTION : in_runs(f, t) ? RUNS : BLOCKS];
		const double time = count * (products * in * out + cubed(t->side) * transform * (in + out)) + kernel * products * in * out;
		if (always ? t->tile == always : time < least) {
			least = time;
			tile = t->tile;
		}
	}
	return tile;
}

// corner stores the position of a tile's first voxel in at and returns its sample.
static int64_t corner(const grid *g, int64_t number, int64_t at[3]) {
	for (int i = 2; i >= 0; i--) {
		at[i] = number % g->size[i] * g->tile;
		number /= g->size[i];
	}
	return number;
}

static void voxels_in(const filter *f, int width, const grid *g, const float *x, int64_t number, const float *outside, const float **voxels) {
	int64_t at[3];
	x += corner(g, number, at) * f->from[0] * f->from[1] * f->from[2] * f->in;
	for (int i = 0; i < 3; i++) at[i] -= f->pad[i];
	best().p->voxels_at(width, f->from, f->in, x, at, outside, voxels);
}

static void voxels_out(const filter *f, const grid *g, const float *y, int64_t number, const float *outside, const float **voxels) {
	int64_t at[3];
	y += corner(g, number, at) * f->to[0] * f->to[1] * f->to[2] * f->out;
	best().p->voxels_at(g->tile, f->to, f->out, y, at, outside, voxels);
}

// plan describes how the work of a convolution is divided into blocks of tiles and each of
// these into parts of the output channels.
typedef struct {
	int64_t points, tiles; // per block
	int64_t columns, parts;
	int64_t kernel_step, in_step, out_step; // between points
	int64_t zeros;                          // floats in a row of zeros
} plan;

static int64_t zeros_of(const filter *f) { return ceiling(larger(f->in, f->out), LINE) * LINE; }

static plan plan_of(const filter *f, const transforms *t, int threads) {
	const products *l = best().p;
	// Few tiles, so that their points stay in the cache, but more if the kernels' points do not
	// and have to be read again for every block.
	const int64_t points = cubed(t->side);
	plan p = {.points = points, .tiles = points * f->in * f->out > 256 << 10 ? 48 : 24, .parts = 1, .zeros = zeros_of(f)};
	const int64_t count = grid_of(f, t).count, pair = 2 * l->lanes, blocks = ceiling(count, p.tiles), most = ceiling(f->out, pair);
	if (blocks < 3 * threads) p.parts = smaller(most, ceiling(2 * threads, blocks));
	p.columns = ceiling(most, p.parts) * pair;
	p.parts = ceiling(f->out, p.columns);
	p.tiles = ceiling(smaller(p.tiles, count), l->rows) * l->rows;
	p.kernel_step = f->in * f->out + LINE;
	p.in_step = p.tiles * f->in + LINE;
	p.out_step = p.tiles * smaller(p.columns, f->out) + LINE;
	return p;
}

void winograd_run(const filter *f, int tile, int flip, int threads, const float *x, const float *kernel, const float *bias,
	float *y, void *scratch) {
	const products *l = best().p;
	const transforms *size = size_of(f, tile, 0);
	const grid g = grid_of(f, size);
	const plan p = plan_of(f, size, threads);
	float *zeros = scratch, *points = zeros + p.zeros, *local = points + p.points * p.kernel_step;
	memset(zeros, 0, sizeof(float) * p.zeros);
	const int64_t kernels = f->in * f->out, units = ceiling(g.count, p.tiles) * p.parts;
	_Pragma("omp parallel for num_threads(threads) schedule(static)")
	for (int64_t k = 0; k < kernels; k += l->lanes)
		size->kernel_in(kernel + k + (flip ? (cubed(f->taps) - 1) * kernels : 0), flip ? -kernels : kernels, points + k, p.kernel_step);

	_Pragma("omp parallel for num_threads(threads) schedule(dynamic)")
	for (int64_t u = 0; u < units; u++) {
		const int64_t first = u / p.parts * p.tiles, count = smaller(p.tiles, g.count - first);
		const int64_t from = u % p.parts * p.columns, columns = smaller(p.columns, f->out - from);
		float *in = local + omp_get_thread_num() * p.points * (p.in_step + p.out_step), *out = in + p.points * p.in_step;
		const float *voxels[MAX_POINTS + AT_ONCE];
		for (int64_t t = 0; t < count; t++) {
			voxels_in(f, size->side, &g, x, first + t, zeros, voxels);
			size->tile_in(f->in, voxels, in + t * f->in, p.in_step);
		}
		// Rows beyond the last tile are computed but ignored.
		const int64_t rows = ceiling(count, l->rows) * l->rows;
		for (int64_t i = 0; i < p.points; i++) {
			memset(in + i * p.in_step + count * f->in, 0, sizeof(float) * (rows - count) * f->in);
			l->product(rows, columns, f->in, in + i * p.in_step, points + i * p.kernel_step + from, f->out, out + i * p.out_step, columns, p.in_step, p.kernel_step);
		}
		for (int64_t t = 0; t < count; t++) {
			voxels_out(f, &g, y + from, first + t, NULL, voxels);
			size->tile_out(columns, out + t * columns, p.out_step, bias ? bias + from : NULL, (float *const *)voxels);
		}
	}
}

// gradient_plan describes how the work of a gradient is divided: into runs of consecutive tiles
// with their own sums, each for one thread, or if there are no runs into blocks, each for all
// threads.
//
// A block has at most tiles[i] tiles of the result on axis i. Consecutive blocks follow each other
// along x, and with two groups of taps the last layer of a block's input is the first one of the
// next.
typedef struct {
	int64_t points, groups, tiles[3], blocks[3], count;
	int64_t runs, batch;                    // batch is the number of tiles of a run at a time
	int64_t layers, layer;                  // layers of tiles of the input in memory, and the tiles of each
	int64_t kernel_step, in_step, out_step; // between points
	int64_t zeros;                          // floats in a row of zeros
} gradient_plan;

// block describes tiles of the result and the tiles of the input that they need, which are
// ordered along z, y and x. With two groups of taps there is an extra tile of the input at the
// end of each axis, and a row of zeros at the end of each line of the result.
typedef struct {
	int64_t first, size[3]; // number of the first tile, and tiles of the result
	int64_t x, line, layer; // x of the first tile, tiles of the input along z and in a layer
} block;

static block block_at(const grid *g, const gradient_plan *p, int64_t number) {
	block b;
	int64_t at[3];
	for (int i = 0; i < 3; i++) {
		at[i] = number % p->blocks[i] * p->tiles[i];
		number /= p->blocks[i];
		b.size[i] = smaller(p->tiles[i], g->size[i] - g->extra - at[i]);
	}
	b.first = ((number * g->size[0] + at[0]) * g->size[1] + at[1]) * g->size[2] + at[2];
	b.x = at[0];
	b.line = b.size[2] + g->extra;
	b.layer = b.line * (b.size[1] + g->extra);
	return b;
}

// vanishes reports whether the values of a group at a point are zero.
static int vanishes(int64_t side, int64_t group, int64_t point) {
	return (group / 4 && point / (side * side) == side - 1) || (group / 2 % 2 && point / side % side == side - 1) ||
		(group % 2 && point % side == side - 1);
}

static gradient_plan gradient_plan_of(const filter *f, const transforms *t) {
	const grid g = grid_of(f, t);
	gradient_plan p = {.points = cubed(t->side), .groups = cubed(t->groups), .count = f->batch, .zeros = zeros_of(f), .kernel_step = f->in * f->out + LINE};
	if (in_runs(f, t)) {
		p.batch = 1024 / (f->in + f->out);
		p.runs = 1;
		while (p.runs < 32 && p.runs * 4 * p.batch <= g.count) p.runs *= 2;
		p.in_step = p.batch * f->in + LINE;
		p.out_step = p.batch * f->out + LINE;
		return p;
	}
	// Enough tiles for the threads to wait for each other rarely, and to amortize reading the
	// sums, of which there are more with two groups.
	int64_t most = smaller(larger(16384 / (f->in + f->out), g.extra ? 256 : 64), 512);
	for (int i = 2; i >= 0; i--) {
		const int64_t all = g.size[i] - g.extra;
		p.tiles[i] = even(all, smaller(most, i == 2 ? 16 : most));
		p.count *= p.blocks[i] = ceiling(all, p.tiles[i]);
		most /= p.tiles[i];
	}
	p.layers = p.tiles[0] + g.extra;
	p.layer = (p.tiles[1] + g.extra) * (p.tiles[2] + g.extra);
	p.in_step = p.layers * p.layer * f->in + LINE;
	p.out_step = p.tiles[0] * p.layer * f->out + LINE;
	return p;
}

// taps_of stores pointers to the taps of a group in the kernels that start at kernel, or
// NULL for taps that do not exist.
static void taps_of(const filter *f, const transforms *t, int64_t group, float *kernel, float **taps) {
	const int64_t width = t->side - t->tile + 1, at[] = {group / 4 * width, group / 2 % 2 * width, group % 2 * width};
	for (int64_t i = 0; i < cubed(width); i++) {
		const int64_t x = at[0] + i / width / width, y = at[1] + i / width % width, z = at[2] + i % width;
		const int there = x < f->taps && y < f->taps && z < f->taps;
		taps[i] = there ? kernel + ((x * f->taps + y) * f->taps + z) * f->in * f->out : NULL;
	}
}

size_t winograd_scratch(const filter *f, int tile, int gradient, int threads) {
	const transforms *t = size_of(f, tile, gradient);
	if (gradient) {
		const gradient_plan p = gradient_plan_of(f, t);
		if (p.runs) return sizeof(float) * (p.zeros + p.points * (p.runs * p.kernel_step + threads * (p.in_step + p.out_step)));
		return sizeof(float) * (p.zeros + p.points * (p.groups * p.kernel_step + p.in_step + p.out_step));
	}
	const plan p = plan_of(f, t, threads);
	return sizeof(float) * (p.zeros + p.points * (p.kernel_step + threads * (p.in_step + p.out_step)));
}

// gradient_of_runs is winograd_gradient for a plan with runs.
static void gradient_of_runs(const filter *f, const transforms *size, const gradient_plan *p, int threads, const float *x, const float *g,
	float *kernel, float *scratch) {
	const products *l = best().p;
	const grid all = grid_of(f, size);
	const int64_t kernels = f->in * f->out, sums = p->points * p->kernel_step;
	float *zeros = scratch, *points = zeros + p->zeros, *local = points + p->runs * sums;
	memset(zeros, 0, sizeof(float) * p->zeros);
	_Pragma("omp parallel num_threads(threads)")
	{
		float *in = local + omp_get_thread_num() * p->points * (p->in_step + p->out_step), *out = in + p->points * p->in_step;
		const float *voxels[MAX_POINTS + AT_ONCE];
		_Pragma("omp for schedule(dynamic)")
		for (int64_t run = 0; run < p->runs; run++) {
			float *sum = points + run * sums;
			const int64_t end = (run + 1) * all.count / p->runs;
			memset(sum, 0, sizeof(float) * sums);
			for (int64_t first = run * all.count / p->runs; first < end; first += p->batch) {
				const int64_t count = smaller(p->batch, end - first);
				for (int64_t t = 0; t < count; t++) {
					voxels_in(f, size->side, &all, x, first + t, zeros, voxels);
					size->tile_in(f->in, voxels, in + t * f->in, p->in_step);
					voxels_out(f, &all, g, first + t, zeros, voxels);
					size->tile_gradient(f->out, voxels, out + t * f->out, p->out_step);
				}
				for (int64_t i = 0; i < p->points; i++)
					l->product_add(f->in, f->out, count, in + i * p->in_step, out + i * p->out_step, f->out, sum + i * p->kernel_step, f->out,
						p->in_step, p->out_step);
			}
		}
		_Pragma("omp for schedule(static)")
		for (int64_t k = 0; k < kernels; k += l->lanes) {
			for (int64_t i = 0; i < p->points; i++)
				for (int64_t run = 1; run < p->runs; run++)
					for (int64_t j = k; j < k + l->lanes; j++) points[i * p->kernel_step + j] += points[run * sums + i * p->kernel_step + j];
			float *taps[MAX_POINTS];
			taps_of(f, size, 0, kernel + k, taps);
			size->kernel_gradient(points + k, p->kernel_step, taps);
		}
	}
}

void winograd_gradient(const filter *f, int tile, int threads, const float *x, const float *g, float *kernel, void *scratch) {
	const products *l = best().p;
	const transforms *size = size_of(f, tile, 1);
	const grid all = grid_of(f, size);
	const gradient_plan p = gradient_plan_of(f, size);
	if (p.runs) {
		gradient_of_runs(f, size, &p, threads, x, g, kernel, scratch);
		return;
	}
	float *zeros = scratch, *points = zeros + p.zeros, *in = points + p.points * p.groups * p.kernel_step, *out = in + p.points * p.in_step;
	memset(zeros, 0, sizeof(float) * p.zeros);
	const int64_t kernels = f->in * f->out;
	_Pragma("omp parallel num_threads(threads)")
	{
		const float *voxels[MAX_POINTS + AT_ONCE];
		for (int64_t number = 0; number < p.count; number++) {
			const block b = block_at(&all, &p, number);
			const int64_t known = b.x ? all.extra : 0; // layers of the input that the block before has left
			_Pragma("omp for schedule(static)")
			for (int64_t row = 0; row < (b.size[0] + all.extra) * b.layer; row++) {
				const int64_t ax = row / b.layer, ay = row % b.layer / b.line, az = row % b.line;
				const int64_t at = b.first + (ax * all.size[1] + ay) * all.size[2] + az;
				if (ax >= known) {
					voxels_in(f, size->side, &all, x, at, zeros, voxels);
					size->tile_in(f->in, voxels, in + ((b.x + ax) % p.layers * p.layer + row % b.layer) * f->in, p.in_step);
				}
				if (ax == b.size[0] || ay == b.size[1]) continue;
				float *to = out + (ax * p.layer + row % b.layer) * f->out;
				if (az < b.size[2]) {
					voxels_out(f, &all, g, at, zeros, voxels);
					size->tile_gradient(f->out, voxels, to, p.out_step);
				} else {
					for (int64_t i = 0; i < p.points; i++) memset(to + i * p.out_step, 0, sizeof(float) * f->out);
				}
			}
			// Every point adds up the blocks in order. The last points have less work.
			// Without extra tiles, the layers of a whole block are one.
			const int joined = !all.extra && b.layer == p.layer;
			const int64_t layers = joined ? 1 : b.size[0], rows = joined ? b.size[0] * b.layer : (b.size[1] - 1) * b.line + b.size[2];
			_Pragma("omp for schedule(static, 1)")
			for (int64_t i = 0; i < p.points; i++)
				for (int64_t group = 0; group < p.groups; group++) {
					if (vanishes(size->side, group, i)) continue;
					float *sum = points + (i * p.groups + group) * p.kernel_step;
					if (number == 0) memset(sum, 0, sizeof(float) * kernels);
					for (int64_t ax = 0; ax < layers; ax++) {
						const int64_t from = (b.x + ax + group / 4) % p.layers * p.layer + group / 2 % 2 * b.line + group % 2;
						const int last = ax == layers - 1;
						l->product_add(f->in, f->out, rows, in + i * p.in_step + from * f->in, out + i * p.out_step + ax * p.layer * f->out, f->out, sum, f->out,
							last ? threads * p.in_step : p.layer * f->in, last ? threads * p.out_step : p.layer * f->out);
					}
				}
		}
		_Pragma("omp for schedule(static)")
		for (int64_t k = 0; k < kernels; k += l->lanes)
			for (int64_t group = 0; group < p.groups; group++) {
				float *taps[MAX_POINTS];
				taps_of(f, size, group, kernel + k, taps);
				size->kernel_gradient(points + group * p.kernel_step + k, p.groups * p.kernel_step, taps);
			}
	}
}
