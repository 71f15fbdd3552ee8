package measure

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/segment"
)

// InWords describes, for the reader of a report, how a prediction rule makes the masks of a
// scheme.
func InWords(scheme segment.Scheme, rule afl.PredictionRule) string {
	switch scheme.Kind {
	case segment.Classes:
		return "the class with the largest softmax probability"
	case segment.Regions:
		return "each region where the sigmoid of its channel is above 0.5"
	}
	return binaryRules[rule]
}

var binaryRules = map[afl.PredictionRule]string{
	afl.SigmoidChannel1: "sigmoid of channel 1 above 0.5, as the paper's released code does",
	afl.Argmax: "the larger of the two channels (softmax above 0.5), because these losses train only the channels' difference; " +
		"the paper's released code takes the sigmoid of channel 1 here too",
}

// RuleOf returns the prediction rule that suits logits trained with a loss: [afl.Argmax] for
// classes, [afl.SigmoidPerChannel] for regions. If the scheme is binary it depends on the
// loss. A softmax loss
// does not change when a constant is added to all channels of a voxel, so the value of one
// channel alone means nothing: the rule is [afl.Argmax]. Every other loss trains channel 1
// as a binary problem: the rule is [afl.SigmoidChannel1]. It is found by evaluating the
// loss, so that new losses need no entry here. A loss that does not take two channels is an
// error.
func RuleOf(scheme segment.Scheme, loss afl.Loss) (afl.PredictionRule, error) {
	switch scheme.Kind {
	case segment.Classes:
		return afl.Argmax, nil
	case segment.Regions:
		return afl.SigmoidPerChannel, nil
	}
	logits := []float64{0.3, -1.2, 0.8, 0.1, -0.5, 0.9, 1.4, -0.7}
	shifted := make([]float64, len(logits))
	for i, x := range logits {
		shifted[i] = x + 1.5
	}
	target := tensor.New(tensor.WithShape(1, 2, 2), tensor.WithBacking([]uint8{0, 1, 1, 0}))
	values := make([]float64, 2)
	for i, backing := range [][]float64{logits, shifted} {
		v, err := afl.Value(loss, tensor.New(tensor.WithShape(1, 2, 2, 2), tensor.WithBacking(backing)), target)
		if err != nil {
			return 0, fmt.Errorf("cannot be trained with two channels: %w", err)
		}
		values[i] = v
	}
	if math.Abs(values[0]-values[1]) <= 1e-9*math.Abs(values[0]) {
		return afl.Argmax, nil
	}
	return afl.SigmoidChannel1, nil
}
