// Package kernels holds the CUDA kernels as PTX, which a driver compiles for the
// GPU it finds: compute capability 7.5 (Turing) and later, PTX ISA 7.0 (CUDA 11).
//
// The sources beside it are CUDA C++ in a small freestanding subset whose words
// are defined in device.h. generate.sh makes the PTX with clang alone; tests run
// the same sources on the CPU through emulator.h. arguments.h is the one parameter
// of every kernel and the contract with the host. There are six modules, so that a
// driver compiles no more than a program uses:
//
//   - labels: afl_constants, numbers that do not fit into the argument;
//     afl_classes, labels of any type to class bytes; afl_stats_classes and
//     afl_stats_general, statistics of the label, and what the passes multiply by
//   - float32, float16, bfloat16: afl_reduce_* and afl_gradient_*, the two passes
//     over logits of that type and label, in float32, by activation (sigmoid,
//     softmax2, softmax3, softmax4, softmax) and type (f32, f16, bf16)
//   - general: afl_reduce_general and afl_gradient_general, the passes in float64
//     for everything else
//   - combine: afl_combine, multiples and sums of gradients and of loss values
//
// The kernels over voxels are launched with samples × chunks blocks of 256 threads.
// Sums are made in an order that follows from the shape alone, without
// floating-point atomics, and the last block finishes what a pass is for.
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

// Module is a part of the kernels that is loaded as one.
type Module struct {
	Name    string
	PTX     []byte   // the assembly text
	Kernels []string // that are in it
}

var entry = regexp.MustCompile(`\.entry (\w+)\(`)

// Modules returns all modules, in order of their names.
var Modules = sync.OnceValue(func() []*Module {
	names, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the program holds them
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

// ModuleOf returns the module that holds a kernel.
func ModuleOf(kernel string) (*Module, error) {
	if m := modules()[kernel]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("there is no kernel %q", kernel)
}

// modules are the modules by the kernels that they hold.
var modules = sync.OnceValue(func() map[string]*Module {
	by := map[string]*Module{}
	for _, m := range Modules() {
		for _, kernel := range m.Kernels {
			by[kernel] = m
		}
	}
	return by
})
