// Package nn is a small training engine for 3-D networks: a tape that
// differentiates, layers with parameters, and an optimizer. The arithmetic is a
// Backend's; package nn/portable is one that needs nothing but Go.
//
// # Arrays and backends
//
// An [Array] is opaque: a backend keeps the layout that suits it from layer to
// layer and converts only in FromHost and ToHost, where volumes come in and
// logits leave. A [Backend] is a list of operations. Each returns its result
// together with a [Pullback], a function from the gradient of the result to the
// gradients of the inputs, which holds on to whatever it needs of the forward
// pass. That pair is all a new backend has to provide, and all a new operation
// is.
//
// # The tape
//
// A [Tape] records one forward pass and, in Backward, replays the pullbacks in
// reverse order and adds up gradients where a value was used more than once. It
// knows nothing of any operation. Gradients nobody asked for, such as that of
// the image, are not computed.
//
// A step of training is
//
//	tape := nn.NewTape(backend, nn.Training, seed)
//	logits, err := net.Forward(tape, tape.Input(x))   // x from backend.FromHost
//	                                                  // loss and its gradient gy of logits
//	err = tape.Backward(logits, gy)                   // fills Param.Grad
//	err = sgd.Step(backend, net.Parameters())         // changes Param.Value
//	backend.EndStep()                                 // recycles the memory
//
// # Memory
//
// What a step allocates belongs to the step; EndStep returns it to a pool, so
// that the next step of the same size allocates next to nothing. The tape already
// releases values and gradients while it replays, as soon as nothing that is left
// to do needs them. What has to
// live longer (parameters, running statistics, momentum) is made with the
// lifetime [Kept]. An array that is used after its step is refused, not read.
//
// # Networks
//
// A [Builder] makes layers, draws their initial values from a seed and names
// them as PyTorch's state_dict does; a [Network] is what it is assembled to.
// [StateDict] and [LoadStateDict] move all of a network's state to and from the
// host. With the velocities of [SGD] that is everything a run needs to go on
// where it stopped, bit for bit.
package nn
