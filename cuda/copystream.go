package cuda

import (
	"errors"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// CopyStream is a second stream of an engine, on which copies from pinned host memory to the
// device run while the engine's stream computes. Events alone order it with the engine's work:
//
//	copies.Wait(used)            // the work that reads dst's former content; recorded by used.Record()
//	copies.CopyToDevice(dst, src)
//	copies.Record(copied)
//	engine.Wait(copied)
//	…                            // enqueues work that reads dst
//
// The source must not be written, nor its buffer closed, before the copy has ended, and dst not be
// released before the engine waits for an event after the copy. A CopyStream takes no part in
// captures: what is enqueued on it is executed and belongs to no graph.
type CopyStream struct {
	owned  owned
	handle handle
}

var errWaitCapture = errors.New("cuda: the engine cannot be made to wait for an event during a capture, which would wait at every launch")

// NewCopyStream returns a new stream.
func (e *Engine) NewCopyStream() (*CopyStream, error) {
	c := new(CopyStream)
	c.owned.kind = "copy stream"
	c.owned.wait = func(s session) error { return s.synchronizeStream(c.handle) }
	c.owned.free = func(s session) error { return s.freeStream(c.handle) }
	err := e.own(&c.owned, func(s session) (err error) {
		c.handle, err = s.newStream()
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// CopyToDevice enqueues a copy of a host tensor, which must lie in a [HostBuffer] of the engine,
// to a device tensor of the same type and number of elements. It does not synchronize.
func (c *CopyStream) CopyToDevice(dst, src *tensor.Dense) error {
	e := c.owned.engine
	if err := e.checkPair("dst", dst, "src", src); err != nil {
		return public(err)
	}
	if !e.inBuffer(src.Raw) {
		return public(plan.Refuse("memory of src", "pageable", "that of a HostBuffer of this engine"))
	}
	return c.owned.with(func(s session) error {
		return s.copyToDeviceOn(c.handle, addressOf(dst.Raw), unsafe.Pointer(unsafe.SliceData(src.Raw)), int64(len(src.Raw)))
	})
}

// Record enqueues an event of the engine on this stream.
func (c *CopyStream) Record(ev *Event) error {
	return c.with(ev, func(s session) error { return ev.record(s, c.handle, true) })
}

// Wait makes the copies that are enqueued afterwards wait for a recorded event of the engine. It
// does not wait itself.
func (c *CopyStream) Wait(ev *Event) error {
	return c.with(ev, func(s session) error {
		if !ev.recorded.Load() {
			return errNotRecorded
		}
		return s.orderAfter(c.handle, ev.handle)
	})
}

// with makes a call that uses the stream and an event.
func (c *CopyStream) with(ev *Event, call func(session) error) error {
	if err := c.owned.engine.checkEvent(ev); err != nil {
		return err
	}
	return c.owned.with(func(s session) error { return ev.owned.within(s, call) })
}

// Close waits for the device and frees the stream. Closing again does nothing.
func (c *CopyStream) Close() error { return c.owned.close() }

// Wait makes the work that is enqueued on the engine afterwards wait for a recorded event of the
// engine, which may be one of a [CopyStream]. It does not wait itself. It is not possible during
// a capture.
func (e *Engine) Wait(ev *Event) error {
	if err := e.checkEvent(ev); err != nil {
		return err
	}
	return ev.owned.with(func(s session) error {
		switch {
		case e.isCapturing():
			return errWaitCapture
		case !ev.recorded.Load():
			return errNotRecorded
		}
		return s.orderAfter(nil, ev.handle)
	})
}

// checkEvent refuses events of other engines.
func (e *Engine) checkEvent(ev *Event) error {
	switch {
	case ev == nil:
		return refuse("ev", "nil", "an event")
	case ev.owned.engine != e:
		return refuse("ev", "an event of another engine", "one of this engine")
	}
	return nil
}
