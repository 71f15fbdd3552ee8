// The types of logits, and the assignment of a chunk's voxels to threads: sixteen bytes
// at a time if the shape and the alignment permit it.
#ifndef AFL_VOXELS_H
#define AFL_VOXELS_H

#include "label.h"

namespace afl {

// Types of logits. A 32-bit word holds per_word of them, the first in its low bits.
// far_below is a logit whose probability is 0 in float32.
struct Float32 {
	static constexpr uint32_t far_below = 0xf1800000; // −2¹⁰⁰
	typedef uint32_t Bits;
	static constexpr int per_word = 1;
};
struct Float16 {
	static constexpr uint32_t far_below = 0xfbff; // −65504
	typedef uint16_t Bits;
	static constexpr int per_word = 2;
};
struct BFloat16 {
	static constexpr uint32_t far_below = 0xf180; // −2¹⁰⁰
	typedef uint16_t Bits;
	static constexpr int per_word = 2;
};
// Float64 is a type of the general passes only.
struct Float64 {
	typedef uint64_t Bits;
};

AFL_DEVICE float widen(Float32, uint32_t bits) { return __builtin_bit_cast(float, bits); }
AFL_DEVICE float widen(Float16, uint32_t bits) { return float_of_half((uint16_t)bits); }
AFL_DEVICE float widen(BFloat16, uint32_t bits) { return float_of_bfloat((uint16_t)bits); }
AFL_DEVICE double widen(Float64, uint64_t bits) { return double_of(bits); }

// The bits of the nearest, ties to even.
AFL_DEVICE uint32_t rounded(Float32, float x) { return __builtin_bit_cast(uint32_t, x); }
AFL_DEVICE uint32_t rounded(Float16, float x) {
#if defined(__CUDA_ARCH__)
	return __builtin_bit_cast(uint16_t, (_Float16)x);
#else
	return half_of(x);
#endif
}
AFL_DEVICE uint32_t rounded(BFloat16, float x) {
	uint32_t bits = __builtin_bit_cast(uint32_t, x);
	return x == x ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : 0x7fc0; // rounding must not turn a NaN into infinity
}
// Two numbers of half precision in a word, the first in its low bits.
template <class T> AFL_DEVICE uint32_t rounded_pair(T, float x, float y) { return rounded(T{}, x) | rounded(T{}, y) << 16; }
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
AFL_DEVICE uint32_t rounded_pair(BFloat16, float x, float y) {
	uint32_t pair;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(y), "f"(x));
	return pair;
}
#endif
AFL_DEVICE uint32_t rounded(Float32, double x) { return __builtin_bit_cast(uint32_t, (float)x); }
AFL_DEVICE uint32_t rounded(Float16, double x) { return half_of(x); }
AFL_DEVICE uint32_t rounded(BFloat16, double x) { return bfloat_of(x); }
AFL_DEVICE uint64_t rounded(Float64, double x) { return bits_of(x); }

// Voxels says where in the chunk a thread's `count` voxels of a tile are. A tile is the
// range of voxels that a block processes at a time.
//
// If V is a multiple of `width`, thread t has the t-th group of `width` voxels, then the
// one 256 groups further; otherwise it has every 256th voxel, so that a warp's reads are
// still adjacent. The assignment, and with it the order of summation, depends on the
// shape alone; unaligned memory and a chunk's last tile are merely read one by one.
//
// A thread computes the first four of its voxels and rotates the others to the front,
// so that after all rounds the order is restored. The code is thus that of four voxels,
// with the memory accesses of eight in flight.
template <class T, int count_> struct Voxels {
	static constexpr int count = count_;
	static constexpr int width = count < 4 * T::per_word ? count : 4 * T::per_word; // per load of 16 bytes, or 8
	static constexpr int words = count / T::per_word; // that hold the voxels
	static constexpr int rounds = count / 4;          // of four voxels
	static constexpr int four = 4 / T::per_word;      // words that hold four voxels
	static constexpr int tile = AFL_THREADS * count;
	typedef uint32_t Words[words];
	typedef uint32_t Labels[rounds];
	typedef typename T::Bits Bits;

	int32_t size;          // of the chunk
	int32_t tiles, wide;   // number of tiles, and of the first ones that can be read sixteen bytes at a time
	int32_t first, within; // the thread's first voxel in the first tile, and the distance of voxels in a group
};

template <class V> AFL_DEVICE V voxels_of(const AflArguments &a, const uint8_t *labels, int32_t size) {
	bool whole = a.voxels % V::width == 0;
	uint64_t misaligned = (uint64_t)a.logits % 16 | (uint64_t)a.grad % 16 | (uint64_t)labels % V::width;
	int32_t t = (int32_t)thread_index();
	return V{size, (size + V::tile - 1) / V::tile, whole && misaligned == 0 ? size / V::tile : 0, whole ? V::width * t : t, whole ? 1 : AFL_THREADS};
}

// Tile is a tile of the chunk.
struct Tile {
	int32_t index;
	int32_t first; // voxel of the thread
	bool wide;     // it can be read and written sixteen bytes at a time
};

