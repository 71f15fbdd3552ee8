//go:build cgo && linux

package emulator

// #cgo linux LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stdint.h>
// #include <stdlib.h>
//
// static void reset(void *f) { ((void (*)(void))f)(); }
// static int set(void *f, const char *name, int64_t value) { return ((int (*)(const char *, int64_t))f)(name, value); }
// static void fail(void *f, const char *name, int64_t nth, int code) { ((void (*)(const char *, int64_t, int))f)(name, nth, code); }
// static void add(void *f, void *set) { ((void (*)(const void *))f)(set); }
// static int64_t count(void *f, const char *name) { return ((int64_t (*)(const char *))f)(name); }
import "C"

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"unsafe"

	"github.com/x/afl/internal/cuda/library"
)

// Library is the emulator loaded into this process. Its settings and counts are global to
// the process.
type Library struct {
	Path                         string
	reset, set, fail, count, add unsafe.Pointer
}

// build builds and opens a library.
func build(source string) (path string, library unsafe.Pointer, err error) {
	if path, err = Build(cache(), source); err != nil {
		return "", nil, err
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if library = C.dlopen(name, C.RTLD_NOW|C.RTLD_LOCAL); library == nil {
		return "", nil, fmt.Errorf("emulator: %s", C.GoString(C.dlerror()))
	}
	return path, library, nil
}

// symbol finds a symbol of a library.
func symbol(path string, library unsafe.Pointer, name string) (unsafe.Pointer, error) {
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	at := C.dlsym(library, s)
	if at == nil {
		return nil, fmt.Errorf("emulator: %s lacks %s", path, name)
	}
	return at, nil
}

var driver = sync.OnceValues(func() (*Library, error) {
	path, library, err := build(DriverSource())
	if err != nil {
		return nil, err
	}
	l := &Library{Path: path}
	for name, f := range map[string]*unsafe.Pointer{
		"emulator_reset": &l.reset, "emulator_set": &l.set, "emulator_fail": &l.fail, "emulator_count": &l.count, "emulator_add": &l.add,
	} {
		if *f, err = symbol(path, library, name); err != nil {
			return nil, err
		}
	}
	return l, nil
})

// added holds the errors of adding kernels, by source.
var added struct {
	sync.Mutex
	errs map[string]error
}

// kernels adds the kernels of a source to the driver, once.
func (l *Library) kernels(source string) error {
	added.Lock()
	defer added.Unlock()
	if err, done := added.errs[source]; done {
		return err
	}
	path, library, err := build(source)
	if err == nil {
		var set unsafe.Pointer
		if set, err = symbol(path, library, "afl_kernels"); err == nil {
			C.add(l.add, set)
		}
	}
	if added.errs == nil {
		added.errs = map[string]error{}
	}
	added.errs[source] = err
	return err
}

// Load builds and loads the driver with the kernels of the losses and those of other sources,
// which are paths of files that end by including set.h. It fails the test if it cannot;
// without a C++ compiler it skips the test. Settings and faults are reset when the test ends.
func Load(t testing.TB, sources ...string) *Library {
	t.Helper()
	l, err := driver()
	for _, source := range append([]string{LossesSource()}, sources...) {
		if err == nil {
			err = l.kernels(source)
		}
	}
	if errors.Is(err, ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Reset)
	return l
}

// Open returns what open opens on the library as the driver, and closes it when the test ends. The
// test fails if objects made in its context still exist when the context is destroyed.
func Open[E io.Closer](t testing.TB, l *Library, open func() (E, error)) E {
	t.Helper()
	restore := library.Replace(l.Path)
	e, err := open()
	restore()
	if err != nil {
		t.Fatal(err)
	}
	leaked := l.Count("leaked")
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if n := l.Count("leaked") - leaked; n != 0 {
			t.Errorf("%d objects of the driver were not freed", n)
		}
	})
	return e
}

// Reset restores all settings and removes faults.
func (l *Library) Reset() { C.reset(l.reset) }

// Set changes a setting of the emulated machine: "version" of the driver, number of
// "devices", their "major" and "minor" compute capability, "memory" in bytes,
// "multiprocessors", "l2", "refuse_ptx", 1 to make the compilation of kernels fail, and
// "eager_copies", 1 to execute copies from pinned memory as early as possible instead of as late; or of
// cuDNN, which is in the same library: "cudnn_version", "cudnn_engines", 1 plus the index of
// the only engine that its heuristic offers, and "cudnn_wrong", 1 for wrong results.
func (l *Library) Set(t testing.TB, name string, value int64) {
	t.Helper()
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	if C.set(l.set, s, C.int64_t(value)) != 0 {
		t.Fatalf("emulator: no setting %q", name)
	}
}

// Fail makes the nth call of a driver function from now on, such as cuMemAlloc_v2, return
// a code. After codes such as 700 and 719 the device is lost.
func (l *Library) Fail(function string, nth, code int) {
	s := C.CString(function)
	defer C.free(unsafe.Pointer(s))
	C.fail(l.fail, s, C.int64_t(nth), C.int(code))
}

// Count returns the number of existing "contexts", "streams", "modules", "events",
// "graphs", "graph_executables", "allocations", "bytes" of device memory, "host" buffers
// or "pushed" contexts, "cudnn_handles" and "cudnn_descriptors"; the number of all "launches",
// "graph_launches", executions of cuDNN ("cudnn_executed"), allocations ("allocated"), calls
// that "synchronized" a stream or an event, of streams "ordered" after an event, or
// "pageable_copies" to the device so far; or the number of "leaked" objects.
func (l *Library) Count(name string) int64 {
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	return int64(C.count(l.count, s))
}

// Live returns the names of the counts that are 0 once everything is freed.
func Live() []string {
	return []string{"contexts", "streams", "modules", "events", "graphs", "graph_executables", "allocations", "bytes", "host", "pushed",
		"cudnn_handles", "cudnn_descriptors"}
}
