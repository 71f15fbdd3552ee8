package cuda

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/cuda/kernels"
	"github.com/x/afl/internal/cuda/kernel"
	"github.com/x/afl/internal/plan"
)

// Engine is an open GPU: a context, a stream for all work, a memory pool and the kernels. It
// implements [tensor.Engine]. The package documentation describes the order of work.
type Engine struct {
	device  Device
	session *repeater
	pool    *pool

	// life is locked for reading by calls of the driver and for writing by Close.
	life   sync.RWMutex
	closed bool
	lost   atomic.Pointer[LostError]

	code *code

	staging stage
	// evaluating keeps the kernels of an evaluation together on the stream: evaluations
	// share the following memory, which each leaves as it found it. It is locked before
	// life.
	evaluating sync.Mutex
	counter    uintptr // uint32, the kernels' count of finished blocks
	status     uintptr // first rejected element of the current evaluation
	reported   uintptr // first rejected element not yet reported
	results    results
	reports    reports

	mu       sync.Mutex // guards the following
	owned    map[*owned]struct{}
	buffers  map[*HostBuffer]struct{}
	deferred error // of calls that cannot return one

	capturing atomic.Bool
}

var _ tensor.Engine = (*Engine)(nil)
var _ tensor.NonStdEngine = (*Engine)(nil)

// Open opens a device, given its index in [Devices]. The driver compiles the kernels for
// it, those that all losses use right away and the others when a loss first launches
// them, and caches them across programs. Engines on the same device share the process's
// primary context and nothing else.
//
// Errors say what is missing: the driver's library (and the paths that were tried), a
// function of the library or a newer driver, the device, or its compute capability; or
// they quote the messages of the driver's compiler.
func Open(ordinal int) (*Engine, error) {
	return openSession(ordinal, func(d driver) (session, error) { return d.open(ordinal) })
}

