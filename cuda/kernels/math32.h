// float32 exponentials and logarithms on the special function unit. Its error is
// small only for arguments near 0; the corrections around it keep the relative error
// of small results as low as that of large ones.
#ifndef AFL_MATH32_H
#define AFL_MATH32_H

#include "device.h"

namespace afl {

constexpr float ln2 = 0.693147181f;
constexpr double log2e = 1.44269504088896341;

AFL_DEVICE float absolute(float x) { return __builtin_fabsf(x); }

// A constant in two parts, for products more accurate than float32.
struct Split {
	float high, low;
};

AFL_DEVICE Split split(double x) {
	float high = (float)x;
	return Split{high, (float)(x - (double)high)};
}

// 2^(k·x) for −2¹⁰⁰ ≤ x ≤ 0 and 0 ≤ k ≤ 2²⁵. The rounding error of the product, which
// 2ˣ would amplify in proportion to its argument, is compensated.
AFL_DEVICE float exp2_product(float k, float x) {
	float high = k * x;
	float low = fma(k, x, -high);
	float y = exp2_fast(high);
	return fma(y, low * ln2, y);
}

// exp(unit·x) for −2¹⁰⁰ ≤ x ≤ 0, compensated likewise.
template <int unit> AFL_DEVICE float exp_of(float x) {
	float high = (float)(unit * log2e) * x;
	float low = fma(high, -ln2 / unit, x);
	float y = exp2_fast(high);
	return fma(unit * y, low, y);
}

// The larger of x and −2¹⁰⁰, which stays clear of overflow; NaN is preserved.
AFL_DEVICE float at_least(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
	float y;
	asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(-0x1p100f));
	return y;
#else
	return x < -0x1p100f ? -0x1p100f : x;
#endif
}

// log(1+x)/unit for 0 ≤ x ≤ 1, within 2 ulp: x·(1 + x·R(x)), where R is the minimax
// fit for the relative error of the result, 3.3e-8.
template <int unit> AFL_DEVICE float log1p_upto1(float x) {
	constexpr float s = 1.0f / unit;
	float r = fma(x, s * 0.00536481858f, s * -0.0300657692f);
	r = fma(x, r, s * 0.079204498f);
	r = fma(x, r, s * -0.137537992f);
	r = fma(x, r, s * 0.191536535f);
	r = fma(x, r, s * -0.248571633f);
	r = fma(x, r, s * 0.333213226f);
	r = fma(x, r, s * -0.49999648f);
	return rounded_product(x, fma(x, r, s)); // never part of a sum, so that all passes agree
}

// log(1+x)/unit for x ≥ 0.
template <int unit> AFL_DEVICE float log1p_positive(float x) {
	float small = log1p_upto1<unit>(x);
	float large = log2_fast(1 + x) * (ln2 / unit);
	return x > 1 ? large : small; // small is NaN if x is
}

// x^k for a positive normal x ≤ 1 and 0 ≤ k ≤ 2²⁵. With x = m·2ⁿ, ¾ ≤ m < 1½, the
// product k·n is exact in two parts, and log₂ m is small.
AFL_DEVICE float power(float x, Split k) {
	const uint32_t three_quarters = 0x3f400000;
	uint32_t bits = __builtin_bit_cast(uint32_t, x);
	int32_t n = (int32_t)(bits - three_quarters) >> 23;
	float whole = (float)n, part = log2_fast(__builtin_bit_cast(float, bits - ((uint32_t)n << 23)));
	float product = k.high * whole;
	float rest = fma(k.low, whole, fma(k.high, whole, -product)) + k.high * part;
	float high = product + rest, low = rest - (high - product);
	float y = exp2_fast(high);
	return fma(y, low * ln2, y);
}

} // namespace afl

#endif
