// A block's tile of a matrix product: sums of M×N elements, distributed over the block's
// threads, from operands in shared memory. The operands lie either by rows, each row
// holding 16 words of the dimension that is summed over (Rows), or by that dimension,
// each of its values holding the rows (Columns).
//
// In float32 a thread sums with fused multiply-add in the order of that dimension. The
// tensor cores sum 8 (TF32) or 16 (bfloat16) products at a time and add that to the
// float32 sum.
#ifndef AFL_NN_TILE_H
#define AFL_NN_TILE_H

#include "mma.h"

// Inlined, so that the sums and what a lambda captures stay in registers.
#ifdef __NVPTX__
#define AFL_INLINE __attribute__((device, always_inline)) inline
#else
#define AFL_INLINE __attribute__((always_inline)) inline
#endif
#define AFL_INLINE_LAMBDA __attribute__((always_inline))

namespace afl {

constexpr int STEP = 16;        // words of the summed dimension of a stage of shared memory
constexpr int PITCH = STEP + 4; // words between rows: 8 rows by 16 bytes lie in different banks

// Channels in 16 bytes of shared memory.
template <int P> constexpr int vector = P == BFLOAT16 ? 8 : 4;

// Converts the channels of a vector to words.
template <int P> AFL_DEVICE Word4 pack(const float *x) {
	Word4 w;
	AFL_UNROLL for (int i = 0; i < 4; i++) {
		if constexpr (P == FLOAT32)
			w[i] = as_word(x[i]);
		else if constexpr (P == TF32)
			w[i] = round_tf32(x[i]);
		else
			w[i] = pack_bfloat16(x[2 * i], x[2 * i + 1]);
	}
	return w;
}

// Loads up to vector<P> channels of a voxel from p, zeros after the first `channels` of
// them. ALIGNED: p is aligned to 16 bytes and channels is a multiple of 4.
template <int P, bool ALIGNED> AFL_DEVICE void load_channels(float *x, const float *p, int32_t channels) {
	if constexpr (ALIGNED) {
		AFL_UNROLL for (int i = 0; i < vector<P>; i += 4) {
			const Word4 w = i < channels ? load16(p + i) : Word4{};
			AFL_UNROLL for (int j = 0; j < 4; j++)
				x[i + j] = as_float(w[j]);
		}
	} else {
		AFL_UNROLL for (int i = 0; i < vector<P>; i++)
			x[i] = i < channels ? as_float(load4(p + i)) : 0;
	}
}

template <int P, int M, int N> struct Tile {
	// Tensor cores: warps of ROWS×COLUMNS fragments.
	static constexpr int WARPS_N = N == 128 ? 4 : 2, WARPS_M = 8 / WARPS_N, ROWS = M / WARPS_M / 16, COLUMNS = N / WARPS_N / 8;
	float sums[ROWS][COLUMNS][4] = {};

	AFL_INLINE uint32_t row() const { return thread_index() / 32 / WARPS_N * (16 * ROWS); }
	AFL_INLINE uint32_t column() const { return thread_index() / 32 % WARPS_N * (8 * COLUMNS); }

	// Adds STEP words: a has M rows, b has N rows.
	AFL_INLINE void add_rows(const uint32_t *a, const uint32_t *b) {
		converge();
		a += row() * PITCH;
		b += column() * PITCH;
		AFL_UNROLL for (int k = 0; k < STEP; k += 8) {
			uint32_t x[ROWS][4], y[COLUMNS / 2][4]; // two right operands in each y
			AFL_UNROLL for (int i = 0; i < ROWS; i++)
				load_fragment<true>(x[i], a + i * 16 * PITCH + k, PITCH);
			AFL_UNROLL for (int j = 0; j < COLUMNS / 2; j++)
				load_fragment<false>(y[j], b + j * 16 * PITCH + k, PITCH);
			multiply<P>(sums, x, y);
		}
	}

	// A fragment of operands that lie by the summed dimension, from p, where load_columns
	// takes the lane's own address, see lane_columns.
	template <bool LEFT> AFL_INLINE static void load_columns(uint32_t *r, const uint32_t *p, int pitch) {
		if constexpr (P == BFLOAT16)
			load_transposed<LEFT>(r, p, pitch);
		else
			AFL_UNROLL for (int i = 0; i < 4; i++)
				r[i] = p[(LEFT ? i / 2 : i % 2) * 4 * pitch + (LEFT ? i % 2 : i / 2) * 8];
	}
	AFL_INLINE static const uint32_t *lane_columns(const uint32_t *p, uint32_t channel, int pitch) {
		const uint32_t lane = thread_index() % 32;
		return p + (P == BFLOAT16 ? channel / 2 : channel + lane % 4 * (uint32_t)pitch + lane / 4);
	}

	// Adds 16 words of the summed dimension, a value of which holds M channels in a and N
	// in b.
	AFL_INLINE void add_columns(const uint32_t *a, int pitch_a, const uint32_t *b, int pitch_b) {
		converge();
		a = lane_columns(a, row(), pitch_a);
		b = lane_columns(b, column(), pitch_b);
		AFL_UNROLL for (int k = 0; k < STEP; k += 8) {
			const int value = k * vector<P> / 4;
			uint32_t x[ROWS][4], y[COLUMNS / 2][4];
			AFL_UNROLL for (int i = 0; i < ROWS; i++)
				load_columns<true>(x[i], a + value * pitch_a + 64 / vector<P> * i, pitch_a);
			AFL_UNROLL for (int j = 0; j < COLUMNS / 2; j++)
				load_columns<false>(y[j], b + value * pitch_b + 64 / vector<P> * j, pitch_b);
			multiply<P>(sums, x, y);
		}
	}

	// Calls f(row, column, x, y) for sums x and y of adjacent columns, the first even.
	template <typename F> AFL_INLINE void each_pair(F f) const {
		const uint32_t lane = thread_index() % 32;
		AFL_UNROLL for (int i = 0; i < 2 * ROWS; i++)
			AFL_UNROLL for (int j = 0; j < COLUMNS; j++)
				f((int32_t)(row() + lane / 4) + 8 * i, (int32_t)(column() + lane % 4 * 2) + 8 * j, sums[i / 2][j][i % 2 * 2], sums[i / 2][j][i % 2 * 2 + 1]);
	}
};

template <int M, int N> struct Tile<FLOAT32, M, N> {
	// Thread t sums rows t/16 + 16·i and columns t%16 + 16·j in add_rows, and blocks of
	// adjacent rows and columns in add_columns.
	static constexpr int ROWS = M / 16, COLUMNS = N / 16;
	float sums[ROWS][COLUMNS] = {};

	AFL_INLINE void add_rows(const uint32_t *a, const uint32_t *b) {
		a += thread_index() / 16 * PITCH;
		b += thread_index() % 16 * PITCH;
		AFL_ROLL for (int k = 0; k < STEP; k += 4) {
			Word4 y[COLUMNS];
			AFL_UNROLL for (int j = 0; j < COLUMNS; j++)
				y[j] = *(const Word4 *)(b + j * 16 * PITCH + k);
			AFL_UNROLL for (int i = 0; i < ROWS; i++) {
				const Word4 x = *(const Word4 *)(a + i * 16 * PITCH + k);
				AFL_UNROLL for (int j = 0; j < COLUMNS; j++)
					AFL_UNROLL for (int e = 0; e < 4; e++)
						sums[i][j] = add_product(as_float(x[e]), as_float(y[j][e]), sums[i][j]);
			}
		}
	}

	template <typename F> AFL_INLINE void each_element(F f) const {
		AFL_UNROLL for (int i = 0; i < ROWS; i++)
			AFL_UNROLL for (int j = 0; j < COLUMNS; j++)
				f((int32_t)(thread_index() / 16) + 16 * i, (int32_t)(thread_index() % 16) + 16 * j, sums[i][j]);
	}

	AFL_INLINE static uint32_t row() { return thread_index() / 16 * ROWS; }
	AFL_INLINE static uint32_t column() { return thread_index() % 16 * 4; }

	AFL_INLINE void add_columns(const uint32_t *a, int pitch_a, const uint32_t *b, int pitch_b) {
		a += row();
		b += column();
		AFL_UNROLL for (int k = 0; k < STEP; k++) {
			uint32_t x[ROWS];
			AFL_UNROLL for (int i = 0; i < ROWS; i += 2) {
				const Word2 w = *(const Word2 *)(a + k * pitch_a + i);
				x[i] = w[0];
				x[i + 1] = w[1];
			}
			AFL_UNROLL for (int j = 0; j < COLUMNS; j += 4) {
				const Word4 y = *(const Word4 *)(b + k * pitch_b + j * 16);
				AFL_UNROLL for (int i = 0; i < ROWS; i++)
					AFL_UNROLL for (int e = 0; e < 4; e++)
						sums[i][j + e] = add_product(as_float(x[i]), as_float(y[e]), sums[i][j + e]);
			}
		}
	}

	// After add_columns.
	template <typename F> AFL_INLINE void each_pair(F f) const {
		AFL_UNROLL for (int i = 0; i < ROWS; i++)
			AFL_UNROLL for (int j = 0; j < COLUMNS; j += 2)
				f((int32_t)row() + i, (int32_t)column() + j / 4 * 64 + j % 4, sums[i][j], sums[i][j + 1]);
	}
};

} // namespace afl

#endif
