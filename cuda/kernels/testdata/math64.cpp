// exp, log, log1p, pow and bfloat16 against the C library's long double, for random
// arguments of every magnitude and for hostile ones.
#include "../label.h"

#include "check.h"

#include <cmath>
#include <random>

typedef long double Wide;

static_assert(sizeof(Wide) > sizeof(double), "the reference has more bits");

// Distance from the exact result in units of the last place.
static double ulps(double got, Wide want) {
	double near = (double)want;
	if (std::isnan(near) || std::isnan(got))
		return std::isnan(near) == std::isnan(got) ? 0 : INFINITY;
	if (std::isinf(near) || std::isinf(got) || (near == 0 && got == 0))
		return near == got && std::signbit(near) == std::signbit(got) ? 0 : INFINITY;
	int exponent;
	frexpl(want, &exponent);
	return (double)fabsl((got - want) / ldexpl(1, (exponent < -1021 ? -1021 : exponent) - 53));
}

static void compare(double x, double y) {
	check(ulps(afl::exp(x), expl(x)) < 0.8, "exp(%a) is %a", x, afl::exp(x));
	check(ulps(afl::log(x), logl(x)) < 0.55, "log(%a) is %a", x, afl::log(x));
	check(ulps(afl::log1p(x), log1pl(x)) < 0.8, "log1p(%a) is %a", x, afl::log1p(x));
	x = fabs(x);
	check(ulps(afl::pow(x, y), powl(x, y)) < 0.9, "pow(%a, %a) is %a", x, y, afl::pow(x, y));
}

static double bfloat(uint32_t bits) { return afl::float_of_bfloat((uint16_t)bits); }

// Checks that x, which is in the interval above bfloat16 `low`, is rounded to the
// nearest, ties to even.
static void compare_bfloat(uint32_t low, double x) {
	double below = bfloat(low), above = low == 0x7f7f ? 0x1p128 : bfloat(low + 1);
	uint32_t want = x - below < above - x || (x - below == above - x && low % 2 == 0) ? low : low + 1;
	check(afl::bfloat_of(x) == want, "bfloat16 of %a is %04x, want %04x", x, afl::bfloat_of(x), want);
	check(afl::bfloat_of(-x) == (want | 0x8000), "bfloat16 of %a is %04x", -x, afl::bfloat_of(-x));
}

int main() {
	const double hostile[] = {0, -0.0, 1, -1, 2, 0.5, INFINITY, -INFINITY, NAN, 0x1p-1074, -0x1p-1074, 0x1p-1022,
		0x1.fffffffffffffp1023, -0x1.fffffffffffffp1023, 709.782712893384, 709.79, -745.13, -745.14, -708.4, 1e-20,
		-1e-20, 0x1.fffffffffffffp-1, 0x1.0000000000001p0, 0x1.6a09e667f3bcdp0, 0x1.6a09e667f3bcdp-1,
		0.34657359027997264, 800, -800, 1e10, 3, 1023.5};
	for (double x : hostile)
		for (double y : hostile)
			compare(x, y);
	check(std::isnan(afl::pow(-2, 2)), "pow of a negative number");

	std::mt19937_64 random(1);
	std::uniform_real_distribution<double> uniform(0, 1);
	auto u = [&] { return uniform(random); };
	for (int i = 0; i < 100000; i++) {
		compare(afl::double_of(random()), afl::double_of(random()));
		compare((u() - 0.5) * 1500, u() * 6);
		compare(u(), u() * 5);
		compare(1 + (u() - 0.5) * 1e-3, (u() - 0.5) * 1e6);
		compare(std::exp((u() - 1) * 700), u() * 3);
		compare(ldexp(u() - 0.5, -(int)(random() % 60)), (u() - 0.5) * 1000);
	}

	for (uint32_t low = 0; low < 0x7f80; low++) {
		double below = bfloat(low), above = low == 0x7f7f ? 0x1p128 : bfloat(low + 1), middle = below / 2 + above / 2;
		for (double x : {below, middle, nextafter(middle, 0), nextafter(middle, INFINITY), below + (above - below) * u()})
			compare_bfloat(low, x);
	}
	check(afl::bfloat_of(0x1p128) == 0x7f80 && afl::bfloat_of(-INFINITY) == 0xff80, "infinities");
	check(std::isnan(bfloat(afl::bfloat_of(NAN))), "NaN");
	return failures != 0;
}
