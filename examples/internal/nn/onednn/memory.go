//go:build onednn

package onednn

// #include "memory.h"
// #include <stdlib.h>
import "C"

import (
	"errors"
	"runtime"
	"sync"
	"unsafe"

	"github.com/x/afl/internal/sizeclass"
)

// buffer is a block of C memory with a reference count. The last array or formula
// to drop it returns it to the pool.
type buffer struct {
	p         unsafe.Pointer
	bytes     int // requested
	size      int // allocated: the size class
	users     int
	collected bool // returned when the garbage collector finds it unreachable; see keep
	cleanup   runtime.Cleanup
}

// floats returns the buffer for C.
func (m *buffer) floats() *C.float { return (*C.float)(m.p) }

// pool reuses buffers. A returned buffer may still be in use by queued work; work
// of its next user is queued behind that.
//
// Networks and volumes of other shapes need buffers of other sizes. A buffer may
// be up to twice as large as requested, and unused memory is limited to the peak of
// what was in use at once: beyond that it is freed, after the queued work.
type pool struct {
	later func(func()) // queues a function behind the work

	mu   sync.Mutex
	free map[int][]unsafe.Pointer // by size class
	all  map[unsafe.Pointer]struct{}

	held, unused, peak int // bytes: allocated, in free, and the most ever in use at once
}

// spare is the unused memory in bytes that is allowed whatever the peak.
const spare = 256 << 20

var errMemory = errors.New("out of memory")

// class is the size class of a buffer.
func class(bytes int) int {
	const granule = 1024
	return sizeclass.Round(bytes, granule)
}

// get returns a buffer with arbitrary content.
func (p *pool) get(bytes int) (*buffer, error) { return p.take(bytes, 2) }

// take returns a buffer of at most limit times the size class of the requested
// bytes.
func (p *pool) take(bytes, limit int) (*buffer, error) {
	size := class(bytes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if has := p.fits(size, limit); has != 0 {
		list := p.free[has]
		m := list[len(list)-1]
		p.free[has] = list[:len(list)-1]
		p.unused -= has
		p.peak = max(p.peak, p.held-p.unused)
		return &buffer{p: m, bytes: bytes, size: has, users: 1}, nil
	}
	if p.unused > max(p.peak, spare) {
		p.trim()
	}
	m := C.memory_alloc(C.size_t(size))
	if m == nil {
		return nil, errMemory
	}
	if p.all == nil {
		p.all = map[unsafe.Pointer]struct{}{}
	}
	p.all[m] = struct{}{}
	p.held += size
	p.peak = max(p.peak, p.held-p.unused)
	return &buffer{p: m, bytes: bytes, size: size, users: 1}, nil
}

// fits returns the smallest class from size to limit·size that has a free buffer, 0
// if there is none.
func (p *pool) fits(size, limit int) (best int) {
	if len(p.free[size]) > 0 {
		return size
	}
	for has, list := range p.free {
		if len(list) > 0 && has > size && has <= limit*size && (best == 0 || has < best) {
			best = has
		}
	}
	return best
}

// trim frees the unused memory.
func (p *pool) trim() {
	unused := p.free
	for _, list := range unused {
		for _, m := range list {
			delete(p.all, m)
		}
	}
	p.later(func() {
		for _, list := range unused {
			for _, m := range list {
				C.free(m)
			}
		}
	})
	p.held -= p.unused
	p.free, p.unused = nil, 0
}

// drop ends one use of a buffer.
func (p *pool) drop(m *buffer) {
	if m == nil {
		return
	}
	if m.users--; m.users == 0 {
		if m.collected {
			m.cleanup.Stop()
		}
		p.put(m.p, m.size)
	}
}

// put returns the memory of a buffer to the pool.
func (p *pool) put(m unsafe.Pointer, size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == nil {
		p.free = map[int][]unsafe.Pointer{}
	}
	p.free[size] = append(p.free[size], m)
	p.unused += size
}

// keep returns a buffer that goes back to the pool when it is unreachable, unless it is
// dropped before. It never takes a larger one, which others would be short of for a long
// time.
func (p *pool) keep(bytes int) (*buffer, error) {
	m, err := p.take(bytes, 1)
	if err == nil {
		m.collected = true
		at, size := m.p, m.size
		m.cleanup = runtime.AddCleanup(m, func(at unsafe.Pointer) { p.put(at, size) }, at)
	}
	return m, err
}

// release frees all memory, which must no longer be in use.
func (p *pool) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.all {
		C.free(m)
	}
	p.all, p.free = nil, nil
	p.held, p.unused = 0, 0
}
