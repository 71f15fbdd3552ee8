//go:build onednn

package onednn

// #include <stdlib.h>
// #cgo CFLAGS: -fopenmp
// #cgo LDFLAGS: -ldnnl -fopenmp -lm
// #include "kernels.h"
// #include "planes.h"
// #include "shim.h"
// #include "winograd.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// worker is the operating-system thread from which all C functions are called.
type worker struct {
	queue chan command
	isa   string // the kernels' vector instructions
}

// command is one item of queued work. done is nil if nobody waits for it.
type command struct {
	run  func()
	done chan<- struct{}
}

// queued is the capacity of the queue: the number of commands by which Go code may
// run ahead of the worker.
const queued = 4096

// start returns the process's only worker, and starts it on the first call.
var start = sync.OnceValues(func() (*worker, error) {
	w := &worker{queue: make(chan command, queued)}
	go func() {
		runtime.LockOSThread()
		for c := range w.queue {
			c.run()
			if c.done != nil {
				c.done <- struct{}{}
			}
		}
	}()
	var err error
	w.wait(func() {
		w.isa = C.GoString(C.kernels_open(C.int(runtime.GOMAXPROCS(0))))
		err = failure(C.runtime_open())
	})
	if err != nil {
		return nil, fmt.Errorf("onednn: %w", err)
	}
	return w, nil
})

// use selects the kernels' vector instructions, for tests, and reports whether the
// machine supports them. The names are AVX-512, AVX2 and plain.
func (w *worker) use(name string) (ok bool) {
	w.wait(func() {
		text := C.CString(name)
		defer C.free(unsafe.Pointer(text))
		ok = C.kernels_use(text) != 0
	})
	return ok
}

// threads sets the number of OpenMP threads, for tests, and returns the previous
// number.
func (w *worker) threads(n int) (was int) {
	w.wait(func() { was = int(C.kernels_threads(C.int(n))) })
	return was
}

// winogradAlways controls, for tests, which convolutions compiled from now on use
// minimal filtering. With a positive tile, all that have code for tiles of that
// many voxels do; with -1, none do; 0 restores the default.
func (w *worker) winogradAlways(tile int) {
	w.wait(func() { C.winograd_always(C.int(tile)) })
}

// planesAlways controls, for tests, which convolutions compiled from now on use
// planes.h. With 1, all that it supports do; with -1, none do; 0 restores the
// default.
func (w *worker) planesAlways(yes int) {
	w.wait(func() { C.planes_always(C.int(yes)) })
}

// wait runs f on the worker, after all work queued before it, and returns when f
// is done.
func (w *worker) wait(f func()) {
	done := make(chan struct{}, 1)
	w.queue <- command{f, done}
	<-done
}

// later queues f.
func (w *worker) later(f func()) { w.queue <- command{f, nil} }

// failure turns the result of a shim function into an error.
func failure(text *C.char) error {
	if text == nil {
		return nil
	}
	return errors.New(C.GoString(text))
}

// firstError holds the first error of queued work.
type firstError struct{ p atomic.Pointer[error] }

func (e *firstError) set(err error) { e.p.CompareAndSwap(nil, &err) }

func (e *firstError) get() error {
	if p := e.p.Load(); p != nil {
		return *p
	}
	return nil
}
