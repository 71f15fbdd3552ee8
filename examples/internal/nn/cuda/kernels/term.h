// A thread's part of an AflTerm: that of one channel of a sample.
#ifndef AFL_NN_TERM_H
#define AFL_NN_TERM_H

#include "activation.h"
#include "arguments.h"

namespace afl {

// An activation with the slope of a channel.
struct Activation {
	int32_t function;
	float slope;

	AFL_MEMBER float value(float x) const {
		switch (function) {
		case AFL_RELU:
			return relu(x);
		case AFL_ELU:
			return elu(x);
		case AFL_SIGMOID:
			return sigmoid(x);
		case AFL_PRELU:
			return prelu(x, slope);
		}
		return x;
	}
	// The gradient of x from that of value(x).
	AFL_MEMBER float gradient(float x, float g) const {
		switch (function) {
		case AFL_RELU:
			return relu_gradient(relu(x), g);
		case AFL_ELU:
			return elu_gradient(elu(x), g);
		case AFL_SIGMOID:
			return sigmoid_gradient(sigmoid(x), g);
		case AFL_PRELU:
			return prelu_gradient(x, slope, g);
		}
		return g;
	}
};

AFL_DEVICE Activation activation_of(const AflActivation &a, int64_t channel) {
	return Activation{a.function, a.slope ? a.slope[a.slopes == 1 ? 0 : channel] : 0};
}

AFL_DEVICE float normalized(const AflNormalizer &n, float x) { return fma(x - n.mean, n.factor, n.shift); }

struct Term {
	bool normed;
	AflNormalizer norm;
	Activation act;

	AFL_MEMBER float value(float x) const { return normed ? act.value(normalized(norm, x)) : x; }
};

// The term of channel `channel` of a sample, which is plane `plane` of all samples.
AFL_DEVICE Term term_of(const AflTerm &t, int64_t plane, int64_t channel) {
	Term s = {};
	s.normed = t.norm != nullptr;
	if (s.normed) {
		s.norm = t.norm[plane];
		s.act = activation_of(t.act, channel);
	}
	return s;
}

} // namespace afl

#endif
