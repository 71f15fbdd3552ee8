package cuda

import (
	"errors"
	"runtime"
	"time"
	"unsafe"

	"github.com/x/afl/internal/cuda/kernel"
	"github.com/x/afl/internal/plan"
)

// Runner implements [kernel.Provider] for packages of this module that bring kernels of
// their own.
func (e *Engine) Runner() kernel.Runner { return runner{e} }

type runner struct{ engine *Engine }

// Alloc implements [kernel.Runner].
func (r runner) Alloc(bytes int64) (uintptr, error) {
	address, err := r.engine.alloc(bytes)
	return address, public(err)
}

// Keep implements [kernel.Runner].
func (r runner) Keep(bytes int64) (uintptr, error) {
	address, err := r.engine.keep(bytes)
	return address, public(err)
}

// Free implements [kernel.Runner].
func (r runner) Free(address uintptr) error { return public(r.engine.free(address)) }

// Launch implements [kernel.Runner].
func (r runner) Launch(s *kernel.Set, name string, blocks int, arguments unsafe.Pointer) error {
	return r.engine.run(s, name, blocks, arguments)
}

// Load implements [kernel.Runner].
func (r runner) Load(s *kernel.Set, progress func(module string, took time.Duration)) error {
	return r.engine.do(func(session) error { return r.engine.code.loadAll(s, progress) })
}

// Write implements [kernel.Runner].
func (r runner) Write(to uintptr, from []byte) error { return r.engine.toDevice(to, from) }

// Read implements [kernel.Runner].
func (r runner) Read(to []byte, from uintptr) error { return r.engine.toHost(to, from) }

// Copy implements [kernel.Runner].
func (r runner) Copy(to, from uintptr, bytes int64) error {
	return r.engine.do(func(s session) error { return s.copyDevice(to, from, bytes) })
}

// Zero implements [kernel.Runner].
func (r runner) Zero(to uintptr, bytes int64) error {
	return r.engine.do(func(s session) error {
		if bytes%4 != 0 {
			return plan.Refuse("number of bytes", bytes, "a multiple of 4")
		}
		return zero(s, to, bytes)
	})
}

// Step implements [kernel.Runner].
func (r runner) Step(work func() error) error { return r.engine.step(work) }

// InStep implements [kernel.Runner].
func (r runner) InStep() bool { return r.engine.inStep() }

// Input implements [kernel.Runner].
func (r runner) Input(from []byte) (uintptr, error) { return r.engine.input(from) }

// NextInputs implements [kernel.Runner].
func (r runner) NextInputs() error { return r.engine.nextInputs() }

// Later implements [kernel.Runner].
func (r runner) Later(from uintptr, bytes int64) (func() ([]byte, error), error) {
	return r.engine.later(from, bytes)
}

// LaterNumber implements [kernel.Runner].
func (r runner) LaterNumber(from uintptr) (func() (float64, error), error) {
	read, err := r.engine.laterNumber(from)
	if err != nil {
		return nil, err
	}
	return func() (float64, error) {
		x, err := read()
		return x, public(err)
	}, nil
}

// DescribeSteps implements [kernel.Runner].
func (r runner) DescribeSteps() string { return r.engine.describeSteps() }

// Call implements [kernel.Runner].
func (r runner) Call(key []uint64, call func() error) error {
	return r.engine.do(func(session) error { return r.engine.session.call(key, call) })
}

// Within implements [kernel.Runner].
func (r runner) Within(call func(stream uintptr) error) error {
	return r.engine.do(func(s session) error {
		return within(s, func() error { return call(s.stream().Handle) })
	})
}

// Own implements [kernel.Runner].
func (r runner) Own(kind string, free func() error) error {
	o := &owned{kind: kind, free: func(s session) error { return within(s, free) }}
	return r.engine.own(o, func(session) error { return nil })
}

// within makes a session's context current on the calling thread during a call.
func within(s session, call func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.push(); err != nil {
		return err
	}
	return errors.Join(call(), s.pop())
}
