package dataset

import (
	"context"
	"sync"
)

// Ahead is a sequence of values that goroutines compute in the background, in parallel and a
// bounded number ahead of its reader, who gets them in order. Its methods are for one goroutine.
type Ahead[T any] struct {
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	discard func(value T)

	// queue has one channel for each value, in order, which buffers the value, so that no
	// goroutine ever waits for the reader.
	queue chan chan result[T]
	// room has an entry for each value that is computed and that the reader has not left.
	room chan struct{}

	left    int            // values that Next has not returned
	reading bool           // the reader has not left the last value
	head    chan result[T] // of the next value, taken from queue
	ready   *result[T]     // the next value, taken from head
}

type result[T any] struct {
	value T
	err   error
}

// startAhead begins to compute load(0) … load(n-1), up to workers of them at a time and up to
// ahead of them beyond the one that the reader works on or waits for. discard, which may be nil,
// is called for values that are never returned.
func startAhead[T any](ctx context.Context, n, workers, ahead int, load func(int) (T, error), discard func(T)) *Ahead[T] {
	a := &Ahead[T]{queue: make(chan chan result[T], ahead+1), room: make(chan struct{}, ahead+1), left: n, discard: discard}
	a.ctx, a.cancel = context.WithCancel(ctx)
	free := make(chan struct{}, workers)
	a.running.Go(func() {
		defer close(a.queue)
		for i := range n {
			for _, limit := range []chan struct{}{free, a.room} {
				select {
				case limit <- struct{}{}:
				case <-a.ctx.Done():
				}
			}
			// If ctx is done too, select may have chosen to continue.
			if a.ctx.Err() != nil {
				return
			}
			out := make(chan result[T], 1)
			a.queue <- out // does not block: it is as large as room
			a.running.Go(func() {
				defer func() { <-free }()
				value, err := load(i)
				out <- result[T]{value, err}
			})
		}
	})
	return a
}

// Next waits for the next value and returns it. ok is false after the last one, and after an
// error, which may be that of the context.
func (a *Ahead[T]) Next() (value T, err error, ok bool) {
	if a.reading {
		<-a.room
		a.reading = false
	}
	if a.left == 0 {
		return value, nil, false
	}
	a.receive(true)
	if err := a.ctx.Err(); err != nil {
		a.left = 0
		return value, err, true
	}
	r := *a.ready
	a.ready, a.reading = nil, true
	a.left--
	if r.err != nil {
		a.left = 0
	}
	return r.value, r.err, true
}

// Ready reports whether Next returns without waiting.
func (a *Ahead[T]) Ready() bool {
	a.receive(false)
	return a.ready != nil || a.left == 0 || a.ctx.Err() != nil
}

// Peek returns the value that Next will return, if it is ready and not an error.
func (a *Ahead[T]) Peek() (value T, ok bool) {
	a.receive(false)
	if a.ready == nil || a.ready.err != nil {
		return value, false
	}
	return a.ready.value, true
}

// receive takes the next result from its channel: if wait is set, once it is there or the
// context is done, and otherwise only if it is there.
func (a *Ahead[T]) receive(wait bool) {
	if a.ready != nil || a.left == 0 {
		return
	}
	if a.head == nil && wait {
		a.head = <-a.queue // which the dispatcher closes early if the context is done
	} else if a.head == nil {
		select {
		case a.head = <-a.queue:
		default:
		}
	}
	if a.head == nil {
		return
	}
	var r result[T]
	if wait {
		select {
		case r = <-a.head:
		case <-a.ctx.Done():
			return
		}
	} else {
		select {
		case r = <-a.head:
		default:
			return
		}
	}
	a.ready, a.head = &r, nil
}

// Close ends the sequence. When it returns, the goroutines that serve it have ended too: load
// cannot be interrupted, so it waits for the calls in progress, at most one for each worker.
// Closing again does nothing.
func (a *Ahead[T]) Close() {
	a.cancel()
	a.running.Wait()
	drop := func(r result[T]) {
		if r.err == nil && a.discard != nil {
			a.discard(r.value)
		}
	}
	if a.ready != nil {
		drop(*a.ready)
	}
	if a.head != nil {
		drop(<-a.head)
	}
	for out := range a.queue {
		drop(<-out)
	}
	a.ready, a.head, a.left = nil, nil, 0
}
