package cuda

import (
	"errors"
	"unsafe"
)

// reports is memory through which the work of steps tells the host numbers without making it
// wait: the work copies them to a fixed place on the device, which is copied to pinned memory at
// the end of the step.
type reports struct {
	device uintptr
	slots  [reportSlots]reportSlot
	last   int     // slot of the last step
	open   *report // of the current step
}

const (
	reportBytes = 1 << 14
	reportSlots = 4
)

// reportSlot is pinned memory for the report of a step.
type reportSlot struct {
	pinned unsafe.Pointer
	event  handle
	report *report // that uses it
}

// report is what the work of one step tells the host.
type report struct {
	engine *Engine
	used   int64
	slot   *reportSlot // nil until the step's end
	data   []byte      // nil until it is read
	failed error       // why it cannot be read
}

// beginReport starts the report of a step.
func (e *Engine) beginReport() error {
	r := &e.reports
	if r.device == 0 {
		var err error
		if r.device, err = e.keep(reportBytes); err != nil {
			return err
		}
	}
	r.open = &report{engine: e}
	return nil
}

// endReport enqueues the copy of the current report to the host.
func (e *Engine) endReport() error {
	r := &e.reports
	p := r.open
	r.open = nil
	if p.used == 0 {
		return nil
	}
	r.last = (r.last + 1) % reportSlots
	slot := &r.slots[r.last]
	if slot.report != nil { // of a step long ago that nobody has read
		if err := slot.report.read(); err != nil {
			return err
		}
	}
	err := e.do(func(s session) (err error) {
		if slot.pinned == nil {
			if slot.pinned, err = s.allocHost(reportBytes); err != nil {
				return err
			}
		}
		if slot.event == nil {
			if slot.event, err = s.newEvent(); err != nil {
				return err
			}
		}
		if err := s.copyToHost(slot.pinned, r.device, p.used, false); err != nil {
			return err
		}
		return s.recordEvent(nil, slot.event)
	})
	if err != nil {
		p.failed = err
		return err
	}
	p.slot, slot.report = slot, p
	return nil
}

// read waits for the step's report.
func (p *report) read() error {
	switch {
	case p.data != nil || p.failed != nil:
		return p.failed
	case p.slot == nil:
		return errors.New("cuda: a number of a step is read before its end")
	}
	p.failed = p.engine.do(func(s session) error { return s.waitEvent(p.slot.event) })
	if p.failed == nil {
		p.data = append([]byte(nil), unsafe.Slice((*byte)(p.slot.pinned), p.used)...)
	}
	p.slot.report, p.slot = nil, nil
	return p.failed
}

// later returns a function that waits for bytes of device memory as they are when the work
// enqueued so far is done. In a step it does not wait before it is called.
func (e *Engine) later(from uintptr, bytes int64) (func() ([]byte, error), error) {
	p := e.reports.open
	padded := roundUp(bytes, 8)
	if p == nil || p.used+padded > reportBytes {
		data := make([]byte, bytes)
		err := e.toHost(data, from)
		return func() ([]byte, error) { return data, nil }, err
	}
	at := p.used
	if err := e.do(func(s session) error { return s.copyDevice(e.reports.device+uintptr(at), from, bytes) }); err != nil {
		return nil, err
	}
	p.used += padded
	return func() ([]byte, error) {
		if e.reports.open == p { // still in the step
			data := make([]byte, bytes)
			return data, e.toHost(data, e.reports.device+uintptr(at))
		}
		if err := p.read(); err != nil {
			return nil, err
		}
		return p.data[at:][:bytes], nil
	}, nil
}

// laterNumber returns a function that waits for the value of a loss at an address.
func (e *Engine) laterNumber(address uintptr) (func() (float64, error), error) {
	bytes := int64(8)
	if e.results.has(address) {
		bytes = resultBytes
	}
	read, err := e.later(address, bytes)
	if err != nil {
		return nil, err
	}
	return func() (float64, error) {
		data, err := read()
		if err != nil {
			return 0, err
		}
		var r result
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&r)), resultBytes), data)
		if r.verdict.kind == goodStatus {
			return r.value, nil
		}
		// The rejection is also the engine's first not yet reported, if no other came before.
		return r.value, e.report("target", func(s session, _ *staged) (status, error) { return r.verdict, s.synchronize() })
	}, nil
}

// close frees the pinned memory and the events.
func (r *reports) close(s session) error {
	var errs []error
	for i := range r.slots {
		slot := &r.slots[i]
		if slot.pinned != nil {
			errs = append(errs, s.freeHost(slot.pinned))
		}
		if slot.event != nil {
			errs = append(errs, s.freeEvent(slot.event))
		}
		if slot.report != nil {
			slot.report.failed = ErrClosed
		}
		*slot = reportSlot{}
	}
	return errors.Join(errs...)
}
