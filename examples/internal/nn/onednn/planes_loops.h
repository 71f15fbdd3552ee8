// planes_loops.h contains the inner loops of planes.c. It is included once per instruction
// set, each time with a different SUFFIX, vectors of LANES floats and SUMS vectors of sums
// in registers.

#include "vectors.h"

// READ reads a vector into a register. Without it the compiler would read the vector from
// memory again for each product.
#define READ(to, p) do { (to) = OF(p); __asm__("" : "+v"(to)); } while (0)

// sum_rows computes vectors·LANES voxels of `outputs` channels.
INLINE void FN(sum_rows)(int outputs, int vectors, const stencil *s, const float *bias, const float *x, const float *w, float *y) {
	FN(vec) sum[8][8];
	UNROLL for (int o = 0; o < outputs; o++)
		UNROLL for (int v = 0; v < vectors; v++) sum[o][v] = (FN(vec)){0} + bias[o];
	for (int p = 0; p < s->planes; p++) {
		const float *plane = x + s->plane[p], *taps = w + s->tap[p] * s->in * s->taps * s->taps * outputs;
		for (int64_t i = 0; i < s->in; i++, plane += s->step)
			for (int64_t ty = 0; ty < s->taps; ty++)
				for (int64_t tz = 0; tz < s->taps; tz++, taps += outputs) {
					const float *at = plane + ty * s->pitch + tz;
					FN(vec) d[8];
					UNROLL for (int v = 0; v < vectors; v++) READ(d[v], at + v * LANES);
					UNROLL for (int o = 0; o < outputs; o++)
						UNROLL for (int v = 0; v < vectors; v++) sum[o][v] += taps[o] * d[v];
				}
	}
	UNROLL for (int o = 0; o < outputs; o++)
		UNROLL for (int v = 0; v < vectors; v++) AT(y + o * s->step + v * LANES) = sum[o][v];
}

// add_taps adds the products of all voxels to the inputs×taps×outputs sums, one vector
// each.
INLINE void FN(add_taps)(int inputs, int taps, int outputs, const stencil *s, const float *x, const float *g, float *sums) {
	FN(vec) sum[8][5][8];
	UNROLL for (int i = 0; i < inputs; i++)
		UNROLL for (int t = 0; t < taps; t++)
			UNROLL for (int o = 0; o < outputs; o++) sum[i][t][o] = OF(sums + ((i * taps + t) * outputs + o) * LANES);
	for (int64_t q = 0; q < s->voxels; q += LANES) {
		FN(vec) d[8][5], by[8];
		// Keep the smaller set of factors in registers.
		if (inputs * taps < outputs) {
			UNROLL for (int i = 0; i < inputs; i++)
				UNROLL for (int t = 0; t < taps; t++) READ(d[i][t], x + i * s->step + q + t);
			UNROLL for (int o = 0; o < outputs; o++) {
				READ(by[o], g + o * s->step + q);
				UNROLL for (int i = 0; i < inputs; i++)
					UNROLL for (int t = 0; t < taps; t++) sum[i][t][o] += d[i][t] * by[o];
			}
		} else {
			UNROLL for (int o = 0; o < outputs; o++) READ(by[o], g + o * s->step + q);
			UNROLL for (int i = 0; i < inputs; i++)
				UNROLL for (int t = 0; t < taps; t++) {
					READ(d[i][t], x + i * s->step + q + t);
					UNROLL for (int o = 0; o < outputs; o++) sum[i][t][o] += d[i][t] * by[o];
				}
		}
	}
	UNROLL for (int i = 0; i < inputs; i++)
		UNROLL for (int t = 0; t < taps; t++)
			UNROLL for (int o = 0; o < outputs; o++) AT(sums + ((i * taps + t) * outputs + o) * LANES) = sum[i][t][o];
}

#define ROWS(outputs, vectors) \
	static void FN(CAT(rows_, outputs))(const stencil *s, const float *bias, const float *x, const float *w, float *y) { \
		for (int64_t q = 0; q < s->voxels; q += (vectors) * LANES) FN(sum_rows)(outputs, vectors, s, bias, x + q, w, y + q); \
	}
ROWS(2, SUMS / 3)
ROWS(4, SUMS / 4)
ROWS(8, SUMS / 8)

#define TAPS(name, inputs, taps, outputs) \
	static void FN(name)(const stencil *s, const float *x, const float *g, float *sums) { \
		FN(add_taps)(inputs, taps, outputs, s, x, g, sums); \
	}
TAPS(few_3, SUMS / 6, 3, 2)
TAPS(many_3, 1, 3, SUMS / 3)
TAPS(few_5, SUMS / 12, 5, 2)
TAPS(many_5, 1, 5, SUMS / 6)

static const loops FN(loops) = {
	.lanes = LANES,
	.rows = {{2, SUMS / 3, FN(rows_2)}, {4, SUMS / 4, FN(rows_4)}, {8, SUMS / 8, FN(rows_8)}},
	.taps = {
		{{SUMS / 6, 2, FN(few_3)}, {1, SUMS / 3, FN(many_3)}},
		{{SUMS / 12, 2, FN(few_5)}, {1, SUMS / 6, FN(many_5)}},
	},
};

#undef READ
#undef ROWS
#undef TAPS
#undef SUFFIX
#undef LANES
#undef SUMS