template <class V> AFL_DEVICE Tile first_tile(const V &v) { return Tile{0, v.first, v.wide > 0}; }
template <class V> AFL_DEVICE void advance(const V &v, Tile &tile) {
	tile.index++;
	tile.first += V::tile;
	tile.wide = tile.index < v.wide;
}

// The index in the chunk of this thread's voxel i of a tile.
template <class V> AFL_DEVICE int32_t place(const V &v, Tile tile, int32_t i) {
	return tile.first + (i / V::width) * (AFL_THREADS * V::width) + (i % V::width) * v.within;
}

// Rotates x by `by` words to the front.
template <int by, int words> AFL_DEVICE void rotate(uint32_t (&x)[words]) {
	uint32_t y[words];
	AFL_UNROLL for (int i = 0; i < words; i++)
		y[i] = x[(i + by) % words];
	AFL_UNROLL for (int i = 0; i < words; i++)
		x[i] = y[i];
}

// Reads a thread's logits of a wide tile; row points to the chunk's first logit.
template <class V> AFL_DEVICE void load_wide(const typename V::Bits *row, const V &v, Tile tile, typename V::Words &x) {
	if constexpr (V::words == 2) {
		Word2 two = load8(row + place(v, tile, 0));
		x[0] = two[0], x[1] = two[1];
	} else {
		AFL_UNROLL for (int w = 0; w < V::words; w += 4) {
			Word4 four = load16(row + place(v, tile, w / 4 * V::width));
			x[w] = four[0], x[w + 1] = four[1], x[w + 2] = four[2], x[w + 3] = four[3];
		}
	}
}

// Reads a thread's logits of any tile one by one, 0 beyond the chunk.
template <class V> AFL_DEVICE void load_each(const typename V::Bits *row, const V &v, Tile tile, typename V::Words &x) {
	AFL_UNROLL for (int w = 0; w < V::words; w++)
		x[w] = 0;
	AFL_ROLL for (int r = 0; r < V::rounds; r++) {
		AFL_UNROLL for (int i = 0; i < 4; i++) {
			int32_t p = place(v, tile, 4 * r + i);
			if (p < v.size)
				x[i * V::four / 4] |= (uint32_t)row[p] << (i * V::four % 4 * 8);
		}
		rotate<V::four>(x);
	}
}

template <class V> AFL_DEVICE void load_logits(const typename V::Bits *row, const V &v, Tile tile, typename V::Words &x) {
	if (tile.wide)
		load_wide(row, v, tile, x);
	else
		load_each(row, v, tile, x);
}

// Writes a thread's values of a tile.
template <class V> AFL_DEVICE void store(typename V::Bits *row, const V &v, Tile tile, typename V::Words &x) {
	if (tile.wide) {
		if constexpr (V::words == 2) {
			store8(row + place(v, tile, 0), Word2{x[0], x[1]});
		} else {
			AFL_UNROLL for (int w = 0; w < V::words; w += 4)
				store16(row + place(v, tile, w / 4 * V::width), Word4{x[w], x[w + 1], x[w + 2], x[w + 3]});
		}
		return;
	}
	AFL_ROLL for (int r = 0; r < V::rounds; r++) {
		AFL_UNROLL for (int i = 0; i < 4; i++) {
			int32_t p = place(v, tile, 4 * r + i);
			if (p < v.size)
				row[p] = (typename V::Bits)(x[i * V::four / 4] >> (i * V::four % 4 * 8));
		}
		rotate<V::four>(x);
	}
}

// Four elements of x, from index `from` on, widened, and the reverse.
template <class T, int words> AFL_DEVICE void widen4(const uint32_t (&x)[words], int from, float (&y)[4]) {
	AFL_UNROLL for (int i = 0; i < 4; i++)
		y[i] = widen(T{}, x[(from + i) / T::per_word] >> (i % T::per_word * 16));
}
template <class T, int words> AFL_DEVICE void round4(uint32_t (&x)[words], int from, const float (&y)[4]) {
	AFL_UNROLL for (int i = 0; i < 4; i += T::per_word) {
		if constexpr (T::per_word == 2)
			x[(from + i) / 2] = rounded_pair(T{}, y[i], y[i + 1]);
		else
			x[from + i] = rounded(T{}, y[i]);
	}
}

// Sets four elements of y to the negatives of those of x.
template <class T, int words> AFL_DEVICE void negate4(uint32_t (&y)[words], int from, const uint32_t (&x)[words]) {
	AFL_UNROLL for (int i = 0; i < 4; i += T::per_word)
		y[(from + i) / T::per_word] = x[(from + i) / T::per_word] ^ (T::per_word == 2 ? 0x80008000 : 0x80000000);
}

// Sets the elements of x for voxels that take no part to `bits`. y holds the classes.
template <class T, int words, int rounds> AFL_DEVICE void set_ignored(uint32_t (&x)[words], const uint32_t (&y)[rounds], uint32_t bits) {
	AFL_UNROLL for (int i = 0; i < 4 * rounds; i++) {
		if ((y[i / 4] >> i % 4 * 8 & 0xff) != NO_CLASS)
			continue;
		const int shift = i % T::per_word * 16;
		uint32_t &word = x[i / T::per_word];
		word = T::per_word == 1 ? bits : (word & ~(0xffffu << shift)) | bits << shift;
	}
}

} // namespace afl

#endif
