//go:build onednn

package onednn

// #include <stdlib.h>
import "C"

import (
	"errors"
	"math/bits"
	"runtime"
	"sync"
	"unsafe"
)

// alignment is that of every buffer: a cache line, and a vector.
const alignment = 64

// buffer is a piece of C memory. Arrays and formulas that point to it count as
// users; the last one to drop it gives it back to the pool.
type buffer struct {
	p     unsafe.Pointer
	bytes int // asked for
	size  int // of the memory, a class
	users int
	kept  bool // given back when nothing refers to it, whatever users says
}

// floats returns the buffer for C.
func (m *buffer) floats() *C.float { return (*C.float)(m.p) }

// pool keeps buffers for reuse. One that is put back may still be used by work
// that is queued already; whoever gets it next queues behind that.
//
// Networks and volumes of other shapes want buffers of other sizes. They share
// those that are up to twice as large, and what lies unused is at most as much as
// was ever in use at once: beyond that it is freed, behind the queued work.
type pool struct {
	later func(func()) // queues

	mu   sync.Mutex
	free map[int][]unsafe.Pointer // by size class
	all  map[unsafe.Pointer]struct{}

	held, unused, peak int // bytes; peak is the most in use at once
}

// spare is how much may lie unused in any case.
const spare = 256 << 20

var errMemory = errors.New("out of memory")

// class rounds a number of bytes up to one of eight sizes per power of two, so
// that the buffers of volumes that differ a little can stand in for each other.
func class(bytes int) int {
	const least = 1024
	if bytes <= least {
		return least
	}
	step := 1 << (bits.Len(uint(bytes-1)) - 4)
	return (bytes + step - 1) / step * step
}

// get returns a buffer with arbitrary content.
func (p *pool) get(bytes int) (*buffer, error) { return p.take(bytes, 2) }

// take returns a buffer whose memory is at most so many times as large as needed.
func (p *pool) take(bytes, times int) (*buffer, error) {
	size := class(bytes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if has := p.fits(size, times); has != 0 {
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
	m := C.aligned_alloc(alignment, C.size_t(size))
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

// fits returns the smallest class of a free buffer, of those from size to so many
// times that; 0 if there is none.
func (p *pool) fits(size, times int) (best int) {
	if len(p.free[size]) > 0 {
		return size
	}
	for has, list := range p.free {
		if len(list) > 0 && has > size && has <= times*size && (best == 0 || has < best) {
			best = has
		}
	}
	return best
}

// trim frees what is unused.
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

// drop gives up one use of a buffer.
func (p *pool) drop(m *buffer) {
	if m == nil || m.kept {
		return
	}
	if m.users--; m.users == 0 {
		p.put(m.p, m.size)
	}
}

// put takes back the memory of a buffer.
func (p *pool) put(m unsafe.Pointer, size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == nil {
		p.free = map[int][]unsafe.Pointer{}
	}
	p.free[size] = append(p.free[size], m)
	p.unused += size
}

// keep returns a buffer that goes back to the pool when nothing refers to it. It
// takes no larger one: that would be missing as long as this is kept.
func (p *pool) keep(bytes int) (*buffer, error) {
	m, err := p.take(bytes, 1)
	if err == nil {
		m.kept = true
		at, size := m.p, m.size
		runtime.AddCleanup(m, func(at unsafe.Pointer) { p.put(at, size) }, at)
	}
	return m, err
}

// release frees all memory; nothing may use any of it.
func (p *pool) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.all {
		C.free(m)
	}
	p.all, p.free = nil, nil
	p.held, p.unused = 0, 0
}
