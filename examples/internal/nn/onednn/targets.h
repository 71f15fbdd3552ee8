// targets.h defines macros to compile one file for several instruction sets.

#ifndef AFL_ONEDNN_TARGETS_H
#define AFL_ONEDNN_TARGETS_H

// cgo compiles with -O2, which vectorizes few loops.
#ifdef __clang__
#define TARGET_BEGIN_(features) _Pragma(#features)
#define AVX512_BEGIN TARGET_BEGIN_(clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function))
#define AVX2_BEGIN TARGET_BEGIN_(clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function))
#define TARGET_END _Pragma("clang attribute pop")
#else
#pragma GCC optimize("O3", "no-trapping-math", "no-math-errno")
#define AVX512_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512\")")
#define AVX2_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma\")")
#define TARGET_END _Pragma("GCC pop_options")
#endif

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define FN(name) CAT(name, SUFFIX)
#define UNROLL _Pragma("GCC unroll 16")
#define INLINE static inline __attribute__((always_inline))

#endif
