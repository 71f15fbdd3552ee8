// afl_nn_conv_*: one volume from the other, an implicit matrix product whose rows are voxels
// of the result, whose columns are its channels, and which sums over taps and channels of
// the gathered volume:
//
//	to(v, n) = bias(n) + Σ_tap Σ_c from(voxel(v, tap), c)·weights(n, tap, c)
//
// Coarse from fine, voxel(o, a) = o·stride + a·dilation − padding. Fine from coarse, taps
// must satisfy o·stride = p + padding − a·dilation; which ones do depends on p modulo the
// stride, so the fine voxels of equal remainders form a phase, in which the taps that
// contribute are regularly spaced and voxel(q, j) = q + first + j·step.
//
// Block: a tile of a phase of a sample, and one split of the sum. The sum runs over the
// taps in row-major order and within a tap over the channels, padded to 16 bytes.
//
// Shared memory is double-buffered: while the tile is multiplied with one stage, loads of
// the next are in flight, to registers for the volume, which is rounded on its way to
// shared memory, and by asynchronous copies for packed weights.
#ifndef AFL_NN_CONV_TILE_H
#define AFL_NN_CONV_TILE_H

#include "tile.h"

namespace afl {

// n/by for an n small enough that n·by < 2³², given ⌈2³²/by⌉.
AFL_DEVICE int32_t divide_small(int32_t n, uint32_t factor) { return (int32_t)((uint64_t)(uint32_t)n * factor >> 32); }

AFL_DEVICE int32_t divide(int32_t n, AflDivisor by) { return (int32_t)((uint64_t)(uint32_t)n * by.factor >> by.shift); }

// An axis of a phase: voxel q is stored at q·scale + base, its tap j is tap + j·tap_step
// of the kernel and reads q·stride + first + j·step.
struct Axis {
	int32_t size, scale, base;    // voxels
	int32_t count, tap, tap_step; // taps
	int32_t stride, first, step;
};

AFL_DEVICE Axis axis_of(const AflConvTile &a, int axis, int32_t phase) {
	const int32_t to = a.to_size[axis], taps = a.kernel[axis], stride = a.stride[axis], dilation = a.dilation[axis], padding = a.padding[axis];
	if (!a.to_fine)
		return Axis{to, 1, 0, taps, 0, 1, stride, -padding, dilation};
	int32_t divisor = stride, rest = dilation; // the greatest common divisor
	while (rest) {
		const int32_t r = divisor % rest;
		divisor = rest;
		rest = r;
	}
	const int32_t tap_step = stride / divisor;
	int32_t tap = 0;
	while (tap < tap_step && (phase + padding - tap * dilation) % stride != 0)
		tap++;
	const int32_t count = tap < tap_step && tap < taps ? (taps - 1 - tap) / tap_step + 1 : 0;
	const int32_t size = phase < to ? (to - phase - 1) / stride + 1 : 0;
	return Axis{size, stride, phase, count, tap, tap_step, 1, (phase + padding - tap * dilation) / stride, -(dilation / divisor)};
}

constexpr int SENTINELS = 5; // taps after the last that no voxel has: the last stage reads up to 4
constexpr int TAPS = AFL_TILE_TAPS + SENTINELS;

template <int N> constexpr int conv_words = 2 * (AFL_TILE_VOXELS + N) * PITCH + 3 * TAPS + AFL_TILE_VOXELS;

template <int P, int N, bool ALIGNED> AFL_DEVICE void conv(const AflConvTile &a, uint32_t *shared) {
	constexpr int M = AFL_TILE_VOXELS, VECTOR = vector<P>, CHUNK = 4 * VECTOR, STAGE = (M + N) * PITCH, ROWS = M / 64, COLUMNS = (N + 63) / 64;
	int32_t *tap_offset = (int32_t *)(shared + 2 * STAGE), *tap_mask = tap_offset + TAPS, *tap_weight = tap_mask + TAPS, *voxel = tap_weight + TAPS;
	const uint32_t thread = thread_index();

	int32_t rest = (int32_t)block_index();
	const int32_t n0 = rest % a.tiles_n * N;
	rest /= a.tiles_n;
	const int32_t m0 = rest % a.tiles_m * M;
	rest /= a.tiles_m;
	int32_t phase[3] = {};
	if (a.to_fine)
		AFL_UNROLL for (int i = 2; i >= 0; i--) {
			phase[i] = rest % a.stride[i];
			rest /= a.stride[i];
		}
	const int32_t sample = rest % a.samples, split = rest / a.samples;

	const Axis x = axis_of(a, 0, phase[0]), y = axis_of(a, 1, phase[1]), z = axis_of(a, 2, phase[2]);
	const int32_t voxels = x.size * y.size * z.size, taps = x.count * y.count * z.count;
	if (m0 >= voxels)
		return;
	const int32_t pitch_x = a.from_size[1] * a.from_size[2] * a.from_channels, pitch_y = a.from_size[2] * a.from_channels, pitch_z = a.from_channels;
	const float *from = a.from + (int64_t)sample * a.from_size[0] * pitch_x;

	// Each tap's offset from the voxel, its bits in the masks of taps, and its weights. The
	// offsets are those of index 0 of the sum, where index tap·padded + c is channel c of a tap.
	for (int32_t j = (int32_t)thread; j < taps + SENTINELS; j += AFL_THREADS) {
		int32_t k = j;
		const int32_t jz = k % (z.count ? z.count : 1);
		k /= z.count ? z.count : 1;
		const int32_t jy = k % (y.count ? y.count : 1), jx = k / (y.count ? y.count : 1);
		tap_offset[j] = -j * a.padded + (x.first + jx * x.step) * pitch_x + (y.first + jy * y.step) * pitch_y + (z.first + jz * z.step) * pitch_z;
		tap_mask[j] = j < taps ? 1 << jx | 1 << (AFL_TILE_AXIS + jy) | 1 << (2 * AFL_TILE_AXIS + jz) : -1;
		tap_weight[j] = (((x.tap + jx * x.tap_step) * a.kernel[1] + y.tap + jy * y.tap_step) * a.kernel[2] + z.tap + jz * z.tap_step) * a.padded - j * a.padded;
	}
	// Where each row is stored; −1 if it is none.
	if (thread < M) {
		const int32_t m = m0 + (int32_t)thread, qz = m % z.size, qy = m / z.size % y.size, qx = m / z.size / y.size;
		voxel[thread] = m < voxels ? ((qx * x.scale + x.base) * a.to_size[1] + qy * y.scale + y.base) * a.to_size[2] + qz * z.scale + z.base : -1;
	}

	// This thread loads 16 bytes of every 64th row of the volume and of the weights, those
	// of the same tap and channels for all.
	const int32_t part = (int32_t)(thread % 4) * VECTOR, line = (int32_t)(thread / 4);
	int32_t start[ROWS], valid[ROWS]; // the voxel's address, and the taps that lie in the volume
	AFL_UNROLL for (int i = 0; i < ROWS; i++) {
		const int32_t m = m0 + line + 64 * i, qz = m % z.size * z.stride, qy = m / z.size % y.size * y.stride, qx = m / z.size / y.size * x.stride;
		start[i] = qx * pitch_x + qy * pitch_y + qz * pitch_z;
		valid[i] = 0;
		if (m < voxels) {
			AFL_ROLL for (int j = 0; j < x.count; j++)
				valid[i] |= (uint32_t)(qx + x.first + j * x.step) < (uint32_t)a.from_size[0] ? 1 << j : 0;
			AFL_ROLL for (int j = 0; j < y.count; j++)
				valid[i] |= (uint32_t)(qy + y.first + j * y.step) < (uint32_t)a.from_size[1] ? 1 << (AFL_TILE_AXIS + j) : 0;
			AFL_ROLL for (int j = 0; j < z.count; j++)
				valid[i] |= (uint32_t)(qz + z.first + j * z.step) < (uint32_t)a.from_size[2] ? 1 << (2 * AFL_TILE_AXIS + j) : 0;
		}
	}
	const int32_t row_bytes = a.taps * a.padded * (16 / VECTOR);
	const char *weights = (const char *)a.packed;
	barrier();

	const int32_t chunks = (taps * a.padded + CHUNK - 1) / CHUNK;
	const int32_t begin = (int32_t)((int64_t)chunks * split / a.splits), end = (int32_t)((int64_t)chunks * (split + 1) / a.splits);

	float loaded[ROWS][VECTOR];
	Word4 weight[COLUMNS] = {}; // without asynchronous copies
	auto load = [&](int32_t chunk, uint32_t *stage) AFL_INLINE_LAMBDA {
		const int32_t k = chunk * CHUNK + part, tap = divide_small(k, a.by_padded);
		const int32_t offset = tap_offset[tap] + k, mask = tap_mask[tap];
		// Without channels that pad, all are there.
		const int32_t channels = ALIGNED && VECTOR == 4 ? VECTOR : a.from_channels - (k - tap * a.padded);
		AFL_UNROLL for (int i = 0; i < ROWS; i++)
			load_channels<P, ALIGNED>(loaded[i], from + (start[i] + offset), (valid[i] & mask) == mask ? channels : 0);
		AFL_UNROLL for (int i = 0; i < COLUMNS; i++) {
			const int32_t n = n0 + line + 64 * i;
			const bool some = mask >= 0 && n < a.to_channels;
			const char *p = weights + (some ? n * row_bytes + (tap_weight[tap] + k) * (16 / VECTOR) : 0);
			if (N >= 64 || line < N) {
				if constexpr (P == FLOAT32)
					weight[i] = some ? load16(p) : Word4{};
				else
					copy16(stage + (M + line + 64 * i) * PITCH + thread % 4 * 4, p, some);
			}
		}
	};
	auto store = [&](uint32_t *stage) AFL_INLINE_LAMBDA {
		AFL_UNROLL for (int i = 0; i < ROWS; i++)
			*(Word4 *)(stage + (line + 64 * i) * PITCH + thread % 4 * 4) = pack<P>(loaded[i]);
		if constexpr (P == FLOAT32) {
			AFL_UNROLL for (int i = 0; i < COLUMNS; i++)
				if (N >= 64 || line < N)
					*(Word4 *)(stage + (M + line + 64 * i) * PITCH + thread % 4 * 4) = weight[i];
		} else {
			copies_done();
		}
	};

	Tile<P, M, N> tile;
	if (begin < end) {
		load(begin, shared);
		store(shared);
	}
	barrier();
	uint32_t *now = shared, *next = shared + STAGE;
	AFL_ROLL for (int32_t chunk = begin; chunk < end; chunk++) {
		if (chunk + 1 < end)
			load(chunk + 1, next);
		tile.add_rows(now, now + M * PITCH);
		if (chunk + 1 < end)
			store(next);
		barrier();
		uint32_t *const done = now;
		now = next;
		next = done;
	}

	const int64_t volume = (int64_t)a.to_size[0] * a.to_size[1] * a.to_size[2];
	float *to = (a.splits > 1 ? a.partials + split * a.count : a.to) + sample * volume * a.to_channels;
	const float *bias = a.splits > 1 ? nullptr : a.bias;
	if constexpr (P == FLOAT32) {
		tile.each_element([&](int32_t row, int32_t column, float sum) AFL_INLINE_LAMBDA {
			const int32_t v = voxel[row], n = n0 + column;
			if (v >= 0 && n < a.to_channels)
				to[(int64_t)v * a.to_channels + n] = sum + (bias ? bias[n] : 0);
		});
	} else {
		const bool even = a.to_channels % 2 == 0;
		tile.each_pair([&](int32_t row, int32_t column, float first, float second) AFL_INLINE_LAMBDA {
			const int32_t v = voxel[row], n = n0 + column;
			if (v < 0 || n >= a.to_channels)
				return;
			float *p = to + (int64_t)v * a.to_channels + n;
			const bool both = n + 1 < a.to_channels;
			if (bias) {
				first += bias[n];
				second += both ? bias[n + 1] : 0;
			}
			if (even) {
				*(Word2 *)p = Word2{as_word(first), as_word(second)};
			} else {
				p[0] = first;
				if (both)
					p[1] = second;
			}
		});
	}
}

} // namespace afl

// _aligned: the gathered volume's channels are a multiple of 4.
#define AFL_CONV_KERNEL(name, blocks, P, N, ALIGNED)          \
	AFL_KERNEL_OF(AflConvTile, name, blocks) {                \
		AFL_SHARED afl::Word4 shared[afl::conv_words<N> / 4]; \
		afl::conv<P, N, ALIGNED>(a, (uint32_t *)shared);      \
	}

#endif
