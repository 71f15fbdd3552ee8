// Package kernel holds CUDA kernels as PTX modules, and is what packages of this module that
// bring kernels of their own need of an engine of package cuda to run them.
package kernel

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
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
	by      map[string]*Module
}

var entry = regexp.MustCompile(`\.entry (\w+)\(`)

// NewSet returns the modules that are the files of a folder. It panics if the folder, which
// is embedded, cannot be read.
func NewSet(folder fs.ReadDirFS) *Set {
	names, err := folder.ReadDir(".")
	if err != nil {
		panic(err)
	}
	s := &Set{by: map[string]*Module{}}
	for _, f := range names {
		ptx, err := fs.ReadFile(folder, f.Name())
		if err != nil {
			panic(err)
		}
		m := &Module{Name: strings.TrimSuffix(f.Name(), path.Ext(f.Name())), PTX: ptx}
		for _, found := range entry.FindAllSubmatch(ptx, -1) {
			m.Kernels = append(m.Kernels, string(found[1]))
			s.by[string(found[1])] = m
		}
		s.modules = append(s.modules, m)
	}
	return s
}

// Modules returns all modules, sorted by name.
func (s *Set) Modules() []*Module { return s.modules }

// ModuleOf returns the module that contains a kernel.
func (s *Set) ModuleOf(kernel string) (*Module, error) {
	if m := s.by[kernel]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("there is no kernel %q", kernel)
}

// Runner enqueues work on the stream of an engine of package cuda. Addresses are those of
// memory of its pool.
type Runner interface {
	// Alloc returns uninitialized device memory.
	Alloc(bytes int64) (uintptr, error)
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
