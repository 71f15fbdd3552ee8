// Package nn is a small training engine for 3-D networks: a tape for automatic
// differentiation, layers with parameters, and optimizers. The arithmetic is done by a
// Backend; package nn/portable implements one in Go without other dependencies.
//
// # Arrays and backends
//
// An [Array] is opaque: a backend uses its preferred layout from layer to layer and converts
// only in FromHost and ToHost, where volumes enter and predictions leave, and in [RunLoss],
// which runs a loss where the logits are. A [Backend] is a set of operations. Each returns its
// result together with a [Pullback], a function from the gradient of the result to the
// gradients of the inputs, which holds whatever it needs from the forward pass. Such pairs are
// all that a new backend has to provide, and a new operation is nothing more than such a pair.
//
// # The tape
//
// A [Tape] records one forward pass. Its method Backward calls the pullbacks in reverse
// order and sums the gradients of values that were used more than once. It is independent of
// the operations. Gradients that are not needed, such as that of the image, are not
// computed.
//
// A training step is
//
//	tape := nn.NewTape(backend, nn.Training, seed)
//	logits, err := net.Forward(tape, tape.Input(x))   // x from backend.FromHost
//	gy, err := nn.RunLoss(backend, logits.Array(), …) // gradient of the loss
//	err = tape.Backward(logits, gy)                   // fills Param.Grad
//	err = optimizer.Step(backend, net.Parameters())   // changes Param.Value
//	backend.EndStep()                                 // recycles the memory
//
// # Memory
//
// Memory allocated by a step belongs to that step; EndStep returns it to a pool, so that the
// next step of the same size allocates almost nothing. During Backward the tape already
// releases values and gradients as soon as the remaining pullbacks do not need them. Arrays
// that must live longer (parameters, running statistics, an optimizer's state) have the lifetime [Kept].
// Using an array after its step is an error.
//
// # Networks
//
// A [Builder] creates layers and names them as in PyTorch's state_dict; a [Network] is
// assembled from them. Values are not drawn until [Initialize], so that a network whose
// state is loaded needs no random numbers. [StateDict] and [LoadStateDict] copy the complete
// state of a network to and from the host. Together with the state of the [Optimizer], this
// is everything needed to resume a run with bit-identical results.
package nn
