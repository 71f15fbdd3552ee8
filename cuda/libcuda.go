//go:build cgo && linux && (amd64 || arm64)

package cuda

// #cgo linux LDFLAGS: -ldl
// #include <stdlib.h>
// #include "driver.h"
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"github.com/x/afl/internal/cuda/library"
)

// oldestDriver is the first CUDA version whose driver has all functions used here, and
// oldestDriverName the version of NVIDIA's driver packages of that time.
const (
	oldestDriver     = 11040
	oldestDriverName = "470"
)

// libcuda is an open driver library.
type libcuda struct {
	table   *C.AflDriver
	release int
}

// opened holds the open libraries by name. They stay open as long as the process lives,
// since the driver keeps threads of its own.
var opened struct {
	sync.Mutex
	libraries map[string]*libcuda
}

// openDriver opens the driver library.
func openDriver() (driver, error) {
	opened.Lock()
	defer opened.Unlock()
	var tried []string
	for _, name := range library.Names() {
		if l := opened.libraries[name]; l != nil {
			return l, nil
		}
		l, err := openLibrary(name)
		var missing *loadError
		switch {
		case errors.As(err, &missing):
			tried = append(tried, missing.Error())
			continue
		case err != nil:
			return nil, err
		}
		if opened.libraries == nil {
			opened.libraries = map[string]*libcuda{}
		}
		opened.libraries[name] = l
		return l, nil
	}
	return nil, fmt.Errorf("cuda: no driver library found; tried %s; install NVIDIA's driver %s or later (it brings libcuda.so.1; in a container, run it with the NVIDIA container runtime)",
		strings.Join(tried, "; "), oldestDriverName)
}

// loadError says why a library cannot be loaded.
type loadError struct{ why string }

func (e *loadError) Error() string { return e.why }

// openLibrary opens one library and initializes the driver.
func openLibrary(name string) (*libcuda, error) {
	path := C.CString(name)
	defer C.free(unsafe.Pointer(path))
	table := (*C.AflDriver)(C.calloc(1, C.size_t(unsafe.Sizeof(C.AflDriver{}))))
	var missing *C.char
	if why := C.afl_driver_open(table, path, &missing); why != nil {
		defer C.free(unsafe.Pointer(why))
		C.free(unsafe.Pointer(table))
		return nil, &loadError{C.GoString(why)}
	}
	l := &libcuda{table: table}
	var version C.int
	code := C.afl_version(table, &version)
	l.release = int(version)
	if missing != nil || l.release < oldestDriver && code == 0 {
		C.free(unsafe.Pointer(table))
		lack := ""
		if missing != nil {
			lack = fmt.Sprintf("has no function %s; it ", C.GoString(missing))
		}
		return nil, fmt.Errorf("cuda: the driver is too old: %s %sis for CUDA %s, and CUDA %s is needed (NVIDIA's driver %s or later)",
			name, lack, versionName(l.release), versionName(oldestDriver), oldestDriverName)
	}
	if code == 0 {
		code = C.afl_init(table)
	}
	if err := l.check("cuInit", code); err != nil {
		C.free(unsafe.Pointer(table))
		if code == C.CUDA_ERROR_NO_DEVICE {
			return nil, errNoDevice
		}
		return nil, fmt.Errorf("cuda: the driver %s (for CUDA %s) does not start: %w", name, versionName(l.release), err)
	}
	return l, nil
}

// check turns a result code into an error; what is the function that returned it.
func (l *libcuda) check(what string, code C.CUresult) error {
	if code == 0 {
		return nil
	}
	e := &DriverError{Function: what, Code: int(code), Name: "unknown error", Text: "unknown to this driver"}
	if name := C.afl_error_name(l.table, code); name != nil {
		e.Name = C.GoString(name)
	}
	if text := C.afl_error_text(l.table, code); text != nil {
		e.Text = C.GoString(text)
	}
	return e
}

func (l *libcuda) version() int { return l.release }

func (l *libcuda) deviceCount() (int, error) {
	var n C.int
	err := l.check("cuDeviceGetCount", C.afl_device_count(l.table, &n))
	return int(n), err
}