// openSession checks a device and makes an engine of a session on it.
func openSession(ordinal int, open func(d driver) (session, error)) (*Engine, error) {
	d, err := openDriver()
	if err != nil {
		return nil, err
	}
	n, err := d.deviceCount()
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, errNoDevice
	case ordinal < 0 || ordinal >= n:
		return nil, refuse("ordinal", ordinal, "a device from 0 to %d", n-1)
	}
	device, err := d.device(ordinal)
	if err != nil {
		return nil, err
	}
	if device.ComputeMajor < oldestMajor || device.ComputeMajor == oldestMajor && device.ComputeMinor < oldestMinor {
		return nil, fmt.Errorf("cuda: %v is too old: compute capability %d.%d or later is needed", device, oldestMajor, oldestMinor)
	}
	s, err := open(d)
	if err != nil {
		return nil, err
	}
	steps := newRepeater(s)
	e := &Engine{
		device: device, session: steps, pool: newPool(steps), code: newCode(steps, device),
		owned: map[*owned]struct{}{}, buffers: map[*HostBuffer]struct{}{},
	}
	if err := e.prepare(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// prepare loads the kernels that all losses use, which shows whether the driver accepts
// them, and allocates the memory that all kernels share.
func (e *Engine) prepare() error {
	_, err := e.code.function(kernels.Modules(), "afl_classes")
	if err != nil {
		return err
	}
	if e.staging.memory, err = e.session.allocHost(int64(unsafe.Sizeof(staged{}))); err != nil {
		return err
	}
	for _, p := range []*uintptr{&e.counter, &e.status, &e.reported} {
		if *p, err = e.pool.alloc(leastBytes); err != nil {
			return err
		}
		if err := zero(e.session, *p, leastBytes); err != nil {
			return err
		}
	}
	return nil
}

// LoadKernels has the driver compile all kernels of the losses that are not loaded yet, and
// returns the time that it took: an estimated half a minute where the driver has not compiled
// them for this GPU before, and little once they are in its cache. The estimate is the time of
// NVIDIA's offline compiler, not a measurement on a GPU.
// Without it each module of kernels is compiled when a loss first launches one of its
// kernels. progress may be nil; it is called after each module with the module's name and the
// time that it took.
//
// The cache is a folder, by default ~/.nv/ComputeCache, which the environment variable
// CUDA_CACHE_PATH moves and CUDA_CACHE_MAXSIZE limits (in bytes). Where it cannot be written,
// or CUDA_CACHE_DISABLE is 1, every process compiles anew.
func (e *Engine) LoadKernels(progress func(module string, took time.Duration)) (time.Duration, error) {
	start := time.Now()
	err := e.Runner().Load(kernels.Modules(), progress)
	return time.Since(start), err
}

// LoadedKernels returns the number of modules of kernels that the driver has loaded for this
// engine so far, those of the losses and of other packages, and the time that this took in
// all. By estimate a module takes seconds where the driver had to compile it, and little where it
// was in the driver's cache, see [Engine.LoadKernels].
func (e *Engine) LoadedKernels() (modules int, took time.Duration) {
	if e == nil || e.code == nil {
		return 0, 0
	}
	return e.code.loaded()
}

// Close waits for the device and frees everything that belongs to the engine: tensors,
// host buffers (whose bytes must not be accessed afterwards), copy streams, events and graphs. Later
// calls return [ErrClosed]; closing again does nothing.
func (e *Engine) Close() error {
	if e == nil || e.session == nil {
		return nil
	}
	e.life.Lock()
	defer e.life.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	var errs []error
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if e.capturing.Load() {
		_, err := e.session.endCapture(false)
		keep(err)
		e.pool.endCapture()
		e.capturing.Store(false)
	}
	keep(e.settle(e.session))
	for o := range e.owned {
		keep(o.free(e.session))
	}
	clear(e.owned)
	if e.staging.memory != nil {
		keep(e.session.freeHost(e.staging.memory))
	}
	keep(e.reports.close(e.session))
	keep(e.pool.close())
	keep(e.code.close())
	keep(e.session.close())
	if e.lost.Load() != nil {
		// These calls fail with the error reported before; the memory is gone with the
		// context.
		return nil
	}
	return errors.Join(errs...)
}

// Device describes the GPU that the engine runs on.
func (e *Engine) Device() Device {
	if e == nil {
		return Device{}
	}
	return e.device
}

// String returns the name of the device.
func (e *Engine) String() string { return e.Device().String() }

// Memory returns the engine's use of device memory.
func (e *Engine) Memory() MemoryStats {
	if e == nil || e.session == nil {
		return MemoryStats{}
	}
	return e.pool.statistics()
}

// Synchronize waits until all enqueued work is done. It returns the errors of that work:
// an error of the device, or an ArgumentError of package afl for the first rejected
// element not yet reported.
func (e *Engine) Synchronize() error {
	err := public(e.refusal("target"))
	if err != nil && (errors.Is(err, errCapturing) || errors.Is(err, errNotOpen)) {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.deferred != nil {
		err = errors.Join(e.deferred, err)
		e.deferred = nil
	}
	return err
}

var errNotOpen = errors.New("cuda: the engine was not made by Open")

// enter begins a call and leave ends it; Close waits in between.
func (e *Engine) enter() error {
	if e == nil || e.session == nil {
		return errNotOpen
	}
	e.life.RLock()
	if err := e.usable(); err != nil {
		e.life.RUnlock()
		return err
	}
	return nil
}

func (e *Engine) usable() error {
	if e.closed {
		return ErrClosed
	}
	if lost := e.lost.Load(); lost != nil {
		return lost
	}
	return nil
}

func (e *Engine) leave() { e.life.RUnlock() }

// check records that the device is lost, if an error says so.
func (e *Engine) check(err error) error {
	var d *DriverError
	if !errors.As(err, &d) || !d.lost() {
		return err
	}
	e.lost.CompareAndSwap(nil, &LostError{Cause: d})
	return e.lost.Load()
}

// do makes a call of the driver.
func (e *Engine) do(call func(s session) error) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	return e.check(call(e.session))
}

var errCapturing = errors.New("cuda: this call synchronizes with the device, which is not possible during a capture")

func (e *Engine) isCapturing() bool { return e != nil && e.capturing.Load() }

// doWaiting makes a call of the driver that synchronizes.
func (e *Engine) doWaiting(call func(s session) error) error {
	return e.do(func(s session) error {
		if e.isCapturing() {
			return errCapturing
		}
		return call(s)
	})
}

// alloc returns uninitialized device memory.
func (e *Engine) alloc(bytes int64) (address uintptr, err error) {
	err = e.do(func(session) (err error) {
		address, err = e.pool.alloc(bytes)
		return err
	})
	return address, err
}

// keep is alloc for memory that outlives the step that allocates it.
func (e *Engine) keep(bytes int64) (address uintptr, err error) {
	err = e.do(func(session) (err error) {
		address, err = e.pool.keep(bytes)
		return err
	})
	return address, err
}

// free returns memory to the pool, in stream order: work enqueued before may still use
// it.
func (e *Engine) free(address uintptr) error {
	return e.do(func(session) error {
		if err := e.recycle(address, 0); err != nil {
			return plan.Refuse("memory of mem", err, "as this engine allocated it")
		}
		return nil
	})
}

// run launches a kernel of a set on its arguments.
func (e *Engine) run(set *kernel.Set, name string, blocks int, arguments unsafe.Pointer) error {
	if blocks < 1 || blocks > 1<<31-1 {
		return fmt.Errorf("cuda: kernel %s asks for %d blocks, and a grid has 1 to 2³¹−1", name, blocks)
	}
	return e.do(func(session) error {
		f, err := e.code.function(set, name)
		if err != nil {
			return err
		}
		if err := e.session.launchNamed(f, name, blocks, unsafe.Slice((*byte)(arguments), set.ArgumentBytes(name))); err != nil {
			return fmt.Errorf("cuda: kernel %s: %w", name, err)
		}
		return nil
	})
}
