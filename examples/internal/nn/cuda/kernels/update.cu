// Optimizers: clipping by the norm of the gradients, and the update.
#include "arguments.h"
#include "each.h"
#include "first.h"
#include "stop.h"
#include "sums.h"

AFL_KERNEL_OF(AflStore, afl_nn_store, 4) {
	const uint32_t i = afl::thread_index();
	if (afl::block_index() == 0 && i < a.words)
		a.to[i] = a.word[i];
}

AFL_KERNEL_OF(AflUpdate, afl_nn_sgd, 4) {
	if (afl::stopped(a.stop))
		return;
	const AflUpdateFactors f = *a.factors;
	afl::each(a.count, [&](int64_t i) {
		const float w = a.value[i];
		float d = a.gradient[i] + f.decay * w;
		if (a.first) {
			const float v = f.start ? d : a.momentum * a.first[i] + d;
			a.first[i] = v;
			d = a.nesterov ? d + a.momentum * v : v;
		}
		a.value[i] = w - f.rate * d;
	});
}

AFL_KERNEL_OF(AflUpdate, afl_nn_adamw, 4) {
	if (afl::stopped(a.stop))
		return;
	const AflUpdateFactors f = *a.factors;
	afl::each(a.count, [&](int64_t i) {
		const float g = a.gradient[i];
		const float m = a.beta1 * a.first[i] + a.new1 * g;
		const float v = a.beta2 * a.second[i] + a.new2 * g * g;
		a.first[i] = m;
		a.second[i] = v;
		a.value[i] = f.decay * a.value[i] - f.rate * m / (afl::square_root(v) / f.correction + a.epsilon);
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

// The factor of the gradients by one block, with the same sum as afl_nn_sum_squares.
AFL_KERNEL_OF(AflClip, afl_nn_clip_factor, 4) {
	double sum = 0;
	int64_t bad = a.parts;
	for (int64_t i = afl::thread_index(); i < a.parts; i += AFL_THREADS) {
		const double part = a.partials[i];
		sum += part;
		if (part - part != 0)
			bad = afl::first_of(bad, i);
	}
	sum = afl::block_sum(sum);
	bad = afl::block_first(bad);
	if (afl::thread_index() != 0)
		return;
	const double norm = afl::square_root(sum), factor = a.most / (norm + 1e-6);
	*a.factor = factor < 1 ? (float)factor : 1.0f;
	a.clipped->norm = norm;
	a.clipped->bad = bad;
	if (norm - norm != 0)
		*a.stop = 1;
}

// The product with a number in device memory.
AFL_KERNEL_OF(AflElementwise, afl_nn_scale_by, 4) {
	const float factor = *a.b;
	afl::each(a.count, [&](int64_t i) { a.y[i] = factor * a.a[i]; });
}
