package workload

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/planof"
)

// planOf returns the plan by which a loss of c channels is evaluated, with class
// indices or with a map for each channel.
func planOf(l afl.Loss, c int, maps bool) (*plan.Loss, error) {
	logits := []int{1, c, 1, 1}
	target, dt := []int{1, 1, 1}, tensor.Uint8
	if maps {
		target, dt = logits, tensor.Float32
	}
	evaluations, err := planof.Of(l, logits, target, dt)
	if err != nil {
		return nil, err
	}
	if len(evaluations) != 1 {
		return nil, fmt.Errorf("no count of the work of a %T, which is evaluated by %d plans", l, len(evaluations))
	}
	return evaluations[0].Loss, nil
}
