//go:build onednn

#include "winograd.h"
#include "kernels.h"
#include "targets.h"

#include <omp.h>
#include <string.h>

// products are matrix products for one instruction set; see winograd_products.h.
typedef struct {
	int64_t lanes, rows;
	void (*product)(int64_t rows, int64_t columns, int64_t n, const float *a, const float *b, int64_t b_step, float *c, int64_t c_row, int64_t a_next, int64_t b_next);
	void (*product_add)(int64_t rows, int64_t columns, int64_t n, const float *a, const float *b, int64_t b_step, float *c, int64_t c_row, int64_t a_next, int64_t b_next);
} products;

// tiles are the transforms of one size; see winograd_tiles.h and winograd_sizes.h.
// With two groups of taps on an axis, the second one meets the next tile of the
// input: a group has as many taps as a tile of the result has voxels. A tap that the
// second has too many is zero, and so is then what belongs to its last point.
typedef struct {
	int side, made, taps, groups;
	double moves[2];
	void (*tile_in)(int64_t channels, const float *const *voxels, float *to, int64_t step);
	// NULL where the convolution is not computed this way.
	void (*tile_out)(int64_t channels, const float *from, int64_t step, const float *bias, float *const *voxels);
	void (*kernel_in)(const float *taps, int64_t tap_step, float *to, int64_t step);
	// NULL where the gradient is not computed this way.
	void (*tile_gradient)(int64_t channels, const float *const *voxels, float *to, int64_t step);
	void (*kernel_gradient)(const float *from, int64_t step, float *const *taps);
} tiles;

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

enum { SIZES = 4 };

// code is what the machine runs.
typedef struct {
	const products *p;
	const tiles *sizes[SIZES];
} code;

static code best(void) {
#ifdef __x86_64__
	switch (kernels_lanes()) {
	case 16: return (code){&products_avx512, {&tiles_2_3_avx512, &tiles_4_3_avx512, &tiles_2_5_avx512, &tiles_3_5_avx512}};
	case 8: return (code){&products_avx2, {&tiles_2_3_avx2, &tiles_4_3_avx2, &tiles_2_5_avx2, &tiles_3_5_avx2}};
	}
#endif
	return (code){0};
}

static const tiles *size_of(const filter *f, int tile) {
	const code c = best();
	for (int i = 0; i < SIZES; i++)
		if (c.sizes[i]->made == tile && c.sizes[i]->taps == f->taps) return c.sizes[i];
	return NULL;
}

// grid is the tiles of the input: those of the result, and with two groups of taps
// one more on each axis.
typedef struct {
	int64_t side, more, size[3], count;
} grid;

static grid grid_of(const filter *f, const tiles *t) {
	grid g = {.side = t->made, .more = t->groups - 1, .count = f->batch};
	for (int i = 0; i < 3; i++) g.count *= g.size[i] = ceiling(f->to[i], t->made) + g.more;
	return g;
}

static int always;

void winograd_always(int tile) { always = tile; }

int winograd_choose(const filter *f, int gradient) {
	const code c = best();
	if (!c.p || f->in % c.p->lanes || f->out % c.p->lanes) return 0;
	const double in = f->in, out = f->out, voxels = (double)f->batch * f->to[0] * f->to[1] * f->to[2];
	// Times in products at full speed, as measured. The sum over taps runs at three
	// quarters of that. A point of a kernel, which goes through main memory, costs 200.
	double least = voxels * cubed(f->taps) * in * out / 0.75;
	int tile = 0;
	for (int i = 0; i < SIZES; i++) {
		const tiles *t = c.sizes[i];
		if (t->taps != f->taps || (gradient ? !t->tile_gradient : !t->tile_out)) continue;
		// The second group of an axis has nothing to do at the last point.
		const double count = grid_of(f, t).count, products = cubed(t->side + (t->groups - 1) * (t->side - 1));
		const double time = count * (products * in * out + cubed(t->side) * t->moves[gradient] * (in + out)) + 200 * products * in * out;
		if (always ? t->made == always : time < least) {
			least = time;
			tile = t->made;
		}
	}
	return tile;
}

// corner returns the first voxel of a tile and its sample.
static int64_t corner(const grid *g, int64_t tile, int64_t at[3]) {
	for (int i = 2; i >= 0; i--) {
		at[i] = tile % g->size[i] * g->side;
		tile /= g->size[i];
	}
	return tile;
}

enum { MOST = 216 }; // points

