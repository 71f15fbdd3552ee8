package nn

import "fmt"

// NormEpsilon is what all norm layers add to the variance.
const NormEpsilon = 1e-5

// BatchNormMomentum is the weight of a batch in the running statistics.
const BatchNormMomentum = 0.1

// BatchNorm is a batch norm layer with scale, shift and running statistics.
type BatchNorm struct {
	Weight, Bias            *Param
	RunningMean, RunningVar *Buffer
	// Batches counts the training passes (num_batches_tracked).
	Batches *Buffer
}

// BatchNorm makes a batch norm over the given number of channels: weight 1,
// bias 0, running mean 0, running variance 1.
func (b *Builder) BatchNorm(name string, channels int) *BatchNorm {
	return &BatchNorm{
		Weight:      b.param(name+".weight", constant(1), channels),
		Bias:        b.param(name+".bias", constant(0), channels),
		RunningMean: b.buffer(name+".running_mean", constant(0), channels),
		RunningVar:  b.buffer(name+".running_var", constant(1), channels),
		Batches:     b.counter(name + ".num_batches_tracked"),
	}
}

// Forward records the norm of x. On a training tape it updates the running
// statistics, at every call.
func (n *BatchNorm) Forward(t *Tape, x Var) (Var, error) {
	w, bias := t.Param(n.Weight), t.Param(n.Bias)
	spec := BatchNormSpec{Training: t.mode == Training, Epsilon: NormEpsilon, Momentum: BatchNormMomentum}
	y, pullback, err := t.backend.BatchNorm(x.array, w.array, bias.array, n.RunningMean.Value, n.RunningVar.Value, spec)
	if err != nil {
		return Var{}, fmt.Errorf("%s: %w", n.Weight.Name, err)
	}
	if spec.Training {
		n.Batches.Count++
	}
	return t.Record(y, pullback, x, w, bias)
}

// GroupNorm is a group norm layer with scale and shift.
type GroupNorm struct {
	Weight, Bias *Param
	Groups       int
}

// GroupNorm makes a group norm over the given number of channels, which the
// number of groups divides: weight 1, bias 0.
func (b *Builder) GroupNorm(name string, groups, channels int) *GroupNorm {
	return &GroupNorm{
		Weight: b.param(name+".weight", constant(1), channels),
		Bias:   b.param(name+".bias", constant(0), channels),
		Groups: groups,
	}
}

// Forward records the norm of x.
func (n *GroupNorm) Forward(t *Tape, x Var) (Var, error) {
	w, bias := t.Param(n.Weight), t.Param(n.Bias)
	y, pullback, err := t.backend.GroupNorm(x.array, w.array, bias.array, n.Groups, NormEpsilon)
	if err != nil {
		return Var{}, fmt.Errorf("%s: %w", n.Weight.Name, err)
	}
	return t.Record(y, pullback, x, w, bias)
}

// InstanceNorm is an instance norm layer without parameters: each channel of
// each sample is normalized by itself.
type InstanceNorm struct{}

// Forward records the norm of x.
func (InstanceNorm) Forward(t *Tape, x Var) (Var, error) {
	channels := 1 // of no account: what is not N×C×X×Y×Z is refused
	if s := x.Shape(); len(s) > 1 {
		channels = s[1]
	}
	y, pullback, err := t.backend.GroupNorm(x.array, nil, nil, channels, NormEpsilon)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x, Var{}, Var{})
}
