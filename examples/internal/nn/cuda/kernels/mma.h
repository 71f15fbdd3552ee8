// Products of small matrices by a warp's tensor cores, and what feeds them: rounding to
// TF32 and bfloat16, fragments from shared memory, asynchronous copies to it. All but the
// rounding needs compute capability 8.0. A word is one TF32 value or two bfloat16 values.
//
// A fragment of a 16×8-word matrix is four words per lane, lane l holding rows l/4 and
// l/4+8 of words l%4 and l%4+4. For the left operand they are in the order (row, word),
// (row+8, word), (row, word+4), (row+8, word+4); for the right one, where 16 rows are two
// operands of 8, in the order (row, word), (row, word+4), (row+8, word), (row+8, word+4), so
// that each operand is in adjacent registers.
#ifndef AFL_NN_MMA_H
#define AFL_NN_MMA_H

#include "conv_tile_arguments.h"
#include "device.h"

namespace afl {

constexpr int FLOAT32 = AFL_FLOAT32_SUMS, TF32 = AFL_TF32_PRODUCTS, BFLOAT16 = AFL_BFLOAT16_PRODUCTS;

AFL_DEVICE float as_float(uint32_t x) { return __builtin_bit_cast(float, x); }
AFL_DEVICE uint32_t as_word(float x) { return __builtin_bit_cast(uint32_t, x); }

// x rounded to the 10 fraction bits of TF32, ties away from zero, with arbitrary bits
// below them, which the tensor cores do not read. A NaN stays one: cvt.rna.tf32 turns
// 0x7fffffff, the NaN that arithmetic produces, into −0.
AFL_DEVICE uint32_t round_tf32(float x) {
	const uint32_t rounded = as_word(x) + 0x1000;
	return x != x ? as_word(x) : rounded;
}

// x rounded to bfloat16, ties to even.
AFL_DEVICE uint32_t round_bfloat16(float x) {
	const uint32_t u = as_word(x);
	return x != x ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

// sum + x·y: rounded once on the GPU, and twice in the emulator, where a library function
// would round once, for every product.
#ifdef __NVPTX__
AFL_DEVICE float add_product(float x, float y, float sum) { return fma(x, y, sum); }
#else
AFL_DEVICE float add_product(float x, float y, float sum) { return sum + x * y; }
#endif

#ifdef __NVPTX__

typedef __attribute__((address_space(3))) const void *Shared;
AFL_DEVICE uint32_t shared_address(const void *p) { return (uint32_t)(uintptr_t)(Shared)p; }

// Two values rounded to bfloat16, ties to even, low first.
AFL_DEVICE uint32_t pack_bfloat16(float low, float high) {
	uint32_t x;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(x) : "f"(high), "f"(low));
	return x;
}

// Makes the lanes of a warp continue together, which the functions below require.
AFL_DEVICE void converge() { __nvvm_bar_warp_sync(0xffffffff); }

// The fragment of rows of `pitch` words.
template <bool LEFT> AFL_DEVICE void load_fragment(uint32_t *r, const uint32_t *rows, int pitch) {
	const uint32_t lane = thread_index() % 32, low = lane / 8 % 2, high = lane / 16;
	const uint32_t p = shared_address(rows + (lane % 8 + (LEFT ? low : high) * 8) * (uint32_t)pitch + (LEFT ? high : low) * 4);
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
		: "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(p) : "memory");
}

// The fragment of the transpose of a 16×16 matrix of bfloat16 values with rows of `pitch`
// words.
template <bool LEFT> AFL_DEVICE void load_transposed(uint32_t *r, const uint32_t *rows, int pitch) {
	const uint32_t lane = thread_index() % 32, low = lane / 8 % 2, high = lane / 16;
	const uint32_t p = shared_address(rows + (lane % 8 + (LEFT ? high : low) * 8) * (uint32_t)pitch + (LEFT ? low : high) * 4);
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
		: "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(p) : "memory");
}

// c += a·bᵀ for M left fragments and right ones of N operands: c[i][j] holds rows l/4 and
// l/4+8 of fragment i, each with columns 2·(l%4) and the next of operand j.
template <int P, int M, int N> AFL_DEVICE void multiply(float (&c)[M][N][4], const uint32_t (&a)[M][4], const uint32_t (&b)[N / 2][4]) {
	AFL_UNROLL for (int i = 0; i < M; i++)
		AFL_UNROLL for (int j = 0; j < N; j++) {
			float *d = c[i][j];
			if constexpr (P == TF32)
				asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
					: "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
					: "r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]), "r"(b[j / 2][j % 2 * 2]), "r"(b[j / 2][j % 2 * 2 + 1]));
			else
				asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
					: "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
					: "r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]), "r"(b[j / 2][j % 2 * 2]), "r"(b[j / 2][j % 2 * 2 + 1]));
		}
}

// Copies 16 bytes to shared memory, or zeros unless some is set. They are there after
// copies_done, for the other threads after the next barrier.
AFL_DEVICE void copy16(uint32_t *to, const void *from, bool some) {
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(some ? 16 : 0) : "memory");
}
AFL_DEVICE void copies_done() { asm volatile("cp.async.wait_all;" ::: "memory"); }

