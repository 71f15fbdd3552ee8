// Package parallel distributes independent units of work over goroutines.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Order is the order in which a goroutine takes its units.
type Order bool

// The orders.
const (
	Forwards  Order = false
	Backwards Order = true
)

// Do runs every unit in [0, units) once, on at most GOMAXPROCS goroutines, the
// caller's among them. Each has a range of the units, which it takes in order, and then
// takes over what is left of the others'. So calls with as many units mostly give a core
// the same ones, which are then in its cache. Each goroutine has its own body,
// which may hold scratch memory: newBody is called once per goroutine, sequentially,
// before any unit runs.
func Do(units int, newBody func() func(unit int)) { do(units, Forwards, newBody) }

// Each calls f for every unit in [0, units) once, as [Do] does for one that needs no scratch
// memory.
func Each(units int, f func(unit int)) { Do(units, func() func(int) { return f }) }

func do(units int, order Order, newBody func() func(unit int)) {
	workers := min(units, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		body := newBody()
		for i := range units {
			if order == Backwards {
				i = units - 1 - i
			}
			body(i)
		}
		return
	}
	bodies := make([]func(int), workers)
	for i := range bodies {
		bodies[i] = newBody()
	}
	taken := make([]struct {
		atomic.Int64          // units of a goroutine's range
		_            [56]byte // a cache line for each
	}, workers)
	work := func(worker int) {
		body := bodies[worker]
		for i := range workers {
			of := (worker + i) % workers
			lo, hi := of*units/workers, (of+1)*units/workers
			for n := int(taken[of].Add(1)) - 1; n < hi-lo; n = int(taken[of].Add(1)) - 1 {
				if order == Backwards {
					body(hi - 1 - n)
				} else {
					body(lo + n)
				}
			}
		}
	}
	var (
		wg   sync.WaitGroup
		left atomic.Int64 // workers that have not finished
	)
	wg.Add(workers - 1)
	left.Store(int64(workers - 1))
	for worker := 1; worker < workers; worker++ {
		start(func() {
			defer func() {
				wg.Done()
				left.Add(-1)
			}()
			work(worker)
		})
	}
	// The caller takes part: on a busy machine it need not wait for a thread to start.
	work(0)
	if !spin(join, func() bool { return left.Load() == 0 }) {
		wg.Wait()
	}
}

// Whoever waits does so for a short time without giving up the thread, as waking one takes longer
// than many a piece of work: a goroutine that has done its work waits for more, as a loss shares
// work out several times, and a caller waits for the others, who finish soon after it unless the
// machine is busy.
const (
	linger = 50 * time.Microsecond
	join   = 20 * time.Microsecond
)

// spin waits until a condition holds, for a time at most, and reports whether it does.
func spin(most time.Duration, until func() bool) bool {
	for begin := time.Now(); time.Since(begin) < most; {
		for range 100 {
			if until() {
				return true
			}
		}
		runtime.Gosched() // to what else can run
	}
	return false
}

// waiting is the number of goroutines that wait for work, each of which receives from
// handed, unless it leaves: whoever lowers the number decides which.
var (
	waiting atomic.Int64
	handed  = make(chan func(), maxWaiting)
)

const maxWaiting = 256

// start runs work on a goroutine that waits for some, or on a new one.
func start(work func()) {
	if lower() {
		handed <- work // has room for all that wait
		return
	}
	go func() {
		for work != nil {
			work()
			work = next()
		}
	}()
}

// next waits for work. It returns nil if there is none for a while.
func next() func() {
	if waiting.Add(1) > maxWaiting {
		if lower() {
			return nil
		}
		return <-handed
	}
	var work func()
	if spin(linger, func() bool {
		if len(handed) == 0 {
			return false
		}
		select {
		case work = <-handed:
			return true
		default:
			return false
		}
	}) {
		return work
	}
	if lower() {
		return nil
	}
	return <-handed
}

// lower takes one off the number of those that wait, if there is one.
func lower() bool {
	for n := waiting.Load(); n > 0; n = waiting.Load() {
		if waiting.CompareAndSwap(n, n-1) {
			return true
		}
	}
	return false
}

// Try is [Do] for work that can fail. If several units fail, it returns the error
// of the lowest one regardless of scheduling; units above it may not have run.
func Try(units int, newBody func() func(unit int) error) error {
	return TryInOrder(units, Forwards, newBody)
}

// TryInOrder is [Try] in an order.
func TryInOrder(units int, order Order, newBody func() func(unit int) error) error {
	var (
		mu     sync.Mutex
		first  error
		failed atomic.Int64 // the lowest unit that has failed so far
	)
	failed.Store(int64(units))
	do(units, order, func() func(int) {
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
