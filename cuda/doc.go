// Package cuda runs the losses of github.com/x/afl on NVIDIA GPUs.
//
// An [Engine] is a GPU as gorgonia.org/tensor sees it. Tensors in its memory are
// made with [Engine.Upload] or [Engine.NewTensor], and a loss that is given them
// runs there:
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
// A program needs NVIDIA's driver and nothing else: no toolkit is needed to build
// or to run it. The driver's library, libcuda.so.1, is opened when [Open] or
// [Devices] is called; the kernels come with this package as PTX, which the driver
// compiles for the device at hand. Devices from compute capability 7.5 (Turing)
// and drivers from 470 (CUDA 11.4) will do, on Linux, amd64 or arm64, in programs
// that are built with cgo. Elsewhere the package builds, and [Open] says what is
// missing.
//
// # Order and concurrency
//
// An engine has one stream. What is asked of it (kernels, copies, fills, events)
// is enqueued there and done in the order of the calls, so a tensor may be used
// by the next call, or released, while the work on it is still under way. A call
// that returns numbers to the host waits; [Engine.Synchronize] waits for all.
//
// An engine is safe for concurrent use. The calls of several goroutines are done
// in some order, each goroutine's own in the order that it made them; a tensor
// that one goroutine writes and another reads needs the goroutines to agree on
// who comes first, as Go memory does. While [Engine.Capture] runs, the
// engine belongs to the goroutine that captures: what another one enqueues
// meanwhile would become part of the graph.
//
// # Memory
//
// Go's garbage collector does not see device memory: a tensor keeps its memory
// until [Engine.Release] or [Engine.Close]. Released memory stays in the engine's
// pool, from which the next tensors of about that size come without asking the
// driver. The elements of a device tensor are not accessible from Go: its Data,
// At, Zero and arithmetic methods must not be used, and it must not be printed,
// which gorgonia.org/tensor does by reading it: the process would end.
// [Engine.Download] copies it, and [Engine.Memclr] and [Engine.Memset] fill it.
//
// # What is refused
//
// A label out of range is found by a kernel, after the call that enqueued it has
// returned. afl.Value, afl.Grad and afl.GradInto, which wait for the number, return
// the error of their own call, whoever else uses the engine. A loss's Eval does not
// wait: its value is NaN then, and [Engine.Synchronize] says what was refused first
// and nobody has been told; so it does for the evaluations of a [Graph].
package cuda
