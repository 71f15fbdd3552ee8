package cuda

import (
	"errors"
	"sync"
)

// owned is a driver object that belongs to an engine and is freed by its own Close or
// the engine's, whichever is first.
type owned struct {
	engine *Engine
	kind   string
	free   func(session) error
	wait   func(session) error // for work beside the engine's stream; nil if there is none

	use    sync.RWMutex // locked for writing while the object is freed
	closed bool
}

// own creates an object and adds it to the engine's.
func (e *Engine) own(o *owned, make func(session) error) error {
	return e.do(func(s session) error {
		if err := make(s); err != nil {
			return err
		}
		o.engine = e
		e.mu.Lock()
		defer e.mu.Unlock()
		e.owned[o] = struct{}{}
		return nil
	})
}

// with makes a call that uses the object.
func (o *owned) with(call func(session) error) error {
	return o.engine.do(func(s session) error {
		return o.within(s, call)
	})
}

// within is with as part of another call.
func (o *owned) within(s session, call func(session) error) error {
	o.use.RLock()
	defer o.use.RUnlock()
	if o.closed {
		return errors.New("cuda: the " + o.kind + " is closed")
	}
	return call(s)
}

// settle waits for all work: that on the engine's stream and that of objects beside it. It holds
// e.mu, so that no such object is freed meanwhile.
func (e *Engine) settle(s session) error {
	err := s.synchronize()
	e.mu.Lock()
	defer e.mu.Unlock()
	for o := range e.owned {
		if o.wait != nil {
			err = errors.Join(err, o.wait(s))
		}
	}
	return err
}

// close synchronizes and frees the object, once.
func (o *owned) close() error {
	e := o.engine
	err := e.doWaiting(func(s session) error {
		o.use.Lock()
		defer o.use.Unlock()
		if o.closed {
			return nil
		}
		if err := e.settle(s); err != nil {
			return err
		}
		o.closed = true
		e.mu.Lock()
		delete(e.owned, o)
		e.mu.Unlock()
		return o.free(s)
	})
	if errors.Is(err, ErrClosed) {
		return nil // Engine.Close has freed it
	}
	return err
}
