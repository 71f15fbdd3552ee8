// The functions of passes that compute in float32 or in float64.
#ifndef AFL_REAL_H
#define AFL_REAL_H

#include "math32.h"
#include "math64.h"

namespace afl {

template <class Real> constexpr Real smallest_normal = 0;
template <> constexpr float smallest_normal<float> = 0x1p-126f;
template <> constexpr double smallest_normal<double> = 0x1p-1022;

// eˣ for x ≤ 0.
AFL_DEVICE float exp_negative(float x) { return exp_of<1>(at_least(x)); }
AFL_DEVICE double exp_negative(double x) { return exp(x); }

// log(1+x) for 0 ≤ x ≤ 1, and for every x ≥ 0.
AFL_DEVICE float log1p_up_to_1(float x) { return log1p_upto1<1>(x); }
AFL_DEVICE double log1p_up_to_1(double x) { return log1p(x); }
AFL_DEVICE float log1p_of(float x) { return log1p_positive<1>(x); }
AFL_DEVICE double log1p_of(double x) { return log1p(x); }

// 1/x for a normal x.
AFL_DEVICE float reciprocal(float x) { return reciprocal_fast(x); }
AFL_DEVICE double reciprocal(double x) { return 1 / x; }

// Exponent is an exponent k ≥ 0 as powers need it.
template <class Real> struct Exponent;
template <> struct Exponent<float> {
	Split k;
	float in_octaves; // k·log₂ e
};
template <> struct Exponent<double> {
	double k;
};

// A k of at most 2²⁴: from there on powers of float32 numbers are 1 or 0.
AFL_DEVICE void set(Exponent<float> &to, double k) {
	k = minimum(k, 0x1p24);
	to = Exponent<float>{split(k), (float)(k * log2e)};
}
AFL_DEVICE void set(Exponent<double> &to, double k) { to = Exponent<double>{k}; }

// k itself.
AFL_DEVICE float value_of(const Exponent<float> &k) { return k.k.high; }
AFL_DEVICE double value_of(const Exponent<double> &k) { return k.k; }

// xᵏ for a normal 0 < x ≤ 1.
AFL_DEVICE float power(float x, const Exponent<float> &k) { return power(x, k.k); }
AFL_DEVICE double power(double x, const Exponent<double> &k) { return pow(x, k.k); }

// xᵏ, given log x ≤ 0.
AFL_DEVICE float power_of_log(float log, const Exponent<float> &k) { return exp2_product(k.in_octaves, at_least(log)); }
AFL_DEVICE double power_of_log(double log, const Exponent<double> &k) { return exp(k.k * log); }

} // namespace afl

#endif
