//go:build cgo && linux && (amd64 || arm64)

package cudnn

// #cgo linux LDFLAGS: -ldl
// #include <stdlib.h>
// #include "cudnn.h"
import "C"

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"
)

// library is an open cuDNN. It stays open as long as the process lives.
type library struct {
	table   *C.AflCudnn
	path    string
	version Version
}

var opened struct {
	sync.Mutex
	libraries map[string]*library
}

// open opens the library. Its errors say what was tried and what is missing.
func open() (*library, error) {
	opened.Lock()
	defer opened.Unlock()
	var tried []string
	for _, path := range candidates() {
		if l := opened.libraries[path]; l != nil {
			return l, nil
		}
		at, why := openFile(path)
		if at == nil {
			tried = append(tried, why)
			continue
		}
		l, err := newLibrary(at, path)
		if err != nil {
			return nil, err
		}
		if opened.libraries == nil {
			opened.libraries = map[string]*library{}
		}
		opened.libraries[path] = l
		return l, nil
	}
	return nil, fmt.Errorf("cudnn: %s %v or later is not found; tried %s; install it (pip install nvidia-cudnn-cu13 nvidia-cublas, or NVIDIA's package cudnn9), or name its file in %s",
		libraryName, oldest, strings.Join(tried, "; "), Variable)
}

// openFile opens a library, or returns the loader's message.
func openFile(path string) (at unsafe.Pointer, why string) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var message *C.char
	if at = C.afl_library_open(name, &message); at == nil {
		defer C.free(unsafe.Pointer(message))
		why = C.GoString(message)
	}
	return at, why
}

func newLibrary(at unsafe.Pointer, path string) (*library, error) {
	l := &library{table: (*C.AflCudnn)(C.calloc(1, C.size_t(unsafe.Sizeof(C.AflCudnn{})))), path: path}
	missing := C.afl_cudnn_look_up(l.table, at)
	if l.table.cudnnGetVersion != nil {
		l.version = Version(C.afl_cudnn_version(l.table))
	}
	switch {
	case l.table.cudnnGetVersion != nil && l.version < oldest:
		return nil, fmt.Errorf("cudnn: %s is cuDNN %v, and %v or later is needed", path, l.version, oldest)
	case missing != nil:
		return nil, fmt.Errorf("cudnn: %s has no function %s: it is not cuDNN %v or later", path, C.GoString(missing), oldest)
	}
	return l, l.findCuBLASLt(at)
}

// findCuBLASLt opens cuBLASLt, which cuDNN then finds too. cuDNN ends the process where it does
// not find it.
func (l *library) findCuBLASLt(at unsafe.Pointer) error {
	symbol := C.CString("cublasLtGetVersion")
	defer C.free(unsafe.Pointer(symbol))
	if C.afl_library_has(at, symbol) != 0 {
		return nil
	}
	for _, path := range cuBLASLt(l.path) {
		if at, _ := openFile(path); at != nil {
			return nil
		}
	}
	return fmt.Errorf("cudnn: %s needs cuBLASLt, and neither libcublasLt.so.13 nor libcublasLt.so.12 is found; install it (pip install nvidia-cublas)", l.path)
}

// check turns a status into an error; what is the function that returned it.
func (l *library) check(what string, status C.int) error {
	if status == 0 {
		return nil
	}
	var message [512]C.char
	C.afl_cudnn_message(l.table, &message[0], C.size_t(len(message)))
	return &StatusError{
		Function: what, Status: int(status), Name: C.GoString(C.afl_cudnn_status(l.table, status)),
		Message: C.GoString(&message[0]), Version: l.version,
	}
}
