package cuda

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Engine is an open GPU: a context, one stream, a memory pool and the kernels. It
// is a [tensor.Engine]. See the package's comment for what is ordered how.
type Engine struct {
	device  Device
	session session
	pool    *pool

	// life is held for reading by every call while it talks to the driver, and
	// for writing by Close.
	life   sync.RWMutex
	closed bool
	lost   atomic.Pointer[LostError]

	code *code

	staging stage
	// evaluating keeps the kernels of one evaluation together on the stream: they
	// share what follows, and each evaluation leaves it as it found it.
	// It is locked before life.
	evaluating sync.Mutex
	counter    uintptr // uint32 that the kernels count finished blocks with
	status     uintptr // what the evaluation's kernels refuse
	reported   uintptr // what was refused first and is not told yet
	results    results

	mu       sync.Mutex // of what follows
	owned    map[*owned]struct{}
	buffers  map[*HostBuffer]struct{}
	deferred error // of calls that could not return one

	capturing atomic.Bool
}

var _ tensor.Engine = (*Engine)(nil)
var _ tensor.NonStdEngine = (*Engine)(nil)

// Open opens a device, by its place in [Devices]. The driver compiles the kernels
// for it, those that every loss needs now and others with the first loss that
// launches them, and remembers them from one program to the next. Engines on the
// same device share the process's primary context and nothing else.
//
// Errors say what is missing: the driver's library (and where it was looked for),
// a function in it or its version (the driver is too old), the device, its compute
// capability, or what the driver's compiler said against the kernels.
func Open(ordinal int) (*Engine, error) {
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
	s, err := d.open(ordinal)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		device: device, session: s, pool: newPool(s), code: newCode(s, device),
		owned: map[*owned]struct{}{}, buffers: map[*HostBuffer]struct{}{},
	}
	if err := e.prepare(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// prepare loads the kernels that every loss needs, which shows whether the driver
// takes them, and makes the memory that all kernels share.
func (e *Engine) prepare() error {
	_, err := e.code.function("afl_classes")
	if err != nil {
		return err
	}
	if e.staging.memory, err = e.session.allocHost(int64(unsafe.Sizeof(staged{}))); err != nil {
		return err
	}
	for _, p := range []*uintptr{&e.counter, &e.status, &e.reported} {
		if *p, err = e.pool.alloc(leastBlock); err != nil {
			return err
		}
		if err := zero(e.session, *p, leastBlock); err != nil {
			return err
		}
	}
	return nil
}

// Close waits for the device and frees all that the engine has: tensors, host
// buffers (whose bytes must not be touched any more), events and graphs. Every
// later call returns [ErrClosed]; closing again does nothing.
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
	keep(e.session.synchronize())
	for o := range e.owned {
		keep(o.free(e.session))
	}
	clear(e.owned)
	if e.staging.memory != nil {
		keep(e.session.freeHost(e.staging.memory))
	}
	keep(e.pool.close())
	keep(e.code.close())
	keep(e.session.close())
	if e.lost.Load() != nil {
		// The driver answers all of it with what was reported already; the memory
		// went with the context.
		return nil
	}
	return errors.Join(errs...)
}

// Device returns what the engine runs on.
func (e *Engine) Device() Device {
	if e == nil {
		return Device{}
	}
	return e.device
}

// String names the device.
func (e *Engine) String() string { return e.Device().String() }

// Memory returns what the engine has of the device's memory.
func (e *Engine) Memory() MemoryStats {
	if e == nil || e.session == nil {
		return MemoryStats{}
	}
	return e.pool.statistics()
}

// Synchronize waits until all that was enqueued is done. It returns what went
// wrong meanwhile: an error of the device, or an [github.com/x/afl.ArgumentError]
// where a kernel had refused the elements of a tensor, which it says once.
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

// enter begins a call, which leave ends; Close waits in between.
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

// check remembers that the device is lost, where an error says so.
func (e *Engine) check(err error) error {
	var d *DriverError
	if !errors.As(err, &d) || !d.lost() {
		return err
	}
	e.lost.CompareAndSwap(nil, &LostError{Cause: d})
	return e.lost.Load()
}

// do makes one call of the driver.
func (e *Engine) do(call func(s session) error) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	return e.check(call(e.session))
}

var errCapturing = errors.New("cuda: this call waits for the device, which work that is captured cannot")

func (e *Engine) isCapturing() bool { return e != nil && e.capturing.Load() }

// doWaiting makes one call of the driver that waits.
func (e *Engine) doWaiting(call func(s session) error) error {
	return e.do(func(s session) error {
		if e.isCapturing() {
			return errCapturing
		}
		return call(s)
	})
}

// alloc returns device memory of arbitrary content.
func (e *Engine) alloc(bytes int64) (address uintptr, err error) {
	err = e.do(func(session) (err error) {
		address, err = e.pool.alloc(bytes)
		return err
	})
	return address, err
}

// free gives memory back to the pool, in the order of the stream: enqueued work
// may still use it.
func (e *Engine) free(address uintptr) error {
	return e.do(func(session) error {
		if err := e.recycle(address, 0); err != nil {
			return plan.Refuse("memory of mem", err, "as this engine allocated it")
		}
		return nil
	})
}

// run launches a kernel on arguments that lie as AflArguments do.
func (e *Engine) run(kernel string, blocks int, arguments unsafe.Pointer) error {
	if blocks < 1 || blocks > 1<<31-1 {
		return fmt.Errorf("cuda: kernel %s asks for %d blocks, and a grid has 1 to 2³¹−1", kernel, blocks)
	}
	return e.do(func(s session) error {
		f, err := e.code.function(kernel)
		if err != nil {
			return err
		}
		if err := s.launch(f, blocks, arguments); err != nil {
			return fmt.Errorf("cuda: kernel %s: %w", kernel, err)
		}
		return nil
	})
}