func (l *libcuda) device(ordinal int) (Device, error) {
	var info C.AflDeviceInfo
	if err := l.check("cuDeviceGetAttribute", C.afl_device(l.table, C.int(ordinal), &info)); err != nil {
		return Device{}, err
	}
	return Device{
		Ordinal: ordinal, Name: C.GoString(&info.name[0]),
		ComputeMajor: int(info.major), ComputeMinor: int(info.minor),
		Memory: int64(info.memory), Multiprocessors: int(info.multiprocessors), L2: int64(info.l2),
		DriverVersion: l.release,
	}, nil
}

// context is an open session. s is allocated by C.
type context struct {
	*libcuda
	s *C.AflSession
}

func (l *libcuda) open(ordinal int) (session, error) {
	c := &context{l, (*C.AflSession)(C.calloc(1, C.size_t(unsafe.Sizeof(C.AflSession{}))))}
	if err := l.check("cuDevicePrimaryCtxRetain", C.afl_session_open(c.s, l.table, C.int(ordinal))); err != nil {
		C.free(unsafe.Pointer(c.s))
		return nil, err
	}
	return c, nil
}

func (l *libcuda) adopt(ordinal int, s Stream) (session, error) {
	c := &context{l, (*C.AflSession)(C.calloc(1, C.size_t(unsafe.Sizeof(C.AflSession{}))))}
	code := C.afl_session_adopt(c.s, l.table, C.int(ordinal), C.CUcontext(devicePointer(s.Context)), C.CUstream(devicePointer(s.Handle)))
	if err := l.check("cuStreamGetCtx", code); err != nil {
		C.free(unsafe.Pointer(c.s))
		return nil, err
	}
	return c, nil
}

func (c *context) push() error {
	return c.check("cuCtxPushCurrent", C.afl_push(c.s))
}

func (c *context) pop() error {
	return c.check("cuCtxPopCurrent", C.afl_pop(c.s))
}

func (c *context) stream() Stream {
	return Stream{Context: uintptr(unsafe.Pointer(c.s.context)), Handle: uintptr(unsafe.Pointer(c.s.stream))}
}

func (c *context) locate(address uintptr) (pointer, error) {
	r := C.afl_pointer(c.s, C.CUdeviceptr(address))
	p := pointer{device: r._type == C.CU_MEMORYTYPE_DEVICE, owner: int(r.device), start: uintptr(r.start), bytes: int64(r.bytes)}
	return p, c.check("cuPointerGetAttribute", r.code)
}

func (c *context) close() error {
	err := c.check("cuDevicePrimaryCtxRelease", C.afl_session_close(c.s))
	C.free(unsafe.Pointer(c.s))
	return err
}

func (c *context) load(ptx []byte) (handle, string, error) {
	const length = 16 << 10
	log := (*C.char)(C.calloc(1, length))
	defer C.free(unsafe.Pointer(log))
	image := C.CString(string(ptx))
	defer C.free(unsafe.Pointer(image))
	r := C.afl_load(c.s, image, log, length)
	return r.handle, strings.TrimSpace(C.GoString(log)), c.check("cuModuleLoadDataEx", r.code)
}

func (c *context) unload(module handle) error {
	return c.check("cuModuleUnload", C.afl_unload(c.s, C.CUmodule(module)))
}

func (c *context) function(module handle, name string) (handle, error) {
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	r := C.afl_function(c.s, C.CUmodule(module), s)
	return r.handle, c.check("cuModuleGetFunction", r.code)
}

func (c *context) launch(function handle, blocks int, arguments unsafe.Pointer) error {
	return c.check("cuLaunchKernel", C.afl_launch(c.s, C.CUfunction(function), C.uint(blocks), arguments))
}

func (c *context) memoryInfo() (free, total int64, err error) {
	r := C.afl_memory_info(c.s)
	return int64(r.free), int64(r.total), c.check("cuMemGetInfo", r.code)
}

func (c *context) alloc(bytes int64) (uintptr, error) {
	r := C.afl_alloc(c.s, C.size_t(bytes))
	return uintptr(r.address), c.check("cuMemAlloc", r.code)
}

func (c *context) free(address uintptr) error {
	return c.check("cuMemFree", C.afl_free(c.s, C.CUdeviceptr(address)))
}

