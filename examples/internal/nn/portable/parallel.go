package portable

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// parallel calls f for every i < n on workers(n) goroutines. worker identifies the goroutine,
// from 0 to workers(n)-1, so that each can have its own scratch memory. The effect of f for i
// must not depend on the worker or on the order, so that the results do not depend on the
// number of goroutines.
func parallel(n int, f func(i, worker int)) {
	w := workers(n)
	if w == 1 {
		for i := range n {
			f(i, 0)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	run := func(worker int) {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(i, worker)
		}
	}
	for worker := 1; worker < w; worker++ {
		wg.Go(func() { run(worker) })
	}
	run(0)
	wg.Wait()
}

// workers returns the number of goroutines that parallel uses for n calls.
func workers(n int) int { return max(1, min(n, runtime.GOMAXPROCS(0))) }

// chunk is the number of elements that elementwise loops process per call of f.
const chunk = 1 << 15

// parallelRange calls f for consecutive ranges that together cover [0, n).
func parallelRange(n int, f func(from, to int)) {
	parallel((n+chunk-1)/chunk, func(i, _ int) { f(i*chunk, min(n, (i+1)*chunk)) })
}
