// Package kernels holds the CUDA kernels as PTX, which the driver compiles for its GPU:
// compute capability 7.5 (Turing) and later, PTX ISA 7.0 (CUDA 11).
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
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"
)

//go:generate ./generate.sh

//go:embed *.ptx
var files embed.FS

// Module is a set of kernels that are loaded together.
type Module struct {
	Name    string
	PTX     []byte   // assembly text
	Kernels []string // names of its kernels
}

var entry = regexp.MustCompile(`\.entry (\w+)\(`)

// Modules returns all modules, sorted by name.
var Modules = sync.OnceValue(func() []*Module {
	names, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the folder is embedded
	}
	var all []*Module
	for _, f := range names {
		ptx, err := files.ReadFile(f.Name())
		if err != nil {
			panic(err)
		}
		m := &Module{Name: strings.TrimSuffix(f.Name(), path.Ext(f.Name())), PTX: ptx}
		for _, found := range entry.FindAllSubmatch(ptx, -1) {
			m.Kernels = append(m.Kernels, string(found[1]))
		}
		all = append(all, m)
	}
	return all
})

// ModuleOf returns the module that contains a kernel.
func ModuleOf(kernel string) (*Module, error) {
	if m := modules()[kernel]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("there is no kernel %q", kernel)
}

// modules maps kernels to their modules.
var modules = sync.OnceValue(func() map[string]*Module {
	by := map[string]*Module{}
	for _, m := range Modules() {
		for _, kernel := range m.Kernels {
			by[kernel] = m
		}
	}
	return by
})
