package portable

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// parallel calls f for every i below n, on as many goroutines as may run at
// once. worker identifies the goroutine, from 0 to workers(n)-1, so that f can
// have scratch memory of its own. What f does for i must not depend on the
// worker nor on the order; then the results do not depend on the number of
// goroutines either.
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

// workers returns how many goroutines parallel uses for n pieces of work.
func workers(n int) int { return max(1, min(n, runtime.GOMAXPROCS(0))) }

// chunk is the number of elements that elementwise loops give to a goroutine
// at a time.
const chunk = 1 << 15

// parallelRange calls f for consecutive ranges that together cover [0, n).
func parallelRange(n int, f func(from, to int)) {
	parallel((n+chunk-1)/chunk, func(i, _ int) { f(i*chunk, min(n, (i+1)*chunk)) })
}
