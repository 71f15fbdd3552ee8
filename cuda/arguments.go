//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"embed"
	"unsafe"

	"github.com/x/afl/cuda/kernels"
)

// The go command notices changed headers only in the package's own folder and among
// embedded files.
//
//go:embed kernels/arguments.h kernels/threads.h
var _ embed.FS

// arguments is the one parameter of every kernel.
type arguments = C.AflArguments

// newArguments returns arguments in which only the engine's own memory is set.
func (e *Engine) newArguments() *arguments {
	return &arguments{
		counter:  (*C.uint32_t)(devicePointer(e.counter)),
		status:   (*C.AflStatus)(devicePointer(e.status)),
		reported: (*C.AflStatus)(devicePointer(e.reported)),
	}
}

// devicePointer converts a device address to the pointer type of the arguments. It must
// not be dereferenced.
func devicePointer(address uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}

// launch enqueues a kernel. The arguments are copied; the memory they point to is
// accessed when the kernel runs.
func (e *Engine) launch(kernel string, blocks int, a *C.AflArguments) error {
	return e.run(kernels.Modules(), kernel, blocks, unsafe.Pointer(a))
}

// status has the layout of AflStatus, and the constants equal C's: an index other than 0
// does not compile.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(status{})-unsafe.Sizeof(C.AflStatus{})]
	_ = [1]struct{}{}[unsafe.Offsetof(status{}.voxels)-unsafe.Offsetof(C.AflStatus{}.voxels)]
	_ = [1]struct{}{}[unsafe.Offsetof(status{}.got)-unsafe.Offsetof(C.AflStatus{}.got)]
	_ = [1]struct{}{}[unsafe.Offsetof(status{}.bits)-unsafe.Offsetof(C.AflStatus{}.bits)]
	_ = [1]struct{}{}[goodStatus-C.AFL_GOOD]
	_ = [1]struct{}{}[badClass-C.AFL_BAD_CLASS]
	_ = [1]struct{}{}[badMap-C.AFL_BAD_MAP]
	_ = [1]struct{}{}[badWeight-C.AFL_BAD_WEIGHT]
	_ = [1]struct{}{}[typeFloat32-C.AFL_FLOAT32]
	_ = [1]struct{}{}[typeUint8-C.AFL_UINT8]
	_ = [1]struct{}{}[typeInt64-C.AFL_INT64]
)