// voxels_at points to the width³ voxels of a volume from voxel at on, to outside
// where there are none.
static void voxels_at(int width, const int64_t size[3], int64_t channels, const float *volume, const int64_t at[3],
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

static void voxels_in(const filter *f, int width, const grid *g, const float *x, int64_t tile, const float *outside, const float **voxels) {
	int64_t at[3];
	x += corner(g, tile, at) * f->from[0] * f->from[1] * f->from[2] * f->in;
	for (int i = 0; i < 3; i++) at[i] -= f->pad[i];
	voxels_at(width, f->from, f->in, x, at, outside, voxels);
}

static void voxels_out(const filter *f, const grid *g, const float *y, int64_t tile, const float *outside, const float **voxels) {
	int64_t at[3];
	y += corner(g, tile, at) * f->to[0] * f->to[1] * f->to[2] * f->out;
	voxels_at(g->side, f->to, f->out, y, at, outside, voxels);
}

// Steps between points are a line longer than a power of two: streams at
// distances of pages would share few lines of the cache.
enum { LINE = 16 };

// plan is how the work of a convolution is cut up: blocks of tiles, times parts of
// the channels that are made.
typedef struct {
	int64_t points, tiles; // of a block
	int64_t columns, parts;
	int64_t kernel_step, in_step, out_step; // between points
	int64_t zeros;                          // floats of a row of them
} plan;

static int64_t zeros_of(const filter *f) { return ceiling(larger(f->in, f->out), LINE) * LINE; }

static plan plan_of(const filter *f, const tiles *t, int threads) {
	const products *l = best().p;
	// Enough tiles to make up for reading the kernels' points, few enough for theirs
	// to stay in the cache.
	plan p = {.points = cubed(t->side), .tiles = 48, .parts = 1, .zeros = zeros_of(f)};
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
	const tiles *size = size_of(f, tile);
	const grid g = grid_of(f, size);
	const plan p = plan_of(f, size, threads);
	float *zeros = scratch, *points = zeros + p.zeros, *own = points + p.points * p.kernel_step;
	memset(zeros, 0, sizeof(float) * p.zeros);
	const int64_t kernels = f->in * f->out, units = ceiling(g.count, p.tiles) * p.parts;
	_Pragma("omp parallel for num_threads(threads) schedule(static)")
	for (int64_t k = 0; k < kernels; k += l->lanes)
		size->kernel_in(kernel + k + (flip ? (cubed(f->taps) - 1) * kernels : 0), flip ? -kernels : kernels, points + k, p.kernel_step);

	_Pragma("omp parallel for num_threads(threads) schedule(dynamic)")
	for (int64_t u = 0; u < units; u++) {
		const int64_t first = u / p.parts * p.tiles, count = smaller(p.tiles, g.count - first);
		const int64_t from = u % p.parts * p.columns, columns = smaller(p.columns, f->out - from);
		float *in = own + omp_get_thread_num() * p.points * (p.in_step + p.out_step), *out = in + p.points * p.in_step;
		const float *voxels[MOST];
		for (int64_t t = 0; t < count; t++) {
			voxels_in(f, size->side, &g, x, first + t, zeros, voxels);
			size->tile_in(f->in, voxels, in + t * f->in, p.in_step);
		}
		// Rows beyond the last tile are computed and not looked at.
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

// cut is how the work of a gradient is cut up: blocks of at most so many tiles of the
// result on each axis.
typedef struct {
	int64_t points, groups, tiles[3], blocks[3], count;
	int64_t kernel_step, in_step, out_step; // between points
	int64_t zeros;                          // floats of a row of them
} cut;

// block is tiles of the result, and those of the input that they meet, as rows along
// z, y and x. Where the input has a tile more, the result has a row of zeros.
typedef struct {
	int64_t first, size[3];    // of the result
	int64_t line, layer, rows; // of the input: those along z, for each x and in all
} block;

static block sized(const grid *g, block b) {
	b.line = b.size[2] + g->more;
	b.layer = b.line * (b.size[1] + g->more);
	b.rows = b.layer * (b.size[0] + g->more);
	return b;
}

static block block_at(const grid *g, const cut *c, int64_t number) {
	block b;
	int64_t at[3];
	for (int i = 2; i >= 0; i--) {
		at[i] = number % c->blocks[i] * c->tiles[i];
		number /= c->blocks[i];
		b.size[i] = smaller(c->tiles[i], g->size[i] - g->more - at[i]);
	}
	b.first = ((number * g->size[0] + at[0]) * g->size[1] + at[1]) * g->size[2] + at[2];
	return sized(g, b);
}

// moved returns how many rows there are from a tile of the result to that of the
// input which a group of taps meets.
static int64_t moved(const block *b, int64_t group) {
	return group / 4 * b->layer + group / 2 % 2 * b->line + group % 2;
}

// vanishes tells whether what belongs to a group at a point is zero.
static int vanishes(int64_t side, int64_t group, int64_t point) {
	return (group / 4 && point / (side * side) == side - 1) || (group / 2 % 2 && point / side % side == side - 1) ||
		(group % 2 && point % side == side - 1);
}

static cut cut_of(const filter *f, const tiles *t) {
	const grid g = grid_of(f, t);
	cut c = {.points = cubed(t->side), .groups = cubed(t->groups), .count = f->batch, .zeros = zeros_of(f)};
	// Many enough for the threads to wait for each other seldom, and to make up for
	// reading the sums, of which two groups have more.
	int64_t most = smaller(larger(16384 / (f->in + f->out), g.more ? 256 : 64), 512);
	for (int i = 2; i >= 0; i--) {
		const int64_t all = g.size[i] - g.more;
		c.tiles[i] = even(all, smaller(most, i == 2 ? 16 : most));
		c.count *= c.blocks[i] = ceiling(all, c.tiles[i]);
		most /= c.tiles[i];
	}
	const block b = sized(&g, (block){.size = {c.tiles[0], c.tiles[1], c.tiles[2]}});
	c.kernel_step = f->in * f->out + LINE;
	c.in_step = b.rows * f->in + LINE;
	c.out_step = b.rows * f->out + LINE;
	return c;
}

// taps_of points to a group's taps of the kernels from kernel on, to NULL where there
// are none.
static void taps_of(const filter *f, const tiles *t, int64_t group, float *kernel, float **taps) {
	const int64_t width = t->side - t->made + 1, at[] = {group / 4 * width, group / 2 % 2 * width, group % 2 * width};
	for (int64_t i = 0; i < cubed(width); i++) {
		const int64_t x = at[0] + i / width / width, y = at[1] + i / width % width, z = at[2] + i % width;
		const int there = x < f->taps && y < f->taps && z < f->taps;
		taps[i] = there ? kernel + ((x * f->taps + y) * f->taps + z) * f->in * f->out : NULL;
	}
}

size_t winograd_scratch(const filter *f, int tile, int gradient, int threads) {
	const tiles *t = size_of(f, tile);
	if (gradient) {
		const cut c = cut_of(f, t);
		return sizeof(float) * (c.zeros + c.points * (c.groups * c.kernel_step + c.in_step + c.out_step));
	}
	const plan p = plan_of(f, t, threads);
	return sizeof(float) * (p.zeros + p.points * (p.kernel_step + threads * (p.in_step + p.out_step)));
}

void winograd_gradient(const filter *f, int tile, int threads, const float *x, const float *g, float *kernel, void *scratch) {
	const products *l = best().p;
	const tiles *size = size_of(f, tile);
	const grid all = grid_of(f, size);
	const cut c = cut_of(f, size);
	float *zeros = scratch, *points = zeros + c.zeros, *in = points + c.points * c.groups * c.kernel_step, *out = in + c.points * c.in_step;
	memset(zeros, 0, sizeof(float) * c.zeros);
	const int64_t kernels = f->in * f->out;
	_Pragma("omp parallel num_threads(threads)")
	{
		const float *voxels[MOST];
		for (int64_t number = 0; number < c.count; number++) {
			const block b = block_at(&all, &c, number);
			_Pragma("omp for schedule(static)")
			for (int64_t row = 0; row < b.rows; row++) {
				const int64_t ax = row / b.layer, ay = row % b.layer / b.line, az = row % b.line;
				const int64_t at = b.first + (ax * all.size[1] + ay) * all.size[2] + az;
				voxels_in(f, size->side, &all, x, at, zeros, voxels);
				size->tile_in(f->in, voxels, in + row * f->in, c.in_step);
				float *to = out + row * f->out;
				if (ax < b.size[0] && ay < b.size[1] && az < b.size[2]) {
					voxels_out(f, &all, g, at, zeros, voxels);
					size->tile_gradient(f->out, voxels, to, c.out_step);
				} else {
					for (int64_t i = 0; i < c.points; i++) memset(to + i * c.out_step, 0, sizeof(float) * f->out);
				}
			}
			// Every point adds up the blocks in order. The last have less to do.
			const int64_t rows = b.rows - moved(&b, c.groups - 1);
			_Pragma("omp for schedule(static, 1)")
			for (int64_t i = 0; i < c.points; i++)
				for (int64_t group = 0; group < c.groups; group++) {
					if (vanishes(size->side, group, i)) continue;
					float *sum = points + (i * c.groups + group) * c.kernel_step;
					if (number == 0) memset(sum, 0, sizeof(float) * kernels);
					l->product_add(f->in, f->out, rows, in + i * c.in_step + moved(&b, group) * f->in, out + i * c.out_step, f->out, sum, f->out,
						threads * c.in_step, threads * c.out_step);
				}
		}
		_Pragma("omp for schedule(static)")
		for (int64_t k = 0; k < kernels; k += l->lanes)
			for (int64_t group = 0; group < c.groups; group++) {
				float *taps[MOST];
				taps_of(f, size, group, kernel + k, taps);
				size->kernel_gradient(points + group * c.kernel_step + k, c.groups * c.kernel_step, taps);
			}
	}
}