#else

} // namespace afl

namespace emulator {

struct Fragments {
	uint32_t a[4][4], b[2][4];
};
inline Fragments published[2][AFL_THREADS]; // no lane is two exchanges ahead

// Copies of a thread that copies_done completes.
struct Copies {
	struct {
		void *to;
		unsigned char bytes[16];
	} pending[16];
	int count;
};
inline Copies copies[AFL_THREADS];

} // namespace emulator

namespace afl {

AFL_DEVICE uint32_t pack_bfloat16(float low, float high) { return round_bfloat16(low) | round_bfloat16(high) << 16; }

AFL_DEVICE void converge() {}

template <bool LEFT> AFL_DEVICE void load_fragment(uint32_t *r, const uint32_t *rows, int pitch) {
	const uint32_t lane = thread_index() % 32;
	for (uint32_t i = 0; i < 4; i++)
		r[i] = rows[(lane / 4 + (LEFT ? i % 2 : i / 2) * 8) * (uint32_t)pitch + lane % 4 + (LEFT ? i / 2 : i % 2) * 4];
}

template <bool LEFT> AFL_DEVICE void load_transposed(uint32_t *r, const uint32_t *rows, int pitch) {
	const uint32_t lane = thread_index() % 32;
	for (uint32_t i = 0; i < 4; i++) {
		const uint32_t row = lane % 4 * 2 + (LEFT ? i / 2 : i % 2) * 8, column = lane / 4 + (LEFT ? i % 2 : i / 2) * 8;
		const uint32_t *p = rows + row * (uint32_t)pitch + column / 2;
		r[i] = (p[0] >> column % 2 * 16 & 0xffff) | p[pitch] >> column % 2 * 16 << 16;
	}
}

template <int P, int M, int N> AFL_DEVICE void multiply(float (&c)[M][N][4], const uint32_t (&a)[M][4], const uint32_t (&b)[N / 2][4],
	const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
	using namespace emulator;
	constexpr int K = P == TF32 ? 8 : 16, V = K / 8; // values of a row, of a word
	const uint32_t t = emulator::M.thread, first = t / warp * warp, lane = t % warp;
	Fragments *p = published[emulator::M.shuffles[t]++ & 1];
	memcpy(p[t].a, a, sizeof a);
	memcpy(p[t].b, b, sizeof b);
	wait("shuffle", file, line, emulator::M.in_shuffle[t / warp], first, warp);
	// The tensor cores ignore the bits below those of TF32.
	auto value = [](uint32_t word, int k) { return as_float(P == TF32 ? word & 0xffffe000 : k % 2 ? word & 0xffff0000 : word << 16); };
	float rows[2 * M][K], columns[K][2 * N];
	for (int k = 0; k < K; k++) {
		const int word = k / V;
		const Fragments &row = p[first + lane / 4 * 4 + (uint32_t)word % 4];
		for (int i = 0; i < 2 * M; i++)
			rows[i][k] = value(row.a[i / 2][i % 2 + word / 4 * 2], k);
		for (int j = 0; j < 2 * N; j++)
			columns[k][j] = value(p[first + (lane % 4 * 2 + (uint32_t)j % 2) * 4 + (uint32_t)word % 4].b[j / 4][j / 2 % 2 * 2 + word / 4], k);
	}
	for (int i = 0; i < 2 * M; i++) {
		float sum[2 * N] = {};
		for (int k = 0; k < K; k++)
			for (int j = 0; j < 2 * N; j++)
				sum[j] += rows[i][k] * columns[k][j];
		for (int j = 0; j < 2 * N; j++)
			c[i / 2][j / 2][i % 2 * 2 + j % 2] += sum[j];
	}
}

AFL_DEVICE void copy16(uint32_t *to, const void *from, bool some) {
	emulator::Copies &c = emulator::copies[thread_index()];
	if (c.count == 16 || (uintptr_t)to % 16 || (uintptr_t)from % 16)
		abort();
	if (some)
		memcpy(c.pending[c.count].bytes, from, 16);
	else
		memset(c.pending[c.count].bytes, 0, 16);
	c.pending[c.count++].to = to;
	memset(to, 0xff, 16);
}
AFL_DEVICE void copies_done() {
	emulator::Copies &c = emulator::copies[thread_index()];
	for (int i = 0; i < c.count; i++)
		memcpy(c.pending[i].to, c.pending[i].bytes, 16);
	c.count = 0;
}

#endif

} // namespace afl

#endif
