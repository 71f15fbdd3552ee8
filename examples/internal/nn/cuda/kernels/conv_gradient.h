// afl_nn_conv_gradient_*: the gradient of the weights, a matrix product that sums over the
// coarse voxels. Rows are channels of the coarse volume, columns taps and channels of the
// fine volume, padded to 16 bytes:
//
//	partials(split, k, tap, c) = Σ_o coarse(o, k)·fine(o·stride + tap·dilation − padding, c)
//
// Block: a tile and a split, which is a range of a sample's coarse voxels; the sum runs
// over them in row-major order. afl_nn_conv_gradient_sum adds the splits up, in their order.
#ifndef AFL_NN_CONV_GRADIENT_H
#define AFL_NN_CONV_GRADIENT_H

#include "conv_tile.h"

namespace afl {

// Words between voxels in shared memory, so that a fragment's words lie in different banks.
template <int P> constexpr int voxel_pitch(int channels) { return P == BFLOAT16 ? channels / 2 + 4 : channels + 8; }
// Voxels of a stage.
template <int P> constexpr int stage_voxels = STEP *vector<P> / 4;

template <int P, int M> constexpr int conv_gradient_stage = stage_voxels<P> *(voxel_pitch<P>(M) + voxel_pitch<P>(AFL_TILE_GRADIENT_COLUMNS));
template <int P, int M> constexpr int conv_gradient_words = 2 * conv_gradient_stage<P, M> + 2 * AFL_TILE_GRADIENT_VOXELS;

template <int P, int M, bool ALIGNED> AFL_DEVICE void conv_gradient(const AflConvTile &a, uint32_t *shared) {
	constexpr int N = AFL_TILE_GRADIENT_COLUMNS, TABLE = AFL_TILE_GRADIENT_VOXELS, VECTOR = vector<P>, VOXELS = stage_voxels<P>;
	constexpr int PITCH_M = voxel_pitch<P>(M), PITCH_N = voxel_pitch<P>(N), STAGE = conv_gradient_stage<P, M>;
	constexpr int VECTORS_M = M / VECTOR, VECTORS_N = N / VECTOR; // of a voxel
	constexpr int STEP_M = AFL_THREADS / VECTORS_M, STEP_N = AFL_THREADS / VECTORS_N; // voxels that the block loads at a time
	constexpr int LOADS_M = (VOXELS + STEP_M - 1) / STEP_M, LOADS_N = VOXELS / STEP_N;
	static_assert(TABLE % VOXELS == 0 && TABLE == (int)AFL_THREADS && VOXELS % STEP_N == 0, "a thread computes one entry of the table");
	int32_t *table_start = (int32_t *)(shared + 2 * STAGE), *table_valid = table_start + TABLE;
	const int32_t thread = (int32_t)thread_index();

	int32_t rest = (int32_t)block_index();
	const int32_t n0 = rest % a.tiles_n * N;
	rest /= a.tiles_n;
	const int32_t m0 = rest % a.tiles_m * M, split = rest / a.tiles_m;
	const int32_t volume = a.to_size[0] * a.to_size[1] * a.to_size[2], splits = (volume + a.span - 1) / a.span;
	const int32_t sample = split / splits, begin = split % splits * a.span;
	const int32_t end = begin + a.span < volume ? begin + a.span : volume;
	const int32_t fine = a.from_channels, coarse = a.to_channels;
	const int32_t pitch_x = a.from_size[1] * a.from_size[2] * fine, pitch_y = a.from_size[2] * fine;
	const float *from = a.from + (int64_t)sample * a.from_size[0] * pitch_x;

	// This thread loads 16 bytes of the same channels of every voxel it loads: of the coarse
	// one …
	const int32_t row = thread % VECTORS_M * VECTOR, line_m = thread / VECTORS_M;
	const float *to = a.coarse + (int64_t)sample * volume * coarse + m0 + row;
	const int32_t rows = coarse - m0 - row;
	// … and of the fine one at its tap.
	const int32_t column = thread % VECTORS_N * VECTOR, line_n = thread / VECTORS_N;
	const int32_t taps = a.taps, tap = divide_small(n0 + column, a.by_padded), c = n0 + column - tap * a.padded;
	const int32_t tap_x = tap / a.kernel[2] / a.kernel[1], tap_y = tap / a.kernel[2] % a.kernel[1], tap_z = tap % a.kernel[2];
	const int32_t offset = tap_x * a.dilation[0] * pitch_x + tap_y * a.dilation[1] * pitch_y + tap_z * a.dilation[2] * fine + c;
	const int32_t mask = tap < taps ? 1 << tap_x | 1 << (AFL_TILE_AXIS + tap_y) | 1 << (2 * AFL_TILE_AXIS + tap_z) : -1;

	// The address of tap 0 of a voxel, and its taps that lie in the fine volume.
	auto fill = [&](int32_t v) AFL_INLINE_LAMBDA {
		v += thread;
		const int32_t line = divide(v, a.by_z), x = divide(line, a.by_y);
		const int32_t at[3] = {x * a.stride[0] - a.padding[0], (line - x * a.to_size[1]) * a.stride[1] - a.padding[1],
			(v - line * a.to_size[2]) * a.stride[2] - a.padding[2]};
		int32_t valid = 0;
		if (v < end)
			AFL_UNROLL for (int i = 0; i < 3; i++)
				AFL_ROLL for (int j = 0; j < a.kernel[i]; j++)
					valid |= (uint32_t)(at[i] + j * a.dilation[i]) < (uint32_t)a.from_size[i] ? 1 << (AFL_TILE_AXIS * i + j) : 0;
		table_start[thread] = at[0] * pitch_x + at[1] * pitch_y + at[2] * fine;
		table_valid[thread] = valid;
	};
	float loaded_m[LOADS_M][VECTOR], loaded_n[LOADS_N][VECTOR];
	auto load = [&](int32_t v) AFL_INLINE_LAMBDA {
		AFL_UNROLL for (int i = 0; i < LOADS_M; i++) {
			const int32_t at = v + line_m + i * STEP_M;
			if (LOADS_M * STEP_M == VOXELS || line_m < VOXELS)
				load_channels<P, ALIGNED>(loaded_m[i], to + at * coarse, at < end ? rows : 0);
		}
		AFL_UNROLL for (int i = 0; i < LOADS_N; i++) {
			const int32_t at = (int32_t)((uint32_t)(v - begin) % TABLE) + line_n + i * STEP_N;
			load_channels<P, ALIGNED>(loaded_n[i], from + (table_start[at] + offset), (table_valid[at] & mask) == mask ? fine - c : 0);
		}
	};
	auto store = [&](uint32_t *stage) AFL_INLINE_LAMBDA {
		AFL_UNROLL for (int i = 0; i < LOADS_M; i++)
			if (LOADS_M * STEP_M == VOXELS || line_m < VOXELS)
				*(Word4 *)(stage + (line_m + i * STEP_M) * PITCH_M + row * 4 / VECTOR) = pack<P>(loaded_m[i]);
		AFL_UNROLL for (int i = 0; i < LOADS_N; i++)
			*(Word4 *)(stage + VOXELS * PITCH_M + (line_n + i * STEP_N) * PITCH_N + column * 4 / VECTOR) = pack<P>(loaded_n[i]);
	};

	Tile<P, M, N> tile;
	fill(begin);
	barrier();
	load(begin);
	store(shared);
	barrier();
	uint32_t *now = shared, *next = shared + STAGE;
	AFL_ROLL for (int32_t v = begin; v < end; v += VOXELS) {
		const int32_t after = v + VOXELS;
		if (after < end) {
			if ((uint32_t)(after - begin) % TABLE == 0) { // every thread has loaded the last of the table's voxels
				fill(after);
				barrier();
			}
			load(after);
		}
		tile.add_columns(now, PITCH_M, now + VOXELS * PITCH_M, PITCH_N);
		if (after < end)
			store(next);
		barrier();
		uint32_t *const done = now;
		now = next;
		next = done;
	}

	const int32_t columns = taps * a.padded;
	float *partials = a.partials + (int64_t)split * coarse * columns;
	tile.each_pair([&](int32_t i, int32_t j, float first, float second) AFL_INLINE_LAMBDA {
		const int32_t m = m0 + i, n = n0 + j;
		if (m < coarse && n < columns)
			*(Word2 *)(partials + (int64_t)m * columns + n) = Word2{as_word(first), as_word(second)};
	});
}

} // namespace afl

// _aligned: the channels of both volumes are multiples of 4.
#define AFL_CONV_GRADIENT_KERNEL(name, blocks, P, M, ALIGNED)             \
	AFL_KERNEL_OF(AflConvTile, name, blocks) {                            \
		AFL_SHARED afl::Word4 shared[afl::conv_gradient_words<P, M> / 4]; \
		afl::conv_gradient<P, M, ALIGNED>(a, (uint32_t *)shared);         \
	}

#endif
