package cuda

import (
	"errors"
	"fmt"
)

// step runs a function whose work is enqueued together, once it returns or needs the results of
// some of it. Work that equals that of an earlier step is launched as a graph, see repeater.
func (e *Engine) step(work func() error) error {
	if err := e.beginStep(); err != nil {
		return err
	}
	finished := false
	defer func() {
		if !finished { // work panics
			e.endStep()
		}
	}()
	failed := work()
	finished = true
	return errors.Join(failed, e.endStep())
}

func (e *Engine) beginStep() error {
	if e.isCapturing() {
		return errors.New("cuda: a step cannot begin during a capture")
	}
	if e.inStep() {
		return errors.New("cuda: a step is in progress already")
	}
	if err := e.beginReport(); err != nil {
		return err
	}
	err := e.do(func(session) error {
		e.pool.beginStep()
		e.session.begin()
		return nil
	})
	if err != nil {
		e.reports.open = nil
	}
	return err
}

func (e *Engine) inStep() bool { return e.reports.open != nil }

func (e *Engine) endStep() error {
	err := e.do(func(session) error { return e.session.end() })
	e.pool.endStep()
	return errors.Join(err, e.endReport(), e.nextInputs())
}

// describeSteps says how the work of steps was enqueued.
func (e *Engine) describeSteps() string {
	e.session.mu.Lock()
	defer e.session.mu.Unlock()
	s := e.session.stats
	if s.graphs+s.single == 0 {
		return ""
	}
	text := fmt.Sprintf("work of steps: %d of %d times launched as one of %d graphs", s.graphs, s.graphs+s.single, s.captured)
	if s.why != "" {
		text += "; the last time that it was not, " + s.why
	}
	return text
}