func (c *context) allocHost(bytes int64) (unsafe.Pointer, error) {
	r := C.afl_alloc_host(c.s, C.size_t(bytes))
	return r.handle, c.check("cuMemHostAlloc", r.code)
}

func (c *context) freeHost(address unsafe.Pointer) error {
	return c.check("cuMemFreeHost", C.afl_free_host(c.s, address))
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func (c *context) copyToDevice(to uintptr, from unsafe.Pointer, bytes int64, wait bool) error {
	return c.check("cuMemcpyHtoDAsync", C.afl_copy_to_device(c.s, C.CUdeviceptr(to), from, C.size_t(bytes), flag(wait)))
}

func (c *context) copyToHost(to unsafe.Pointer, from uintptr, bytes int64, wait bool) error {
	return c.check("cuMemcpyDtoHAsync", C.afl_copy_to_host(c.s, to, C.CUdeviceptr(from), C.size_t(bytes), flag(wait)))
}

func (c *context) copyDevice(to, from uintptr, bytes int64) error {
	return c.check("cuMemcpyDtoDAsync", C.afl_copy_device(c.s, C.CUdeviceptr(to), C.CUdeviceptr(from), C.size_t(bytes)))
}

func (c *context) fill(to uintptr, element []byte, count int64) error {
	return c.check("cuMemsetAsync", C.afl_fill(c.s, C.CUdeviceptr(to), unsafe.Pointer(unsafe.SliceData(element)), C.size_t(len(element)), C.size_t(count)))
}

func (c *context) synchronize() error {
	return c.check("cuStreamSynchronize", C.afl_synchronize(c.s))
}

func (c *context) newStream() (handle, error) {
	r := C.afl_stream_new(c.s)
	return r.handle, c.check("cuStreamCreate", r.code)
}

func (c *context) copyToDeviceOn(stream handle, to uintptr, from unsafe.Pointer, bytes int64) error {
	return c.check("cuMemcpyHtoDAsync", C.afl_copy_to_device_on(c.s, C.CUstream(stream), C.CUdeviceptr(to), from, C.size_t(bytes)))
}

func (c *context) synchronizeStream(stream handle) error {
	return c.check("cuStreamSynchronize", C.afl_stream_synchronize(c.s, C.CUstream(stream)))
}

func (c *context) freeStream(stream handle) error {
	return c.check("cuStreamDestroy", C.afl_stream_free(c.s, C.CUstream(stream)))
}

// or returns a stream, or the session's for nil.
func (c *context) or(stream handle) C.CUstream {
	if stream == nil {
		return c.s.stream
	}
	return C.CUstream(stream)
}

func (c *context) newEvent() (handle, error) {
	r := C.afl_event_new(c.s)
	return r.handle, c.check("cuEventCreate", r.code)
}

func (c *context) recordEvent(stream, event handle) error {
	return c.check("cuEventRecord", C.afl_event_record(c.s, c.or(stream), C.CUevent(event)))
}

func (c *context) orderAfter(stream, event handle) error {
	return c.check("cuStreamWaitEvent", C.afl_event_wait(c.s, c.or(stream), C.CUevent(event)))
}

func (c *context) waitEvent(h handle) error {
	return c.check("cuEventSynchronize", C.afl_event_synchronize(c.s, C.CUevent(h)))
}

func (c *context) elapsed(from, to handle) (float32, error) {
	r := C.afl_event_elapsed(c.s, C.CUevent(from), C.CUevent(to))
	return float32(r.milliseconds), c.check("cuEventElapsedTime", r.code)
}

func (c *context) freeEvent(h handle) error {
	return c.check("cuEventDestroy", C.afl_event_free(c.s, C.CUevent(h)))
}

func (c *context) beginCapture() error {
	return c.check("cuStreamBeginCapture", C.afl_capture_begin(c.s))
}

func (c *context) endCapture(keep bool) (handle, error) {
	r := C.afl_capture_end(c.s, flag(keep))
	return r.handle, c.check("cuStreamEndCapture", r.code)
}

func (c *context) launchGraph(h handle) error {
	return c.check("cuGraphLaunch", C.afl_graph_launch(c.s, C.CUgraphExec(h)))
}

func (c *context) freeGraph(h handle) error {
	return c.check("cuGraphExecDestroy", C.afl_graph_free(c.s, C.CUgraphExec(h)))
}
