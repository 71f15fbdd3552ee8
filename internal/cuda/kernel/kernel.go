// Package kernel holds CUDA kernels as PTX modules, and is what packages of this module that
// bring kernels of their own need of an engine of package cuda to run them.
package kernel

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// Module is a set of kernels that are loaded together.
type Module struct {
	Name    string
	PTX     []byte   // assembly text
	Kernels []string // names of its kernels
}

// Set holds the modules of a package. The names of all kernels of a process differ.
type Set struct {
	modules []*Module // by name
	by      map[string]entry
}

// entry is a kernel.
type entry struct {
	module *Module
	bytes  int // of its arguments
}

// Every kernel has one parameter, a struct.
var entries = regexp.MustCompile(`\.entry (\w+)\(\s*\.param [^\[\n]*\[(\d+)\]\s*\)`)

// NewSet returns the modules that are the files of a folder. It panics if the folder, which
// is embedded, cannot be read.
func NewSet(folder fs.ReadDirFS) *Set {
	names, err := folder.ReadDir(".")
	if err != nil {
		panic(err)
	}
	s := &Set{by: map[string]entry{}}
	for _, f := range names {
		ptx, err := fs.ReadFile(folder, f.Name())
		if err != nil {
			panic(err)
		}
		m := &Module{Name: strings.TrimSuffix(f.Name(), path.Ext(f.Name())), PTX: ptx}
		for _, found := range entries.FindAllSubmatch(ptx, -1) {
			name := string(found[1])
			bytes, err := strconv.Atoi(string(found[2]))
			if err != nil {
				panic(err)
			}
			m.Kernels = append(m.Kernels, name)
			s.by[name] = entry{m, bytes}
		}
		s.modules = append(s.modules, m)
	}
	return s
}

// Modules returns all modules, sorted by name.
func (s *Set) Modules() []*Module { return s.modules }

// ModuleOf returns the module that contains a kernel.
func (s *Set) ModuleOf(kernel string) (*Module, error) {
	if e, found := s.by[kernel]; found {
		return e.module, nil
	}
	return nil, fmt.Errorf("there is no kernel %q", kernel)
}

// ArgumentBytes returns the size of a kernel's arguments, 0 for a kernel that is not in the set.
func (s *Set) ArgumentBytes(kernel string) int { return s.by[kernel].bytes }

// Runner enqueues work on the stream of an engine of package cuda. Addresses are those of
// memory of its pool.
type Runner interface {
	// Alloc returns uninitialized device memory.
	Alloc(bytes int64) (uintptr, error)
	// Keep is Alloc for memory that outlives the Step that allocates it.
	Keep(bytes int64) (uintptr, error)
	// Free returns memory to the pool. Work enqueued before may still use it.
	Free(address uintptr) error
	// Launch enqueues a kernel of a set on its arguments, which are copied.
	Launch(s *Set, kernel string, blocks int, arguments unsafe.Pointer) error
	// Load has the driver compile every module of a set that is not loaded yet, and calls progress
	// after each unless it is nil.
	Load(s *Set, progress func(module string, took time.Duration)) error
	// Write copies bytes of the host to device memory. It synchronizes.
	Write(to uintptr, from []byte) error
	// Read copies device memory to bytes of the host. It synchronizes.
	Read(to []byte, from uintptr) error
	// Copy enqueues a copy within device memory.
	Copy(to, from uintptr, bytes int64) error
	// Zero enqueues zeroing device memory.
	Zero(to uintptr, bytes int64) error

	// Step runs a function whose work is enqueued together, once it returns or waits for some of
	// it. Work that equals that of an earlier step is launched as a graph. In a step, Alloc gives
	// the same memory to equal steps.
	Step(work func() error) error
	// InStep reports whether a Step is in progress.
	InStep() bool
	// Input copies bytes of the host to device memory that work of the current Step reads,
	// without synchronization. It is valid until NextInputs or the step's end.
	Input(from []byte) (uintptr, error)
	// NextInputs ends the use of all Inputs of the current Step.
	NextInputs() error
	// Later returns a function that waits for bytes of device memory as they are after the work
	// enqueued so far. Outside of a Step, Later itself waits.
	Later(from uintptr, bytes int64) (func() ([]byte, error), error)
	// LaterNumber is Later for a float64, which may be the value of a loss: the function then
	// also returns why elements of the loss's arguments were rejected.
	LaterNumber(from uintptr) (func() (float64, error), error)
	// DescribeSteps says how the work of all Steps was enqueued, "" if there was none.
	DescribeSteps() string

	// Call makes a call of another library in the way of Within. The call enqueues work that the
	// key determines, and in a Step it may be made later, or not, if a graph does that work.
	Call(key []uint64, call func() error) error
	// Within calls a function on a thread on which the engine's context is current, for
	// libraries that enqueue work of their own on the engine's stream, a CUstream. The function
	// must not use the engine.
	Within(call func(stream uintptr) error) error
	// Own has the engine call a function in the same way when it is closed, before its context
	// and stream are given up.
	Own(kind string, free func() error) error
}

// Provider is implemented by the engines of package cuda.
type Provider interface {
	Runner() Runner
}
