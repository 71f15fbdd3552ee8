package cuda

import (
	"sync"
	"unsafe"
)

// result is the layout in device memory of a loss value and the first element rejected
// in its computation.
type result struct {
	value   float64
	verdict status
}

const (
	resultBytes   = int64(unsafe.Sizeof(result{}))
	verdictOffset = unsafe.Offsetof(result{}.verdict)
)

// The pool rounds a result and its 8-byte value tensor to the same size, so the tensor
// can be released like any other.
var _ = [leastBytes]struct{}{}[resultBytes]

// results is the set of addresses of an engine's scalars that are the value of a
// [result].
type results struct {
	mu sync.Mutex
	at map[uintptr]struct{}
}

func (r *results) add(address uintptr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[uintptr]struct{}{}
	}
	r.at[address] = struct{}{}
}

func (r *results) has(address uintptr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, found := r.at[address]
	return found
}

func (r *results) remove(address uintptr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.at, address)
}

// recycle returns memory to the pool and removes its address from the results; bytes is
// its size as its owner knows it, or 0. One lock covers both steps, so that the next
// owner of the memory cannot add the address in between.
func (e *Engine) recycle(address uintptr, bytes int64) error {
	e.results.mu.Lock()
	defer e.results.mu.Unlock()
	err := e.pool.release(address, bytes)
	if err == nil {
		delete(e.results.at, address)
	}
	return err
}
