//go:build cgo && linux

package mpi

// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "library.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"
)

// serve makes calls on one thread, which is the main thread of MPI.
func serve(calls <-chan func()) {
	runtime.LockOSThread()
	for f := range calls {
		f()
	}
}

// cLibrary is the library behind its C functions.
type cLibrary struct{ table *C.AflMPI }

// openLibrary opens the first of the libraries that is there, and returns its name.
func openLibrary(names []string) (library, string, error) {
	// Libraries install signal handlers when they are opened and when they are initialized;
	// see init.
	signals := C.afl_signals_save()
	defer C.afl_signals_restore(signals)
	var tried []string
	for _, name := range names {
		table := (*C.AflMPI)(C.calloc(1, C.size_t(unsafe.Sizeof(C.AflMPI{}))))
		path := C.CString(name)
		var missing *C.char
		failed := C.afl_mpi_open(table, path, &missing)
		C.free(unsafe.Pointer(path))
		switch {
		case failed != nil:
			tried = append(tried, C.GoString(failed))
			C.free(unsafe.Pointer(failed))
			C.free(unsafe.Pointer(table))
		case missing != nil:
			return nil, "", fmt.Errorf("%s has no %s; MPI 3 or later is required", name, C.GoString(missing))
		default:
			return &cLibrary{table}, name, nil
		}
	}
	return nil, "", fmt.Errorf("no MPI library found; tried %s; install Open MPI (Debian: openmpi-bin) or MPICH (mpich), load the cluster's module for it, or name its file with -dist mpi:LIBRARY", strings.Join(tried, "; "))
}

func (l *cLibrary) init() (rank, size int, err error) {
	signals := C.afl_signals_save()
	defer C.afl_signals_restore(signals)
	var level, r, s C.int
	if code := C.afl_mpi_init(l.table, &level, &r, &s); code != 0 {
		return 0, 0, fmt.Errorf("initialization failed with code %d", code)
	}
	if level < l.table.funneled {
		return 0, 0, fmt.Errorf("the library supports the thread level %d only, want MPI_THREAD_FUNNELED (%d)", level, l.table.funneled)
	}
	return int(r), int(s), nil
}

func (l *cLibrary) finalize() error {
	if code := C.afl_mpi_finalize(l.table); code != 0 {
		return fmt.Errorf("MPI_Finalize failed with code %d", code)
	}
	return nil
}

func (l *cLibrary) abort(code int) { C.afl_mpi_abort(l.table, C.int(code)) }

func (l *cLibrary) forwarded() { forwarded(20*time.Second, os.Stdout, os.Stderr) }

func (l *cLibrary) exit(code int) { C.exit(C.int(code)) }

func (l *cLibrary) version() (family, text string) {
	buffer := (*C.char)(C.calloc(8192, 1))
	defer C.free(unsafe.Pointer(buffer))
	C.afl_mpi_version(l.table, buffer)
	return C.GoString(l.table.family), C.GoString(buffer)
}

func (l *cLibrary) operate(op operation, send, receive []byte, each int, timeout time.Duration) error {
	s, r := unsafe.Pointer(unsafe.SliceData(send)), unsafe.Pointer(unsafe.SliceData(receive))
	limit := C.int64_t(timeout)
	var code C.int
	switch op {
	case alltoall:
		code = C.afl_mpi_alltoall(l.table, s, r, C.int(each), limit)
	case allgather:
		code = C.afl_mpi_allgather(l.table, s, r, C.int(each), limit)
	default:
		code = C.afl_mpi_broadcast(l.table, s, C.int(each), limit)
	}
	switch code {
	case 0:
		return nil
	case C.AFL_MPI_OVERDUE:
		return &overdueError{timeout}
	case C.AFL_MPI_STOPPED:
		return errors.New("the job is being aborted")
	}
	return fmt.Errorf("failed with code %d", code)
}

func (l *cLibrary) set(f flag, value bool) {
	at := &l.table.hurry
	if f == stop {
		at = &l.table.stop
	}
	v := C.int(0)
	if value {
		v = 1
	}
	C.afl_mpi_set(at, v)
}

func (l *cLibrary) alloc(bytes int) []byte {
	b := unsafe.Slice((*byte)(C.malloc(C.size_t(max(bytes, 1)))), bytes)
	clear(b)
	return b
}

func (l *cLibrary) free(memory []byte) { C.free(unsafe.Pointer(unsafe.SliceData(memory))) }
