// Package parallel distributes independent units of work over goroutines.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Do runs every unit in [0, units) once, on at most GOMAXPROCS goroutines, the
// caller's among them, which take units in order. Each goroutine has its own body,
// which may hold scratch memory: newBody is called once per goroutine, sequentially,
// before any unit runs.
func Do(units int, newBody func() func(unit int)) {
	workers := min(units, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		body := newBody()
		for unit := range units {
			body(unit)
		}
		return
	}
	bodies := make([]func(int), workers)
	for i := range bodies {
		bodies[i] = newBody()
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	work := func(body func(int)) {
		for unit := int(next.Add(1)) - 1; unit < units; unit = int(next.Add(1)) - 1 {
			body(unit)
		}
	}
	for _, body := range bodies[1:] {
		wg.Go(func() { work(body) })
	}
	// The caller takes part: on a busy machine it need not wait for a thread to start.
	work(bodies[0])
	wg.Wait()
}

// Try is [Do] for work that can fail. If several units fail, it returns the error
// of the lowest one regardless of scheduling; units above it may not have run.
func Try(units int, newBody func() func(unit int) error) error {
	var (
		mu     sync.Mutex
		first  error
		failed atomic.Int64 // the lowest unit that has failed so far
	)
	failed.Store(int64(units))
	Do(units, func() func(int) {
		body := newBody()
		return func(unit int) {
			if int64(unit) > failed.Load() {
				return
			}
			if err := body(unit); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if int64(unit) < failed.Load() {
					failed.Store(int64(unit))
					first = err
				}
			}
		}
	})
	return first
}
