package cuda

import (
	"errors"
	"fmt"
)

// Graph is a sequence of device work that is launched as a whole. For small batches the
// host may take longer to enqueue the kernels one by one than the device takes to run
// them.
type Graph struct {
	owned      owned
	executable handle
	hold       *hold
}

// Capture records the work that the function work enqueues on the engine, without
// executing it, and returns it as a graph. Each launch of the graph executes the work on
// the same memory: new input is copied into the tensors that work used, which cannot be
// released until the graph is closed. Memory that work allocates or releases belongs to the
// graph until [Graph.Close].
//
// Work must not synchronize: calls that return numbers to the host, and copies from and
// to host memory other than a [HostBuffer], return an error. If work returns an error or
// panics, no graph is made and nothing is executed. No other goroutine may use the engine
// during the capture. Run work once before capturing it, so that its kernels are loaded
// and the pool has the memory.
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
		return errors.New("cuda: a capture is in progress already")
	}
	// The pool may return memory to the driver during the capture, when it cannot wait
	// for work that still uses it.
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

// endCapture ends the capture and makes the graph if keep is set.
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

// Launch enqueues the work of the graph.
func (g *Graph) Launch() error {
	e := g.owned.engine
	if e == nil {
		return errNotOpen
	}
	// The graph may contain evaluations. As in an evaluation, their lock comes before
	// those of with; otherwise Close could deadlock.
	e.evaluating.Lock()
	defer e.evaluating.Unlock()
	return g.owned.with(func(s session) error {
		if e.isCapturing() {
			return errors.New("cuda: a graph cannot be launched during a capture")
		}
		return s.launchGraph(g.executable)
	})
}

// String returns the graph's number, by which errors name it: the first capture of an engine
// makes graph 1.
func (g *Graph) String() string {
	if g.hold == nil {
		return "graph"
	}
	return fmt.Sprintf("graph %d of %v", g.hold.graph, g.owned.engine)
}

// Close waits for the device, frees the graph and returns its memory to the engine, except
// for tensors that its work made and that have not been released. Closing again does
// nothing.
func (g *Graph) Close() error { return g.owned.close() }
