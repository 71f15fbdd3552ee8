package cuda

import (
	"errors"
	"unsafe"
)

// inputs is memory at fixed device addresses through which the host hands its numbers to the work
// of a step. They are put into pinned memory and copied to the device, asynchronously, before the
// work that reads them. The pinned memory of a step is written again in the step after the next.
type inputs struct {
	chunks []*inputChunk
	turn   int
	sent   [inputTurns]sentInputs
}

const (
	inputTurns      = 2
	leastInputBytes = 1 << 20 // of a chunk
)

// inputAlignment is that of an input of so many bytes: 256 as other device memory has, or 16 for a
// few numbers.
func inputAlignment(bytes int64) int64 {
	if bytes < 256 {
		return 16
	}
	return 256
}

func roundUp[T int | int64](n, to T) T { return (n + to - 1) / to * to }

type inputChunk struct {
	device     uintptr // of the pool
	size       int64
	used, sent int64
	pinned     [inputTurns]unsafe.Pointer
}

// sentInputs marks the end of the copies of a turn.
type sentInputs struct {
	event    handle
	recorded bool
}

// room returns a chunk with memory for so many bytes, or nil.
func (in *inputs) room(bytes int64) *inputChunk {
	for _, c := range in.chunks {
		if roundUp(c.used, inputAlignment(bytes))+bytes <= c.size {
			return c
		}
	}
	return nil
}

// put copies bytes of the host to the end of the chunk and returns their device address.
func (in *inputs) put(c *inputChunk, from []byte) uintptr {
	at := roundUp(c.used, inputAlignment(int64(len(from))))
	copy(unsafe.Slice((*byte)(unsafe.Add(c.pinned[in.turn], at)), len(from)), from)
	c.used = at + int64(len(from))
	return c.device + uintptr(at)
}

// send enqueues the copies of what was put since the last call.
func (in *inputs) send(s session) error {
	copied := false
	for _, c := range in.chunks {
		if c.used == c.sent {
			continue
		}
		if err := s.copyToDevice(c.device+uintptr(c.sent), unsafe.Add(c.pinned[in.turn], c.sent), c.used-c.sent, false); err != nil {
			return err
		}
		c.sent, copied = c.used, true
	}
	if !copied {
		return nil
	}
	turn := &in.sent[in.turn]
	if turn.event == nil {
		var err error
		if turn.event, err = s.newEvent(); err != nil {
			return err
		}
	}
	turn.recorded = true
	return s.recordEvent(nil, turn.event)
}

// next makes all of the memory available again, once the copies from it are done.
func (in *inputs) next(s session) error {
	in.turn = (in.turn + 1) % inputTurns
	for _, c := range in.chunks {
		c.used, c.sent = 0, 0
	}
	if turn := &in.sent[in.turn]; turn.recorded {
		return s.waitEvent(turn.event)
	}
	return nil
}

// close frees the pinned memory and the events.
func (in *inputs) close(s session) error {
	var errs []error
	for _, c := range in.chunks {
		for _, p := range c.pinned {
			errs = append(errs, s.freeHost(p))
		}
	}
	for _, t := range in.sent {
		if t.event != nil {
			errs = append(errs, s.freeEvent(t.event))
		}
	}
	*in = inputs{}
	return errors.Join(errs...)
}

// input copies bytes of the host to device memory that the work noted next reads.
func (e *Engine) input(from []byte) (uintptr, error) {
	bytes := int64(len(from))
	r := e.session
	r.mu.Lock()
	c := r.inputs.room(bytes)
	r.mu.Unlock()
	if c == nil {
		var err error
		if c, err = e.newInputChunk(bytes); err != nil {
			return 0, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inputs.put(c, from), nil
}

// newInputChunk adds a chunk of at least so many bytes.
func (e *Engine) newInputChunk(bytes int64) (*inputChunk, error) {
	c := &inputChunk{size: max(bytes, leastInputBytes)}
	var err error
	if c.device, err = e.keep(c.size); err != nil {
		return nil, err
	}
	return c, e.do(func(s session) error {
		for i := range c.pinned {
			if c.pinned[i], err = s.allocHost(c.size); err != nil {
				for _, p := range c.pinned[:i] {
					err = errors.Join(err, s.freeHost(p))
				}
				return errors.Join(err, e.pool.release(c.device, 0))
			}
		}
		e.session.mu.Lock()
		defer e.session.mu.Unlock()
		e.session.inputs.chunks = append(e.session.inputs.chunks, c)
		return nil
	})
}

// nextInputs ends the use of all that input has returned. The noted work is enqueued.
func (e *Engine) nextInputs() error {
	return e.do(func(session) error {
		r := e.session
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := r.flush(); err != nil {
			return err
		}
		return r.inputs.next(r.session)
	})
}
