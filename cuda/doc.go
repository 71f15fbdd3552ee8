// Package cuda runs the losses of github.com/x/afl on NVIDIA GPUs.
//
// An [Engine] is a GPU as gorgonia.org/tensor sees it. [Engine.Upload] and
// [Engine.NewTensor] create tensors in its memory, and a loss that is given such tensors
// runs on the GPU:
//
//	gpu, err := cuda.Open(0)
//	...
//	defer gpu.Close()
//	logits, err := gpu.Upload(hostLogits)
//	target, err := gpu.Upload(hostTarget)
//	...
//	value, grad, err := afl.Grad(afl.NewDiceCE(), logits, target)
//	...
//	err = gpu.Release(grad)
//
// # Requirements
//
// A program needs NVIDIA's driver and nothing else, neither to build nor to run. [Open]
// and [Devices] load the driver's library, libcuda.so.1. The kernels come with this
// package as PTX, which the driver compiles for the device at hand. Supported are devices
// of compute capability 7.5 (Turing) and later and drivers from 470 (CUDA 11.4) on, on
// Linux on amd64 or arm64, in programs built with cgo. On other systems the package
// builds, and [Open] says what is missing.
//
// # Order and concurrency
//
// An engine has one stream. All work (kernels, copies, fills, events) is enqueued on it
// and executed in the order of the calls, so a tensor may be used by the next call, or
// released, while work on it is still pending. Calls that return numbers to the host
// synchronize with the device; [Engine.Synchronize] waits for all work. Copies of a
// [CopyStream] run beside it and are ordered with it by events alone.
//
// An engine is safe for concurrent use. The calls of several goroutines are executed in
// some order that preserves the order of each goroutine's own calls. Goroutines that
// write and read the same tensor must synchronize, as with Go memory. During
// [Engine.Capture] the engine belongs to the capturing goroutine: whatever others enqueue
// becomes part of the graph.
//
// # Arithmetic
//
// Losses of float32, [Float16] and [BFloat16] logits are computed in float32, whatever the
// target and the options, and those of float64 logits in float64, which many GPUs execute
// at 1/64 of the rate. The cases beyond the common ones (target maps, voxel weights,
// un-reduced losses, label smoothing, terms of different activations) fall back to float64
// for a range of voxels whose results exceed the range of float32, or whose weights or
// factors are below 2⁻⁶⁰ or above 2⁶⁰. Sums over voxels are float64, as are the statistics
// of soft target maps. Logits and gradients of half precision are exact and rounded once.
//
// # Memory
//
// Go's garbage collector does not manage device memory: a tensor keeps its memory until
// [Engine.Release] or [Engine.Close]. Released memory stays in the engine's pool, which
// serves later tensors of similar size without calling the driver. Go code cannot access
// the elements of a device tensor: do not use its Data, At, Zero and arithmetic methods,
// and do not print it, for gorgonia.org/tensor would read the elements and crash the
// process. [Engine.Download] copies a tensor to Go memory, and [Engine.Memclr] and
// [Engine.Memset] fill one.
//
// # Other CUDA libraries
//
// [Engine.Wrap] makes a tensor over memory that another library of the process allocated,
// [OpenStream] an engine on its stream and context, and [Engine.Stream] returns those of an
// engine. Whatever was made elsewhere remains its owner's, who frees it after the engine's work
// on it is done.
//
// # Errors
//
// The text of an error starts with "cuda: ". Calls that refuse an argument return an
// ArgumentError of package afl, to be found with errors.As; see [DriverError],
// [LostError], [OutOfMemoryError] and [ErrClosed] for the others.
//
// An invalid label is found by a kernel, after the call that enqueued it has returned.
// afl.Value, afl.Grad and afl.GradInto, which synchronize, report the first rejected
// element of their own call, even if others use the engine at the same time. The Eval
// method of a loss does not synchronize: its value is NaN then, and [Engine.Synchronize]
// reports the first rejected element not yet reported. The same holds for evaluations in
// a [Graph].
package cuda
