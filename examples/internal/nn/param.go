package nn

// Param is a value the optimizer changes.
type Param struct {
	// Name is the parameter's name in a PyTorch state_dict.
	Name string
	// Value is the parameter itself, a Kept array.
	Value Array
	// Grad is the gradient that the last Tape.Backward found, nil before. It
	// belongs to the step: SGD.Step consumes it, EndStep makes it unusable.
	Grad Array
}

// CountParameters returns the number of trainable values of a network: the sum of
// its parameters' sizes, without buffers.
func CountParameters(net Network) int {
	total := 0
	for _, p := range net.Parameters() {
		total += Elements(p.Value.Shape())
	}
	return total
}

// Buffer is a value that belongs to a network's state without being trained:
// running statistics and counters.
type Buffer struct {
	// Name is the buffer's name in a PyTorch state_dict.
	Name string
	// Value holds running statistics, a Kept array; nil for a counter.
	Value Array
	// Count is the value of a counter such as num_batches_tracked; it is
	// meaningful where Value is nil.
	Count int64
}

// Network is a segmentation network: N×Cin×X×Y×Z in, logits N×Cout×X×Y×Z out.
type Network interface {
	// Forward records the network on the tape. The tape's mode decides between
	// training and inference. x must pass CheckSize.
	Forward(t *Tape, x Var) (Var, error)
	// Parameters returns the parameters in state_dict order.
	Parameters() []*Param
	// Buffers returns the buffers in state_dict order.
	Buffers() []*Buffer
	// CheckSize returns a *SizeError if the network cannot take volumes of this
	// spatial size.
	CheckSize(spatial [3]int) error
}
