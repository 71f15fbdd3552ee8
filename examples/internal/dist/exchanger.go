package dist

// exchanger performs the operations of a transport in the order in which they are queued, in a
// goroutine of its own.
type exchanger struct {
	transport Transport
	queue     chan func(Transport)
}

func newExchanger(t Transport) *exchanger {
	e := &exchanger{t, make(chan func(Transport), 64)}
	go func() {
		for f := range e.queue {
			f(e.transport)
		}
	}()
	return e
}

// do waits for an operation.
func (e *exchanger) do(f func(Transport) error) error {
	e.transport.Hurry(true)
	defer e.transport.Hurry(false)
	done := make(chan error, 1)
	e.queue <- func(t Transport) { done <- f(t) }
	return <-done
}
