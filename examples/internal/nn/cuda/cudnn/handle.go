//go:build cgo && linux && (amd64 || arm64)

package cudnn

// #include "cudnn.h"
import "C"

import (
	"errors"
	"sync"
	"unsafe"

	"github.com/x/afl/internal/cuda/kernel"
)

// Handle is cuDNN on the stream of an engine. It is closed with the engine.
type Handle struct {
	library *library
	runner  kernel.Runner

	mu          sync.Mutex
	handle      unsafe.Pointer
	descriptors []unsafe.Pointer // of all plans, in the order in which they were made
}

// New opens the library, which is searched as docs/gpu.md describes, for an engine.
func New(runner kernel.Runner) (*Handle, error) {
	l, err := open()
	if err != nil {
		return nil, err
	}
	h := &Handle{library: l, runner: runner}
	err = runner.Within(func(stream uintptr) error {
		r := C.afl_cudnn_create(l.table)
		if err := l.check("cudnnCreate", r.status); err != nil {
			return err
		}
		h.handle = r.pointer
		if err := l.check("cudnnSetStream", C.afl_cudnn_set_stream(l.table, h.handle, C.uintptr_t(stream))); err != nil {
			return errors.Join(err, h.close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := runner.Own("cuDNN handle", h.close); err != nil {
		return nil, errors.Join(err, runner.Within(func(uintptr) error { return h.close() }))
	}
	return h, nil
}

// Version returns the library's version.
func (h *Handle) Version() Version { return h.library.version }

// Path returns the library's path, or its name if the loader found it.
func (h *Handle) Path() string { return h.library.path }

// close destroys all descriptors, the last one first, and the handle.
func (h *Handle) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.destroy(h.descriptors)
	h.descriptors = nil
	if h.handle != nil {
		err = errors.Join(err, h.library.check("cudnnDestroy", C.afl_cudnn_destroy(h.library.table, h.handle)))
		h.handle = nil
	}
	return err
}

// destroy destroys descriptors, the last one first.
func (h *Handle) destroy(descriptors []unsafe.Pointer) error {
	var errs []error
	for i := len(descriptors) - 1; i >= 0; i-- {
		errs = append(errs, h.library.check("cudnnBackendDestroyDescriptor", C.afl_cudnn_destroy_descriptor(h.library.table, descriptors[i])))
	}
	return errors.Join(errs...)
}
