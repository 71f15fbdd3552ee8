// The activations of a network and their gradients, in float32 within a few ulp. NaN is
// preserved. The results are rounded before they are added to anything, so that they are the
// same in every kernel.
#ifndef AFL_NN_ACTIVATION_H
#define AFL_NN_ACTIVATION_H

#include "math32.h"

namespace afl {

AFL_DEVICE float relu(float x) { return x <= 0 ? 0 : x; }
AFL_DEVICE float relu_gradient(float y, float g) { return y > 0 ? g : 0; }

AFL_DEVICE float prelu(float x, float slope) { return x > 0 ? x : rounded_product(slope, x); }
AFL_DEVICE float prelu_gradient(float x, float slope, float g) { return x > 0 ? g : rounded_product(slope, g); }

// eˣ − 1 for x ≤ 0. Near 0, where the difference would cancel, it is the Taylor series.
AFL_DEVICE float expm1_negative(float x) {
	float p = fma(x, 1 / 40320.0f, 1 / 5040.0f);
	p = fma(x, p, 1 / 720.0f);
	p = fma(x, p, 1 / 120.0f);
	p = fma(x, p, 1 / 24.0f);
	p = fma(x, p, 1 / 6.0f);
	p = fma(x, p, 0.5f);
	const float near = fma(x * x, p, x);
	return x > -0.5f ? near : exp_of<1>(at_least(x)) - 1;
}

AFL_DEVICE float elu(float x) { return x > 0 ? x : expm1_negative(x); }
// Below 0 the derivative is eˣ = y + 1.
AFL_DEVICE float elu_gradient(float y, float g) { return y > 0 ? g : rounded_product(g, y + 1); }

// 1/(1 + e⁻ˣ). For x < 0 it is e/(1 + e) with e = eˣ, whose square root does not become
// denormal before e is 0.
AFL_DEVICE float sigmoid(float x) {
	const float root = exp_of<1>(at_least(-absolute(x)) * 0.5f);
	const float e = root * root;
	return (x < 0 ? e : 1) / (1 + e);
}
AFL_DEVICE float sigmoid_gradient(float y, float g) { return rounded_product(g, y * (1 - y)); }

} // namespace afl

#endif
