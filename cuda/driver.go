package cuda

import "unsafe"

// handle is an object of the driver: a module, a function, a stream, an event or a graph.
type handle = unsafe.Pointer

// driver is the CUDA driver library. Its only implementation needs cgo.
type driver interface {
	// version is the newest CUDA version that the driver supports, 1000·major +
	// 10·minor.
	version() int
	deviceCount() (int, error)
	device(ordinal int) (Device, error)
	// open starts a session on a device.
	open(ordinal int) (session, error)
	// adopt starts a session on a stream of somebody else's.
	adopt(ordinal int, s Stream) (session, error)
}

// pointer says where memory lies.
type pointer struct {
	device bool // in a device's memory
	owner  int  // ordinal of the device
	start  uintptr
	bytes  int64 // of the allocation from start on
}

// session is a device's context with one stream, on which all work is enqueued that does not
// name another one.
type session interface {
	// load compiles ptx to a module; log holds the compiler's messages if that fails.
	load(ptx []byte) (module handle, log string, err error)
	unload(module handle) error
	function(module handle, name string) (handle, error)
	// launch enqueues a function on its arguments, which are copied.
	launch(function handle, blocks int, arguments unsafe.Pointer) error

	// push makes the context current on the calling thread, and pop restores the previous one.
	push() error
	pop() error
	// stream returns the session's context and stream.
	stream() Stream
	// locate says where memory lies.
	locate(address uintptr) (pointer, error)

	memoryInfo() (free, total int64, err error)
	alloc(bytes int64) (uintptr, error)
	free(address uintptr) error
	allocHost(bytes int64) (unsafe.Pointer, error)
	freeHost(address unsafe.Pointer) error
	copyToDevice(to uintptr, from unsafe.Pointer, bytes int64, wait bool) error
	copyToHost(to unsafe.Pointer, from uintptr, bytes int64, wait bool) error
	copyDevice(to, from uintptr, bytes int64) error
	// fill enqueues writing count copies of an element of 1, 2, 4, 8 or 16 bytes.
	fill(to uintptr, element []byte, count int64) error
	synchronize() error

	// newStream returns another stream, which is not ordered with the session's.
	newStream() (handle, error)
	copyToDeviceOn(stream handle, to uintptr, from unsafe.Pointer, bytes int64) error
	synchronizeStream(stream handle) error
	freeStream(stream handle) error

	newEvent() (handle, error)
	// recordEvent enqueues an event, and orderAfter makes what is enqueued afterwards wait for
	// one. A nil stream is the session's.
	recordEvent(stream, event handle) error
	orderAfter(stream, event handle) error
	waitEvent(handle) error
	elapsed(from, to handle) (milliseconds float32, err error)
	freeEvent(handle) error

	beginCapture() error
	// endCapture returns the graph, or nil if keep is false.
	endCapture(keep bool) (handle, error)
	launchGraph(handle) error
	freeGraph(handle) error

	close() error
}
