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
// Operations enqueue kernels on the engine's stream and return. Only FromHost of memory that is not
// pinned, ToHost, SumOfSquares and RunLoss synchronize with the host. Memory that is released is
// used again by work that is enqueued later, and so executed later. Inputs that are prefetched, see
// [nn.Prefetcher], are copied on a second stream while the engine's computes, and read by every
// step at the same address.
//
// # Fusion
//
// A norm, the activation behind it and the addition of a residual take one pass over memory.
// Norms, their activations and sums of volumes return arrays that hold a formula, and the first
// operation that needs the values computes and stores them; so the result of a norm is usually
// never stored. The gradient of an activation of a norm is a formula, too, which the sums and the
// gradient of the norm evaluate. A formula reads memory of the current step only, and copies of
// parameters and statistics: what an operation updates in place later does not change it.
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
