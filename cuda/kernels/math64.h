// exp, log, log1p and pow in float64, which a build without NVIDIA's libraries lacks.
// Within 1 ulp; zeros, infinities and NaN as in C.
#ifndef AFL_MATH64_H
#define AFL_MATH64_H

#include "device.h"

namespace afl {

AFL_DEVICE uint64_t bits_of(double x) { return __builtin_bit_cast(uint64_t, x); }
AFL_DEVICE double double_of(uint64_t bits) { return __builtin_bit_cast(double, bits); }

AFL_DEVICE double infinity() { return __builtin_inf(); }
AFL_DEVICE double not_a_number() { return __builtin_nan(""); }
AFL_DEVICE bool is_nan(double x) { return x != x; }
AFL_DEVICE double absolute(double x) { return __builtin_fabs(x); }
AFL_DEVICE double maximum(double x, double y) { return x > y ? x : y; }
AFL_DEVICE double minimum(double x, double y) { return x < y ? x : y; }

// ln 2 = high + low; products of high with an exponent are exact.
#define AFL_LN2_HIGH 0x1.62e42fefap-1
#define AFL_LN2_LOW 0x1.cf79abc9e3b3ap-40

// A number as the unevaluated sum of two, the second at most half an ulp of the first.
struct Pair {
	double high, low;
};

// The exact sum of two numbers, the first of which is the larger in magnitude or 0.
AFL_DEVICE Pair sum_of(double large, double small) {
	double s = large + small;
	return Pair{s, small - (s - large)};
}

// exp(x.high + x.low).
//
// x = k·ln 2 + r with |r| ≤ ln 2 / 2; the exponential series of r up to r¹³ has a
// remainder below 2⁻⁵⁷.
AFL_OUT_OF_LINE double exp(Pair x) {
	if (!(absolute(x.high) < 800)) // beyond the range of float64, or NaN
		return is_nan(x.high) ? x.high : x.high > 0 ? infinity() : 0.0;
	// Adding and subtracting 1.5·2⁵² rounds to an integer.
	const double shift = 0x1.8p52;
	double k = x.high * 0x1.71547652b82fep0 + shift;
	int e = (int)(uint32_t)bits_of(k);
	k -= shift;
	Pair r = sum_of(fma(-k, AFL_LN2_HIGH, x.high), fma(-k, AFL_LN2_LOW, x.low));
	double t = r.high;
	double p = 1.0 / 6227020800.0;
	p = fma(p, t, 1.0 / 479001600.0);
	p = fma(p, t, 1.0 / 39916800.0);
	p = fma(p, t, 1.0 / 3628800.0);
	p = fma(p, t, 1.0 / 362880.0);
	p = fma(p, t, 1.0 / 40320.0);
	p = fma(p, t, 1.0 / 5040.0);
	p = fma(p, t, 1.0 / 720.0);
	p = fma(p, t, 1.0 / 120.0);
	p = fma(p, t, 1.0 / 24.0);
	p = fma(p, t, 1.0 / 6.0);
	p = fma(p, t, 0.5);
	// 1 + r + r²·p; the terms after 1 + r.high include the rounding error of that sum.
	Pair one = sum_of(1, t);
	double y = one.high + (one.low + fma(t * t, p, fma(r.low, t, r.low)));
	// 2ᵉ in two steps, of which only the second rounds if the result is denormal.
	int half = e >> 1;
	return y * double_of((uint64_t)(1023 + half) << 52) * double_of((uint64_t)(1023 + e - half) << 52);
}

AFL_DEVICE double exp(double x) { return exp(Pair{x, 0}); }

// The logarithm of a positive finite number, with a relative error below 2⁻⁶⁴.
//
// x = 2ᵉ·m with m between √½ and √2, s = (m−1)/(m+1), and
// log m = 2·artanh s = 2s·(1 + s²/3 + s⁴/5 + …), |s| < 0.172.
AFL_OUT_OF_LINE Pair log_of(double x) {
	int e = 0;
	if (x < 0x1p-1022) {
		x *= 0x1p54;
		e = -54;
	}
	uint64_t bits = bits_of(x);
	const uint64_t root_half = 0x3fe6a09e667f3bcdull;
	uint64_t above = bits - root_half;
	e += (int)((int64_t)above >> 52);
	double m = double_of((above & 0x000fffffffffffffull) + root_half);

	double f = m - 1, t = m + 1, rest = m - (t - 1); // m − 1 and t + rest are exact
	double s = f / t;
	double s_low = (fma(-s, t, f) - s * rest) / t;
	double z = s * s;
	double z_low = fma(s, s, -z) + 2 * s * s_low;
	double p = 1.0 / 25;
	p = fma(p, z, 1.0 / 23);
	p = fma(p, z, 1.0 / 21);
	p = fma(p, z, 1.0 / 19);
	p = fma(p, z, 1.0 / 17);
	p = fma(p, z, 1.0 / 15);
	p = fma(p, z, 1.0 / 13);
	p = fma(p, z, 1.0 / 11);
	p = fma(p, z, 1.0 / 9);
	p = fma(p, z, 1.0 / 7);
	p = fma(p, z, 1.0 / 5);
	// q = 1/3 + z·p with its rounding error, then z·q with its own.
	double zp = z * p;
	Pair q = sum_of(1.0 / 3, zp);
	q.low += 0x1.5555555555555p-56 + fma(z, p, -zp) + z_low * (1.0 / 5);
	double zq = z * q.high;
	double zq_low = fma(z, q.high, -zq) + fma(z, q.low, z_low * q.high);
	// log m = 2s + 2s·zq.
	double a = 2 * s, b = a * zq;
	double b_low = fma(a, zq, -b) + fma(a, zq_low, 2 * s_low * zq);
	Pair y = sum_of(a, b);
	y.low += b_low + 2 * s_low;
	if (e != 0) {
		Pair big = sum_of(e * AFL_LN2_HIGH, y.high);
		y = Pair{big.high, big.low + (y.low + e * AFL_LN2_LOW)};
	}
	return sum_of(y.high, y.low);
}

AFL_DEVICE double log(double x) {
	if (!(x > 0 && x < infinity()))
		return x == 0 ? -infinity() : x > 0 || is_nan(x) ? x : not_a_number();
	Pair y = log_of(x);
	return y.high + y.low;
}

// log(1+x) = log u + c/u up to terms of order c², where u is 1 + x rounded and c the
// rounding error.
AFL_DEVICE double log1p(double x) {
	if (!(x > -1 && x < infinity()))
		return x == -1 ? -infinity() : x > 0 || is_nan(x) ? x : not_a_number();
	if (absolute(x) < 0x1p-54)
		return x; // also −0 and denormals
	double u = 1 + x;
	double c = x > 1 ? 1 - (u - x) : x - (u - 1);
	Pair y = log_of(u);
	return y.high + (y.low + c / u);
}

// xʸ for x ≥ 0; NaN for negative x.
AFL_DEVICE double pow(double x, double y) {
	if (y == 0 || x == 1)
		return 1;
	if (is_nan(x) || is_nan(y) || x < 0)
		return not_a_number();
	if (x == 0 || x == infinity())
		return (x == 0) == (y > 0) ? 0.0 : infinity();
	if (absolute(y) == infinity())
		return (x < 1) == (y > 0) ? 0.0 : infinity();
	Pair l = log_of(x);
	double high = y * l.high;
	if (!(absolute(high) < 800))
		return high > 0 ? infinity() : 0.0;
	return exp(Pair{high, fma(y, l.high, -high) + y * l.low});
}

} // namespace afl

#endif
