package nn

import "fmt"

// NormEpsilon is added to the variance by all norm layers.
const NormEpsilon = 1e-5

// BatchNormMomentum is the weight of a batch in the running statistics.
const BatchNormMomentum = 0.1

// BatchNorm is a batch norm layer with scale, shift and running statistics.
type BatchNorm struct {
	Weight, Bias            *Param
	RunningMean, RunningVar *Buffer
	// Batches counts training passes (num_batches_tracked).
	Batches *Buffer
}

// BatchNorm returns a batch norm for the given number of channels, with weight 1, bias 0,
// running mean 0 and running variance 1.
func (b *Builder) BatchNorm(name string, channels int) *BatchNorm {
	return &BatchNorm{
		Weight:      b.param(name+".weight", constant(1), channels),
		Bias:        b.param(name+".bias", constant(0), channels),
		RunningMean: b.buffer(name+".running_mean", constant(0), channels),
		RunningVar:  b.buffer(name+".running_var", constant(1), channels),
		Batches:     b.counter(name + ".num_batches_tracked"),
	}
}

// Forward normalizes x. On a training tape, every call updates the running statistics, unless
// the tape keeps them; see Tape.KeepStatistics and Tape.SyncBatchNorm.
func (n *BatchNorm) Forward(t *Tape, x Var) (Var, error) {
	w, bias := t.Param(n.Weight), t.Param(n.Bias)
	spec := BatchNormSpec{Training: t.mode == Training, Epsilon: NormEpsilon, Momentum: BatchNormMomentum}
	var y Array
	var pullback Pullback
	var err error
	if spec.Training && t.sync != nil {
		y, pullback, err = n.synchronized(t, x.array, w.array, bias.array)
	} else if spec.Training && t.keeps {
		y, pullback, err = n.keepStatistics(t, x.array, w.array, bias.array, spec)
	} else {
		y, pullback, err = t.backend.BatchNorm(x.array, w.array, bias.array, n.RunningMean.Value, n.RunningVar.Value, spec)
	}
	if err != nil {
		return Var{}, fmt.Errorf("%s: %w", n.Weight.Name, err)
	}
	if spec.Training && !t.keeps && t.sync == nil {
		n.Batches.Count++
	}
	return t.Record(y, pullback, x, w, bias)
}

// GroupNorm is a group norm layer with scale and shift.
type GroupNorm struct {
	Weight, Bias *Param
	Groups       int
}

// GroupNorm returns a group norm for the given number of channels, which must be divisible
// by groups, with weight 1 and bias 0.
func (b *Builder) GroupNorm(name string, groups, channels int) *GroupNorm {
	return &GroupNorm{
		Weight: b.param(name+".weight", constant(1), channels),
		Bias:   b.param(name+".bias", constant(0), channels),
		Groups: groups,
	}
}

// Forward normalizes x.
func (n *GroupNorm) Forward(t *Tape, x Var) (Var, error) {
	w, bias := t.Param(n.Weight), t.Param(n.Bias)
	y, pullback, err := t.backend.GroupNorm(x.array, w.array, bias.array, n.Groups, NormEpsilon)
	if err != nil {
		return Var{}, fmt.Errorf("%s: %w", n.Weight.Name, err)
	}
	return t.Record(y, pullback, x, w, bias)
}

// InstanceNorm is an instance norm layer without parameters: it normalizes each channel of
// each sample separately.
type InstanceNorm struct{}

// Forward normalizes x.
func (InstanceNorm) Forward(t *Tape, x Var) (Var, error) {
	channels := 1 // for an invalid shape, which the backend rejects
	if s := x.Shape(); len(s) > 1 {
		channels = s[1]
	}
	y, pullback, err := t.backend.GroupNorm(x.array, nil, nil, channels, NormEpsilon)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x, Var{}, Var{})
}
