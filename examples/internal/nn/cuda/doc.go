// Package cuda is a backend of the training engine on NVIDIA GPUs. It needs nothing but the
// driver, see package github.com/x/afl/cuda, on whose engine it runs: parameters, activations
// and gradients stay in the device's memory, and so do the losses.
//
// # Layout
//
// Arrays are float32. Activations are in channels-last order, N×X×Y×Z×C; everything else,
// including what FromHost copies, is in row-major order. An array is converted in place when
// an operation first needs the other order.
//
// # Order of work
//
// Operations enqueue kernels on the engine's stream and return. Only FromHost, ToHost,
// SumOfSquares and RunLoss synchronize with the host. Memory that is released is used again
// by work that is enqueued later, and so executed later.
//
// In a step (nn.RunStep) operations are enqueued together at the step's end, and as a graph if
// an earlier step consisted of the same ones; FromHost does not synchronize then, and EvalLoss
// and ClipLater take the place of what does. ToHost enqueues the operations so far.
//
// # Convolutions
//
// Convolutions are computed by this package's kernels, or by cuDNN, see [SetConvolutions].
//
// # Equal bits
//
// Sums are made in an order that follows from the shapes alone, without atomics, so that a
// step gives the same bits in every run on a device. The bits differ from those of other
// backends, within rounding.
package cuda
