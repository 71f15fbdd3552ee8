// Package kernels holds the CUDA kernels as PTX, which the driver compiles for its GPU:
// compute capability 7.5 (Turing) and later, for the module bfloat16 8.0 (Ampere) and
// later, PTX ISA 7.0 (CUDA 11).
//
// The sources next to it are written in a small freestanding subset of CUDA C++, whose
// primitives are defined in device.h. generate.sh compiles them to PTX with clang alone;
// tests run the same sources on the CPU by means of emulator.h. arguments.h declares the
// single parameter of all kernels, the contract with the host. There are several modules,
// so that the driver compiles no more than a program uses:
//
//   - labels: afl_constants, for numbers that do not fit into the parameter; afl_classes,
//     which converts labels of any type to bytes; afl_stats_classes and
//     afl_stats_general, statistics of the label and the factors of the passes
//   - float32, float16, bfloat16: afl_reduce_* and afl_gradient_*, the two passes over
//     logits of a type and byte labels, in float32, by activation (sigmoid, softmax2,
//     softmax3, softmax4, softmax) and type (f32, f16, bf16)
//   - general_float32, general_float16, general_bfloat16, general_float64:
//     afl_reduce_general_* and afl_gradient_general_*, the two passes for everything else,
//     in float32, for float64 logits in float64
//   - combine: afl_combine, multiples and sums of gradients and of loss values
//
// Kernels over voxels are launched with samples × chunks blocks of 256 threads. The order
// of summation depends on the shape alone, without floating-point atomics, and the last
// block completes a pass.
package kernels

import (
	"embed"
	"sync"

	"github.com/x/afl/internal/cuda/kernel"
)

//go:generate ./generate.sh

//go:embed *.ptx
var files embed.FS

// Modules holds all modules.
var Modules = sync.OnceValue(func() *kernel.Set { return kernel.NewSet(files) })
