package cuda

import (
	"errors"
	"sync/atomic"
	"time"
	"unsafe"
)

// Event marks a position in the engine's stream or in a [CopyStream], to wait for the work before
// it or to measure the time that the device takes between two events.
type Event struct {
	owned    owned
	handle   handle
	recorded atomic.Bool
	beside   atomic.Bool // recorded on a CopyStream, which takes no part in captures
}

var (
	errNotRecorded   = errors.New("cuda: the event has not been recorded")
	errRecordCapture = errors.New("cuda: an event cannot be recorded during a capture")
)

// NewEvent returns an event that has not been recorded yet.
func (e *Engine) NewEvent() (*Event, error) {
	ev := new(Event)
	ev.owned.kind = "event"
	ev.owned.free = func(s session) error { return s.freeEvent(ev.handle) }
	err := e.own(&ev.owned, func(s session) (err error) {
		ev.handle, err = s.newEvent()
		return err
	})
	if err != nil {
		return nil, err
	}
	return ev, nil
}

// Record enqueues the event. Recording an event again replaces its former position. It
// is not possible during a capture.
func (ev *Event) Record() error {
	return ev.owned.with(func(s session) error {
		if ev.owned.engine.isCapturing() {
			return errRecordCapture
		}
		return ev.record(s, nil, false)
	})
}

func (ev *Event) record(s session, stream handle, beside bool) error {
	if err := s.recordEvent(stream, ev.handle); err != nil {
		return err
	}
	ev.beside.Store(beside)
	ev.recorded.Store(true)
	return nil
}

// Synchronize waits until the device has reached the event. Unlike [Engine.Synchronize]
// it does not report rejected elements.
func (ev *Event) Synchronize() error {
	return ev.owned.with(func(s session) error {
		if ev.owned.engine.isCapturing() && !ev.beside.Load() {
			return errCapturing
		}
		if !ev.recorded.Load() {
			return errNotRecorded
		}
		return s.waitEvent(ev.handle)
	})
}

// Elapsed waits for both events, which have been recorded on the same engine, and returns
// the time that the device took from start to end, with a resolution of about half a
// microsecond.
func Elapsed(start, end *Event) (time.Duration, error) {
	switch {
	case start == nil:
		return 0, refuse("start", "nil", "an event")
	case end == nil:
		return 0, refuse("end", "nil", "an event")
	case start.owned.engine != end.owned.engine:
		return 0, refuse("end", "an event of another engine", "one of start's")
	}
	if err := errors.Join(start.Synchronize(), end.Synchronize()); err != nil {
		return 0, err
	}
	var milliseconds float32
	// Lock in a fixed order to avoid a deadlock.
	first, second := &start.owned, &end.owned
	if uintptr(unsafe.Pointer(first)) > uintptr(unsafe.Pointer(second)) {
		first, second = second, first
	}
	err := first.with(func(s session) (err error) {
		if first != second {
			second.use.RLock()
			defer second.use.RUnlock()
		}
		if second.closed {
			return errors.New("cuda: the event is closed")
		}
		milliseconds, err = s.elapsed(start.handle, end.handle)
		return err
	})
	return time.Duration(float64(milliseconds) * float64(time.Millisecond)), err
}

// Close frees the event. Closing again does nothing.
func (ev *Event) Close() error { return ev.owned.close() }
