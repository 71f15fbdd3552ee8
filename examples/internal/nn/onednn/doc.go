// Package onednn is the training engine's fast backend for CPUs: convolutions
// by oneDNN, the library that PyTorch computes them with, and all else by
// kernels of its own, among them convolutions of many channels and of few.
//
// It is built with the tag onednn and needs the library's development package
// (libdnnl-dev on Debian, version 2.6 or 3), a C compiler and cgo:
//
//	go build -tags onednn ./...
//
// Without the tag New returns an error that says so, and nothing needs C.
//
// # Layout
//
// Volumes are stored channels last (batch, X, Y, Z, channel) from the input to
// the logits; FromHost and ToHost convert. oneDNN's convolutions are as fast on
// this layout as on its blocked ones, with which two channels take the memory of
// sixteen, and it needs no padding, which blocked layouts have for every number
// of channels but multiples of sixteen. Convolution kernels are kept in the
// layout that the forward convolution wants and are updated there.
//
// # Minimal filtering
//
// Convolutions of 3×3×3 or 5×5×5 taps with a stride of one, and channels in
// multiples of sixteen, are computed by Winograd's minimal filtering, which oneDNN
// has for images only: 3.4 products a voxel and pair of channels instead of 27, or
// 27 instead of 125. With the way there and back that takes a quarter to two thirds
// of the time (BenchmarkConvolution). It holds for the convolution and for its
// gradients, on processors with AVX2 or AVX-512, and where there are voxels and
// channels enough to pay; elsewhere oneDNN sums over the taps. The largest error
// is below 1e-5 of the largest value. A voxel that is infinite or not a number
// spreads over tiles of two or four voxels.
//
// # Few channels
//
// Convolutions of 3×3×3 or 5×5×5 taps with a stride of one that make at most eight
// channels, and the gradients of their kernels, are sums over taps too, but on
// planes of one channel each: channels-last, so few channels would fill little of a
// vector. They take a fifth to nine tenths of oneDNN's time
// (BenchmarkConvolution).
//
// # Fusion
//
// A norm, the activation after it and the sum of a residual are one pass over
// memory: the first two return arrays that hold a formula, and whatever needs
// the numbers computes them once. Their gradients fuse the same way. The norm's
// result is usually never stored.
//
// # Threads
//
// OpenMP keeps a pool of threads for each thread that calls it. So all work of
// all backends is queued for one operating-system thread, and operations return
// before they are done; FromHost and ToHost wait. Memory comes from a pool, which
// needs no more after the first step: since work is done in order, memory can be
// given back before the last work that uses it is done.
//
// OpenMP's threads spin while they wait for each other, so on a machine whose
// cores are busy with other work a step takes many times longer.
// OMP_WAIT_POLICY=passive in the environment, which libgomp reads when the
// program starts, keeps that small.
//
// Results have the same bits in every run on one machine with the same number of
// threads.
package onednn

// Config holds the settings of a backend. The zero value is the default.
type Config struct {
	// Profile measures the time that each operation takes, by kind and shape.
	Profile bool
}
