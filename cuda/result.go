package cuda

import (
	"sync"
	"unsafe"
)

// result is a loss's value and what was refused on the way to it, as they lie in
// device memory.
type result struct {
	value   float64
	verdict status
}

const (
	resultBytes   = int64(unsafe.Sizeof(result{}))
	verdictOffset = unsafe.Offsetof(result{}.verdict)
)

// A result and its value, which is a tensor of 8 bytes, are of one size in the pool,
// which therefore takes the tensor back.
var _ = [leastBlock]struct{}{}[resultBytes]

// results are the addresses at which the scalars of an engine are the values of a
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

// recycle gives memory back to the pool, where bytes is how many its owner takes it
// for, or 0. Both happen under one lock: whoever gets the memory next enters its
// address after it is forgotten, not before.
func (e *Engine) recycle(address uintptr, bytes int64) error {
	e.results.mu.Lock()
	defer e.results.mu.Unlock()
	err := e.pool.release(address, bytes)
	if err == nil {
		delete(e.results.at, address)
	}
	return err
}
