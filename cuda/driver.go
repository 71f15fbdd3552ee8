package cuda

import "unsafe"

// handle is one of the driver's objects: a module, a function, an event, a
// graph.
type handle = unsafe.Pointer

// driver is the CUDA driver library. Its one implementation is over cgo; a build
// without has none.
type driver interface {
	// version is the newest CUDA version that the driver supports, 1000·major +
	// 10·minor.
	version() int
	deviceCount() (int, error)
	device(ordinal int) (Device, error)
	// open makes a session on a device.
	open(ordinal int) (session, error)
}

// session is a device's context and one stream in it. All is enqueued on the
// stream, and done when it is waited for.
type session interface {
	// load makes a module of ptx; log is what the compiler says where it fails.
	load(ptx []byte) (module handle, log string, err error)
	unload(module handle) error
	function(module handle, name string) (handle, error)
	// launch runs a function on AflArguments, which are copied.
	launch(function handle, blocks int, arguments unsafe.Pointer) error

	memoryInfo() (free, total int64, err error)
	alloc(bytes int64) (uintptr, error)
	free(address uintptr) error
	allocHost(bytes int64) (unsafe.Pointer, error)
	freeHost(address unsafe.Pointer) error
	copyToDevice(to uintptr, from unsafe.Pointer, bytes int64, wait bool) error
	copyToHost(to unsafe.Pointer, from uintptr, bytes int64, wait bool) error
	copyDevice(to, from uintptr, bytes int64) error
	// fill writes count copies of an element of 1, 2, 4, 8 or 16 bytes.
	fill(to uintptr, element []byte, count int64) error
	synchronize() error

	newEvent() (handle, error)
	recordEvent(handle) error
	waitEvent(handle) error
	elapsed(from, to handle) (milliseconds float32, err error)
	freeEvent(handle) error

	beginCapture() error
	// endCapture returns the graph, or nil where keep is false.
	endCapture(keep bool) (handle, error)
	launchGraph(handle) error
	freeGraph(handle) error

	close() error
}
