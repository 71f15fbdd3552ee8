package nn

// Param is a trainable parameter.
type Param struct {
	// Name is the name of the parameter in a PyTorch state_dict.
	Name string
	// Value is the parameter itself, a Kept array.
	Value Array
	// Grad is the gradient computed by the last Tape.Backward, or nil. It belongs to the
	// step: Optimizer.Step consumes it, and EndStep makes it unusable.
	Grad Array
}

// CountParameters returns the number of trainable values of a network: the total size of its
// parameters, without buffers.
func CountParameters(net Network) int {
	total := 0
	for _, p := range net.Parameters() {
		total += Elements(p.Value.Shape())
	}
	return total
}

// Buffer is a value that is part of a network's state but not trained: running statistics
// and counters.
type Buffer struct {
	// Name is the name of the buffer in a PyTorch state_dict.
	Name string
	// Value holds running statistics, a Kept array; nil for a counter.
	Value Array
	// Count is the value of a counter such as num_batches_tracked. It is only meaningful
	// if Value is nil.
	Count int64
}

// Network is a segmentation network, which maps N×Cin×X×Y×Z to logits N×Cout×X×Y×Z.
type Network interface {
	// Forward applies the network to x and records it on the tape, whose mode selects
	// training or inference. The size of x must pass CheckSize.
	Forward(t *Tape, x Var) (Var, error)
	// Parameters returns the parameters in state_dict order.
	Parameters() []*Param
	// Buffers returns the buffers in state_dict order.
	Buffers() []*Buffer
	// CheckSize returns a *SizeError if the network does not accept volumes of the given
	// spatial size.
	CheckSize(spatial [3]int) error
}

// DeeplySupervised is a network with heads that compute logits at lower resolutions too. Only
// training uses them: the Forward and the buffers are those of the network without heads,
// while Parameters has the parameters of the heads behind those of the network.
type DeeplySupervised interface {
	Network
	// ForwardAll is Forward on a training tape that returns the logits of the network and of
	// the heads, from the finest to the coarsest.
	ForwardAll(t *Tape, x Var) ([]Var, error)
	// WithoutHeads returns the network that predicts. Both share parameters and buffers.
	WithoutHeads() Network
}

// WithoutHeads returns the network that predicts: net itself, or that of a DeeplySupervised.
func WithoutHeads(net Network) Network {
	if d, ok := net.(DeeplySupervised); ok {
		return d.WithoutHeads()
	}
	return net
}

// Outputs returns the logits on which the tape's mode evaluates the loss: those of Forward, on
// a training tape of a DeeplySupervised network followed by those of its heads.
func Outputs(net Network, t *Tape, x Var) ([]Var, error) {
	if d, ok := net.(DeeplySupervised); ok && t.mode == Training {
		return d.ForwardAll(t, x)
	}
	y, err := net.Forward(t, x)
	return []Var{y}, err
}
