// winograd_products.h contains the matrix products of winograd.c and the addresses of voxels.
// It is included once per instruction set, each time with a different SUFFIX, vectors of LANES
// floats and ROWS rows of sums in registers.

#include "vectors.h"

// sums computes ROWS×(columns·LANES) floats of the product of a and b, summed over n,
// and stores them in c or, if add is set, adds them to c.
INLINE void FN(sums)(int columns, int add, int64_t n, const float *restrict a, int64_t a_row, int64_t a_step,
	const float *restrict b, int64_t b_step, float *restrict c, int64_t c_row) {
	FN(vec) s[ROWS][2];
	UNROLL for (int r = 0; r < ROWS; r++)
		UNROLL for (int j = 0; j < columns; j++) s[r][j] = add ? OF(c + r * c_row + j * LANES) : (FN(vec)){0};
	for (int64_t k = 0; k < n; k++) {
		FN(vec) v[2];
		UNROLL for (int j = 0; j < columns; j++) v[j] = OF(b + k * b_step + j * LANES);
		UNROLL for (int r = 0; r < ROWS; r++)
			UNROLL for (int j = 0; j < columns; j++) s[r][j] += a[r * a_row + k * a_step] * v[j];
	}
	UNROLL for (int r = 0; r < ROWS; r++)
		UNROLL for (int j = 0; j < columns; j++) AT(c + r * c_row + j * LANES) = s[r][j];
}

// fetch prefetches a number of cache lines.
INLINE void FN(fetch)(const float *p, int64_t lines) {
	for (int64_t i = 0; i < lines; i++) __builtin_prefetch(p + i * LINE, 0, 2);
}

// multiply calls sums for all of the matrix c of rows×columns, where rows is a multiple
// of ROWS and columns a multiple of LANES. Meanwhile it prefetches the next a and b,
// which are a_next and b_next floats ahead.
INLINE void FN(multiply)(int add, int64_t rows, int64_t columns, int64_t n, const float *a, int64_t a_row, int64_t a_step,
	const float *b, int64_t b_step, float *c, int64_t c_row, int64_t a_next, int64_t b_next) {
	const int64_t parts = rows / ROWS * ((columns + 2 * LANES - 1) / (2 * LANES));
	const int64_t a_lines = ceiling(rows * n, parts * LINE), b_lines = ceiling(n * b_step, parts * LINE);
	const float *a_part = a + a_next, *b_part = b + b_next;
	for (int64_t j = 0; j < columns; j += 2 * LANES)
		for (int64_t r = 0; r < rows; r += ROWS, a_part += a_lines * LINE, b_part += b_lines * LINE) {
			FN(fetch)(a_part, a_lines);
			FN(fetch)(b_part, b_lines);
			if (j + LANES < columns) FN(sums)(2, add, n, a + r * a_row, a_row, a_step, b + j, b_step, c + r * c_row + j, c_row);
			else FN(sums)(1, add, n, a + r * a_row, a_row, a_step, b + j, b_step, c + r * c_row + j, c_row);
		}
}

// product stores c = a·b: rows×n by n×columns.
static void FN(product)(int64_t rows, int64_t columns, int64_t n, const float *a, const float *b, int64_t b_step,
	float *c, int64_t c_row, int64_t a_next, int64_t b_next) {
	FN(multiply)(0, rows, columns, n, a, n, 1, b, b_step, c, c_row, a_next, b_next);
}

// product_add adds aᵀ·b to c: a is n×rows, b is n×columns.
static void FN(product_add)(int64_t rows, int64_t columns, int64_t n, const float *a, const float *b, int64_t b_step,
	float *c, int64_t c_row, int64_t a_next, int64_t b_next) {
	FN(multiply)(1, rows, columns, n, a, 1, rows, b, b_step, c, c_row, a_next, b_next);
}

typedef int64_t FN(addresses) __attribute__((vector_size(8 * AT_ONCE)));
typedef int64_t FN(unaligned_addresses) __attribute__((vector_size(8 * AT_ONCE), aligned(8), may_alias));

// voxels_at stores pointers to the width³ voxels of a volume that start at voxel at, or
// outside for those that are not in the volume. It overwrites AT_ONCE pointers after them.
static void FN(voxels_at)(int width, const int64_t size[3], int64_t channels, const float *volume, const int64_t at[3],
	const float *outside, const float **voxels) {
	const FN(addresses) number = {0, 1, 2, 3, 4, 5, 6, 7}, z = number + at[2];
	const FN(addresses) in_row = (z >= 0) & (z < size[2]), step = number * (channels * (int64_t)sizeof(float));
	const FN(addresses) none = (FN(addresses)){0} + (int64_t)(intptr_t)outside;
	for (int64_t x = at[0]; x < at[0] + width; x++)
		for (int64_t y = at[1]; y < at[1] + width; y++, voxels += width) {
			FN(addresses) row = none;
			if (x >= 0 && x < size[0] && y >= 0 && y < size[1]) {
				const FN(addresses) all = step + (int64_t)(intptr_t)(volume + ((x * size[1] + y) * size[2] + at[2]) * channels);
				row = (all & in_row) | (none & ~in_row);
			}
			*(FN(unaligned_addresses) *)voxels = row;
		}
}

static const products FN(products) = {LANES, ROWS, FN(voxels_at), FN(product), FN(product_add)};
