// The primitives that the kernels are written in: a small freestanding subset of
// CUDA C++. clang compiles it for the GPU without NVIDIA's headers; other compilers
// include emulator.h, which runs a block's threads on the CPU. Everything lives in
// namespace afl, which hides the C library's names.
#ifndef AFL_DEVICE_H
#define AFL_DEVICE_H

#include <stdint.h>

#include "threads.h"

#if defined(__CUDA__) && defined(__NVPTX__) || defined(__CUDA__) && !defined(__CUDA_ARCH__)

// AFL_KERNEL_OF(type, name, blocks) { ... } defines a kernel with the single parameter a,
// a struct of the given type. `blocks` is the number of blocks that must fit on a
// multiprocessor, which limits the registers of a thread to 65536/256/blocks.
#define AFL_KERNEL_OF(type, name, blocks) \
	extern "C" __attribute__((global)) __attribute__((launch_bounds(AFL_THREADS, blocks))) void name(const type a)
// Inlined: passing the address of a kernel parameter or of a register to a function
// would force a copy in local memory.
#define AFL_DEVICE __attribute__((device, always_inline)) inline
// Not inlined, for long code that rarely runs.
#define AFL_OUT_OF_LINE static __attribute__((device, noinline, unused))
#define AFL_MEMBER __attribute__((device)) inline // a member function
#define AFL_SHARED __attribute__((shared))

namespace afl {

AFL_DEVICE uint32_t thread_index() { return __nvvm_read_ptx_sreg_tid_x(); }
AFL_DEVICE uint32_t block_index() { return __nvvm_read_ptx_sreg_ctaid_x(); }
AFL_DEVICE uint32_t block_count() { return __nvvm_read_ptx_sreg_nctaid_x(); }

// Waits until all threads of the block have reached it.
AFL_DEVICE void barrier() { __syncthreads(); }

// The value of x in the lane whose index is this one's xor mask. All 32 lanes call it.
AFL_DEVICE int32_t shuffle_xor(int32_t x, int mask) { return __nvvm_shfl_sync_bfly_i32(0xffffffff, x, mask, 31); }
AFL_DEVICE float shuffle_xor(float x, int mask) { return __nvvm_shfl_sync_bfly_f32(0xffffffff, x, mask, 31); }
AFL_DEVICE double shuffle_xor(double x, int mask) {
	int64_t bits = __builtin_bit_cast(int64_t, x);
	uint32_t low = (uint32_t)shuffle_xor((int32_t)bits, mask), high = (uint32_t)shuffle_xor((int32_t)(bits >> 32), mask);
	return __builtin_bit_cast(double, (int64_t)((uint64_t)high << 32 | low));
}

// Every block sees this thread's earlier writes before its later ones.
AFL_DEVICE void fence() { __nvvm_membar_gl(); }
// Adds 1 to *p, or resets it to 0 if it equals last, and returns the old value.
AFL_DEVICE uint32_t atomic_increment(uint32_t *p, uint32_t last) { return __nvvm_atom_inc_gen_ui(p, last); }
AFL_DEVICE void atomic_maximum(uint64_t *p, uint64_t x) { __atomic_fetch_max(p, x, __ATOMIC_RELAXED); }
// Reads what other blocks wrote in this launch, bypassing the multiprocessor's own
// caches.
AFL_DEVICE double load_fresh(const double *p) { return *(const volatile double *)p; }
AFL_DEVICE uint64_t load_fresh(const uint64_t *p) { return *(const volatile uint64_t *)p; }
// Reads data that no kernel writes while this one runs.
AFL_DEVICE double load_constant(const double *p) { return __nvvm_ldg_d(p); }

// The special function unit: 2ˣ within 2 ulp, 1/x within 1 ulp; denormals are
// flushed to 0.
AFL_DEVICE float exp2_fast(float x) { return __nvvm_ex2_approx_ftz_f(x); }
AFL_DEVICE float reciprocal_fast(float x) { return __nvvm_rcp_approx_ftz_f(x); }
AFL_DEVICE float log2_fast(float x) { return __nvvm_lg2_approx_ftz_f(x); }

} // namespace afl

#else
#include "emulator.h"
#endif

// A kernel of the losses.
#define AFL_KERNEL(name, blocks) AFL_KERNEL_OF(AflArguments, name, blocks)

namespace afl {

// Correctly rounded on both.
AFL_DEVICE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
AFL_DEVICE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
AFL_DEVICE float square_root(float x) { return __builtin_sqrtf(x); }
AFL_DEVICE double square_root(double x) { return __builtin_sqrt(x); }

// Rounded separately: elsewhere the compiler may fuse x·y + z.
#ifdef __NVPTX__
AFL_DEVICE float rounded_product(float x, float y) { return __nvvm_mul_rn_f(x, y); }
AFL_DEVICE double rounded_product(double x, double y) { return __nvvm_mul_rn_d(x, y); }
AFL_DEVICE double rounded_sum(double x, double y) { return __nvvm_add_rn_d(x, y); }
#else
AFL_DEVICE float rounded_product(float x, float y) { return x * y; }
AFL_DEVICE double rounded_product(double x, double y) { return x * y; }
AFL_DEVICE double rounded_sum(double x, double y) { return x + y; }
#endif

// Words that are loaded and stored in one access. p is aligned to their size.
typedef uint32_t Word4 __attribute__((vector_size(16), may_alias));
typedef uint32_t Word2 __attribute__((vector_size(8), may_alias));

#ifdef __NVPTX__
// Loads of data that is constant while the kernel runs, which may be moved past
// stores, and streaming stores of data that no pass reads soon, which should not
// evict anything from the caches.
AFL_DEVICE Word4 load16(const void *p) {
	uint32_t x, y, z, w;
	asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x), "=r"(y), "=r"(z), "=r"(w) : "l"(p));
	return Word4{x, y, z, w};
}
AFL_DEVICE Word2 load8(const void *p) {
	uint32_t x, y;
	asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(x), "=r"(y) : "l"(p));
	return Word2{x, y};
}
AFL_DEVICE uint32_t load4(const void *p) {
	uint32_t x;
	asm("ld.global.nc.u32 %0, [%1];" : "=r"(x) : "l"(p));
	return x;
}
AFL_DEVICE void store16(void *p, Word4 x) {
	asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]) : "memory");
}
AFL_DEVICE void store8(void *p, Word2 x) {
	asm volatile("st.global.cs.v2.u32 [%0], {%1, %2};" ::"l"(p), "r"(x[0]), "r"(x[1]) : "memory");
}
#else
AFL_DEVICE Word4 load16(const void *p) { return *(const Word4 *)p; }
AFL_DEVICE Word2 load8(const void *p) { return *(const Word2 *)p; }
AFL_DEVICE uint32_t load4(const void *p) { return *(const uint32_t *)p; }
AFL_DEVICE void store16(void *p, Word4 x) { *(Word4 *)p = x; }
AFL_DEVICE void store8(void *p, Word2 x) { *(Word2 *)p = x; }
#endif

// AFL_UNROLL before a loop with a constant trip count keeps the arrays that it
// indexes in registers; AFL_ROLL keeps the code of a loop small.
#ifdef __clang__
#define AFL_UNROLL _Pragma("unroll")
#define AFL_ROLL _Pragma("nounroll")
#else
#define AFL_UNROLL
#define AFL_ROLL
#endif

} // namespace afl

#endif
