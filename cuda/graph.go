package cuda

import (
	"errors"
	"fmt"
)

// Graph is a sequence of device work that is launched at once: for a small batch
// the host may need longer to enqueue the kernels one by one than the device to run
// them.
type Graph struct {
	owned      owned
	executable handle
	hold       *hold
}

// Capture records what work enqueues on the engine, instead of doing it, and
// returns it as a graph. Launching the graph does the work again on the same
// memory: tensors that existed before keep their place, so new input is copied
// into them, and must not be released while the graph lives. Memory that work
// allocates or releases stays with the graph until [Graph.Close].
//
// Work must not wait: calls that return numbers to the host, and copies from and
// to host memory other than a [HostBuffer], return an error. Where work returns an
// error or panics, there is no graph and nothing was done. No other goroutine may
// use the engine meanwhile. Let work run once before it is captured: kernels are
// loaded when they are first used, and the pool then has the memory.
func (e *Engine) Capture(work func() error) (*Graph, error) {
	if work == nil {
		return nil, refuse("work", "nil", "a function")
	}
	g := new(Graph)
	g.owned.kind = "graph"
	g.owned.free = func(s session) error {
		e.pool.drop(g.hold)
		return s.freeGraph(g.executable)
	}
	if err := e.beginCapture(g); err != nil {
		return nil, err
	}
	finished := false
	defer func() {
		if !finished { // work panics
			e.endCapture(g, false)
		}
	}()
	failed := work()
	finished = true
	if err := e.endCapture(g, failed == nil); err != nil || failed != nil {
		return nil, errors.Join(failed, err)
	}
	return g, nil
}

func (e *Engine) beginCapture(g *Graph) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	if !e.capturing.CompareAndSwap(false, true) {
		return errors.New("cuda: a graph is being captured already")
	}
	// The pool may give memory back to the driver during the capture, when it
	// cannot wait for what still uses it.
	err := e.session.synchronize()
	if err == nil {
		err = e.session.beginCapture()
	}
	if err != nil {
		e.capturing.Store(false)
		return e.check(err)
	}
	g.hold = e.pool.beginCapture()
	return nil
}

// endCapture ends the capture and, where keep is set, makes the graph.
func (e *Engine) endCapture(g *Graph, keep bool) error {
	end := func(s session) (err error) {
		e.pool.endCapture()
		e.capturing.Store(false)
		if g.executable, err = s.endCapture(keep); err != nil || !keep {
			e.pool.drop(g.hold)
		}
		return err
	}
	var err error
	if keep {
		err = e.own(&g.owned, end)
	} else {
		err = e.do(end)
	}
	if err != nil {
		return fmt.Errorf("cuda: the work cannot be captured: %w", err)
	}
	return nil
}

// Launch enqueues the graph's work.
func (g *Graph) Launch() error {
	e := g.owned.engine
	if e == nil {
		return errNotOpen
	}
	// The graph may hold evaluations. Their lock comes before all that with takes,
	// as in an evaluation: else Close, waiting for both, would never end.
	e.evaluating.Lock()
	defer e.evaluating.Unlock()
	return g.owned.with(func(s session) error {
		if e.isCapturing() {
			return errors.New("cuda: a graph cannot be launched while one is captured")
		}
		return s.launchGraph(g.executable)
	})
}

// Close waits, frees the graph and gives its memory back to the engine, except
// for tensors that its work made and nobody released: they stay. Closing again
// does nothing.
func (g *Graph) Close() error { return g.owned.close() }
