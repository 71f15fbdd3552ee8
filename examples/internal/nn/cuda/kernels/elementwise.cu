// Operations on the elements of arrays, whose order does not matter.
#include "activation.h"
#include "arguments.h"
#include "each.h"

AFL_KERNEL_OF(AflElementwise, afl_nn_add, 4) {
	afl::each(a.count, [&](int64_t i) { a.y[i] = a.a[i] + a.b[i]; });
}

AFL_KERNEL_OF(AflElementwise, afl_nn_scale, 4) {
	afl::each(a.count, [&](int64_t i) { a.y[i] = a.factor * a.a[i]; });
}

// The activations; their gradients are functions of the result.
AFL_KERNEL_OF(AflElementwise, afl_nn_relu, 4) {
	afl::each(a.count, [&](int64_t i) { a.y[i] = afl::relu(a.a[i]); });
}
AFL_KERNEL_OF(AflElementwise, afl_nn_relu_gradient, 4) {
	afl::each(a.count, [&](int64_t i) { a.y[i] = afl::relu_gradient(a.a[i], a.b[i]); });
}
AFL_KERNEL_OF(AflElementwise, afl_nn_elu, 4) {
	afl::each(a.count, [&](int64_t i) { a.y[i] = afl::elu(a.a[i]); });
}
AFL_KERNEL_OF(AflElementwise, afl_nn_elu_gradient, 4) {
	afl::each(a.count, [&](int64_t i) { a.y[i] = afl::elu_gradient(a.a[i], a.b[i]); });
}
AFL_KERNEL_OF(AflElementwise, afl_nn_sigmoid, 4) {
	afl::each(a.count, [&](int64_t i) { a.y[i] = afl::sigmoid(a.a[i]); });
}
AFL_KERNEL_OF(AflElementwise, afl_nn_sigmoid_gradient, 4) {
	afl::each(a.count, [&](int64_t i) { a.y[i] = afl::sigmoid_gradient(a.a[i], a.b[i]); });
}

AFL_KERNEL_OF(AflMean, afl_nn_mean, 4) {
	afl::each(a.count, [&](int64_t i) {
		float sum = a.more ? a.y[i] : a.x[0][i];
		for (int k = a.more ? 0 : 1; k < a.inputs; k++)
			sum += a.x[k][i];
		a.y[i] = a.divisor != 0 ? sum / a.divisor : sum;
	});
}
