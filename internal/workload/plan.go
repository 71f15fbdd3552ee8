package workload

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/plan"
)

// planOf returns the plan by which a loss of c channels is evaluated, with class
// indices or with a map for each channel. It records the plan that the backend of an
// engine is given.
func planOf(l afl.Loss, c int, maps bool) (*plan.Loss, error) {
	r := &recorder{}
	e := recordingEngine{recorder: r}
	logits := tensor.New(tensor.WithEngine(e), tensor.Of(tensor.Float32), tensor.WithShape(1, c, 1, 1))
	target := tensor.New(tensor.WithEngine(e), tensor.Of(tensor.Uint8), tensor.WithShape(1, 1, 1))
	if maps {
		target = tensor.New(tensor.WithEngine(e), tensor.Of(tensor.Float32), tensor.WithShape(1, c, 1, 1))
	}
	if _, err := l.Eval(logits, target, nil); err != nil {
		return nil, err
	}
	if len(r.plans) != 1 {
		return nil, fmt.Errorf("no count of the work of a %T, which is evaluated by %d plans", l, len(r.plans))
	}
	return r.plans[0], nil
}

// recordingEngine is an engine of tensors whose losses are recorded.
type recordingEngine struct {
	tensor.StdEng
	*recorder
}

// recorder is a backend that keeps the plans it is given.
type recorder struct{ plans []*plan.Loss }

var _ plan.Provider = recordingEngine{}

// Backend implements [plan.Provider].
func (r *recorder) Backend() plan.Backend { return r }

// LogitsTypes implements [plan.Backend].
func (*recorder) LogitsTypes() []tensor.Dtype { return []tensor.Dtype{tensor.Float32} }

// NewTensor implements [plan.Backend].
func (*recorder) NewTensor(like *tensor.Dense, shape ...int) (*tensor.Dense, error) {
	return tensor.New(tensor.WithEngine(like.Engine()), tensor.Of(like.Dtype()), tensor.WithShape(shape...)), nil
}

// Eval implements [plan.Backend]. The loss is 0.
func (r *recorder) Eval(_ *plan.Batch, l *plan.Loss, _ *plan.Call) (*tensor.Dense, error) {
	r.plans = append(r.plans, l)
	return tensor.New(tensor.FromScalar(0.0)), nil
}

// Stats implements [plan.Backend]. A loss that decides by the label on the host has
// no plan to record.
func (*recorder) Stats(*plan.Batch, plan.StatsRequest) (*plan.Stats, error) {
	return nil, fmt.Errorf("the plan depends on the label")
}

// Combine implements [plan.Backend].
func (*recorder) Combine(*tensor.Dense, float64, *tensor.Dense, float64) error { return nil }
