// Package onednn is the training engine's fast backend for CPUs. It uses
// oneDNN, the library behind PyTorch's CPU convolutions, together with its own C
// kernels for all other operations and for convolutions with many or very few
// channels.
//
// The build tag onednn selects it. Building needs the library's development
// package (libdnnl-dev on Debian, version 2.6 or 3), a C compiler and cgo:
//
//	go build -tags onednn ./...
//
// Without the tag, New returns an error that says so, and no C code is compiled.
//
// # Layout
//
// Volumes are stored channels last (batch, X, Y, Z, channel) from the input to
// the logits; FromHost, ToHost and RunLoss convert. oneDNN's convolutions are as fast with
// this layout as with its blocked layouts. Blocked layouts pad the number of
// channels to a multiple of 16, so that 2 channels take the memory of 16;
// channels last needs no padding. Convolution kernels are stored and updated in
// the layout that oneDNN prefers for the forward convolution.
//
// # Minimal filtering
//
// Convolutions with 3×3×3 or 5×5×5 taps, stride 1 and channel counts that are
// multiples of 16 use Winograd's minimal filtering, which oneDNN implements for
// 2D images only. It needs 3.4 products per voxel and pair of channels instead of
// 27 (3×3×3), or 13 instead of 125 (5×5×5; 27 in the gradient of the kernel).
// Including the transforms, it takes between a quarter and two thirds of oneDNN's
// time (BenchmarkConvolution). It applies to the convolution and to its gradients,
// on processors with AVX2 or AVX-512, and only where the volume and the channels
// are large enough for it to be faster; otherwise oneDNN computes the convolution
// directly. The largest error is below 1e-5 of the largest value with 3×3×3 taps and
// about 1e-5 with 5×5×5. A voxel that is infinite or NaN affects the whole tile of
// two to four voxels per axis that contains it.
//
// # Few channels
//
// Convolutions with 3×3×3 or 5×5×5 taps, stride 1 and at most eight output
// channels, and the gradients of their weights, are computed directly, but on
// planes of one channel each: with channels last, so few channels would leave most
// of a vector unused. They take between a fifth and nine tenths of oneDNN's time
// (BenchmarkConvolution).
//
// # Fusion
//
// A norm, the activation after it and the addition of a residual take one pass
// over memory. The norm and the activation return arrays that hold a formula; the
// first operation that needs the values computes and stores them. Their gradients
// are fused the same way. The result of the norm itself is usually never stored.
//
// # Threads
//
// OpenMP maintains a pool of threads for each thread that calls it. All work of
// all backends is therefore queued for one operating-system thread. Operations
// return before their work is done; only FromHost, ToHost and RunLoss synchronize
// with the host. Memory comes from a pool, which does not grow after the first step. Because
// work is done in the order in which it is queued, memory can be returned to the
// pool before the last work that uses it is done.
//
// OpenMP's threads spin while they wait for each other, so a step takes many times
// longer on a machine whose cores are busy with other work. Setting
// OMP_WAIT_POLICY=passive in the environment, which libgomp reads when the
// program starts, avoids most of that cost.
//
// On one machine, with the same number of threads, results are bit-identical in
// every run.
package onednn

// Config holds the settings of a backend. The zero value is the default.
type Config struct {
	// Profile enables timing of every operation, by kind and shape.
	Profile bool
}
