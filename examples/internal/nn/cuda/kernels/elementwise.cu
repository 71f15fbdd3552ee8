// Operations on the elements of arrays, whose order does not matter.
#include "activation.h"
#include "arguments.h"
#include "each.h"
#include "sums.h"

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

AFL_KERNEL_OF(AflUpdate, afl_nn_sgd, 4) {
	afl::each(a.count, [&](int64_t i) {
		const float w = a.value[i];
		float d = a.gradient[i] + a.decay * w;
		if (a.first) {
			const float v = a.start ? d : a.momentum * a.first[i] + d;
			a.first[i] = v;
			d = a.nesterov ? d + a.momentum * v : v;
		}
		a.value[i] = w - a.rate * d;
	});
}

AFL_KERNEL_OF(AflUpdate, afl_nn_adamw, 4) {
	afl::each(a.count, [&](int64_t i) {
		const float g = a.gradient[i];
		const float m = a.beta1 * a.first[i] + a.new1 * g;
		const float v = a.beta2 * a.second[i] + a.new2 * g * g;
		a.first[i] = m;
		a.second[i] = v;
		a.value[i] = a.decay * a.value[i] - a.rate * m / (afl::square_root(v) / a.correction + a.epsilon);
	});
}

// A block's part of the sum of squares.
AFL_KERNEL_OF(AflSquares, afl_nn_squares, 4) {
	double sum = 0;
	afl::each(a.count, [&](int64_t i) { sum += (double)a.x[i] * (double)a.x[i]; });
	sum = afl::block_sum(sum);
	if (afl::thread_index() == 0)
		a.partials[afl::block_index()] = sum;
}

// The sum of all parts, by one block.
AFL_KERNEL_OF(AflSquares, afl_nn_sum_squares, 4) {
	double sum = 0;
	for (int64_t i = afl::thread_index(); i < a.parts; i += AFL_THREADS)
		sum += a.partials[i];
	sum = afl::block_sum(sum);
	if (afl::thread_index() == 0)
		*a.sum = sum;
}
