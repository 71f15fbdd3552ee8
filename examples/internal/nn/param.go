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
