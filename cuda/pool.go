package cuda

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/sizeclass"
)

// MemoryStats counts an engine's device memory in bytes, each block as large as
// it is in the pool: at most an eighth larger than was asked for, or 511 bytes.
type MemoryStats struct {
	InUse        int64 // by tensors, by graphs, and by the engine itself
	Reserved     int64 // taken from the driver: in use, or kept for reuse
	PeakInUse    int64
	PeakReserved int64
}

// deviceMemory is what a pool needs of a session.
type deviceMemory interface {
	alloc(bytes int64) (uintptr, error)
	free(address uintptr) error
	memoryInfo() (free, total int64, err error)
	synchronize() error
}

// pool keeps device memory for reuse, since asking the driver waits for the
// device. A block that is given back may still be used by work that is enqueued
// already; whoever gets it next enqueues behind that, on the same stream.
type pool struct {
	device deviceMemory

	mu      sync.Mutex
	blocks  []*block           // all, by address
	free    map[int64][]*block // by size
	capture *hold              // of the graph that is being captured, or nil
	stats   MemoryStats
}

// block is memory as the driver gave it.
type block struct {
	address uintptr
	size    int64
	used    bool
	hold    *hold // the graph that it stays with
}

func (b *block) end() uintptr { return b.address + uintptr(b.size) }

// hold is the memory of a graph. What was allocated or given back while the graph
// was captured is written each time that it is launched, so nobody else may have
// it as long as the graph lives; within the capture it is reused.
type hold struct {
	free map[int64][]*block
}

func newPool(device deviceMemory) *pool {
	return &pool{device: device, free: map[int64][]*block{}}
}

const (
	leastBlock = 512
	mostBlock  = 1 << 46 // more than any device has
)

// blockSize is the size of the block that holds so many bytes: their size class.
func blockSize(bytes int64) int64 { return sizeclass.Round(bytes, leastBlock) }

// alloc returns the address of memory with arbitrary content.
func (p *pool) alloc(bytes int64) (uintptr, error) {
	if bytes <= 0 {
		return 0, plan.Refuse("number of bytes", bytes, "at least 1")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := p.get(bytes)
	if err != nil {
		return 0, err
	}
	b.used = true
	return b.address, nil
}

// get finds or makes a block that is not used.
func (p *pool) get(bytes int64) (*block, error) {
	if bytes > mostBlock {
		return nil, p.outOfMemory(bytes)
	}
	size := blockSize(bytes)
	if p.capture != nil {
		if b := pop(p.capture.free, size); b != nil {
			return b, nil // counted as in use all the time
		}
	}
	b := pop(p.free, size)
	if b == nil {
		var err error
		if b, err = p.grow(size, bytes); err != nil {
			return nil, err
		}
	}
	b.hold = p.capture
	p.stats.InUse += size
	p.stats.PeakInUse = max(p.stats.PeakInUse, p.stats.InUse)
	return b, nil
}

func pop(free map[int64][]*block, size int64) *block {
	list := free[size]
	if len(list) == 0 {
		return nil
	}
	b := list[len(list)-1]
	free[size] = list[:len(list)-1]
	return b
}

// grow takes a block from the driver.
func (p *pool) grow(size, wanted int64) (*block, error) {
	address, err := p.device.alloc(size)
	if isOutOfMemory(err) {
		if err := p.trim(); err != nil {
			return nil, err
		}
		if address, err = p.device.alloc(size); isOutOfMemory(err) {
			return nil, p.outOfMemory(wanted)
		}
	}
	if err != nil {
		return nil, err
	}
	b := &block{address: address, size: size}
	i, _ := p.search(address)
	p.blocks = slices.Insert(p.blocks, i, b)
	p.stats.Reserved += size
	p.stats.PeakReserved = max(p.stats.PeakReserved, p.stats.Reserved)
	return b, nil
}

func isOutOfMemory(err error) bool {
	var e *DriverError
	return errors.As(err, &e) && e.Code == codeOutOfMemory
}

func (p *pool) outOfMemory(wanted int64) error {
	e := &OutOfMemoryError{Wanted: wanted, InUse: p.stats.InUse, Reserved: p.stats.Reserved}
	var err error
	if e.Free, e.Total, err = p.device.memoryInfo(); err != nil {
		return errors.Join(e, err)
	}
	return e
}

// trim gives the blocks that nobody uses back to the driver.
func (p *pool) trim() error {
	// A stream that is captured cannot be waited for, and need not: what is free
	// outside the graph was so when the capture began, which had waited.
	if p.capture == nil {
		if err := p.device.synchronize(); err != nil {
			return err
		}
	}
	for size, list := range p.free {
		for len(list) > 0 {
			b := list[len(list)-1]
			if err := p.device.free(b.address); err != nil {
				return err
			}
			list = list[:len(list)-1]
			p.free[size] = list
			p.forget(b)
		}
		delete(p.free, size)
	}
	return nil
}

func (p *pool) forget(b *block) {
	i, _ := p.search(b.address)
	p.blocks = slices.Delete(p.blocks, i, i+1)
	p.stats.Reserved -= b.size
}

// search returns where a block of an address is, or would be.
func (p *pool) search(address uintptr) (int, bool) {
	return slices.BinarySearchFunc(p.blocks, address, func(b *block, a uintptr) int { return cmp.Compare(b.address, a) })
}

// find returns the block that an address lies in, or nil.
func (p *pool) find(address uintptr) *block {
	i, found := p.search(address)
	if !found {
		i--
	}
	if i < 0 || address >= p.blocks[i].end() {
		return nil
	}
	return p.blocks[i]
}

// Why an address is not one that was asked for.
var (
	errNotHere  = errors.New("not this engine's")
	errInterior = errors.New("a part of a larger allocation")
	errReleased = errors.New("released already")
)

// release takes a block back. bytes is how many its owner takes it for, or 0.
func (p *pool) release(address uintptr, bytes int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.find(address)
	switch {
	case b == nil:
		return errNotHere
	case !b.used:
		return errReleased
	case b.address != address || bytes != 0 && blockSize(bytes) != b.size:
		return errInterior
	}
	b.used = false
	if b.hold == nil {
		b.hold = p.capture
	}
	if b.hold != nil {
		b.hold.free[b.size] = append(b.hold.free[b.size], b)
		return nil
	}
	p.recycle(b)
	return nil
}

func (p *pool) recycle(b *block) {
	p.free[b.size] = append(p.free[b.size], b)
	p.stats.InUse -= b.size
}

// check says whether memory is in use, and all of it in one block.
func (p *pool) check(address uintptr, bytes int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch b := p.find(address); {
	case b == nil || bytes > int64(b.end()-address):
		return errNotHere
	case !b.used:
		return errReleased
	}
	return nil
}

// beginCapture makes what is allocated and released from now on a graph's.
func (p *pool) beginCapture() *hold {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.capture = &hold{free: map[int64][]*block{}}
	return p.capture
}

func (p *pool) endCapture() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.capture = nil
}

// drop ends a graph's hold: what it kept is free, and what is used of it is like
// any other memory.
func (p *pool) drop(h *hold) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.blocks {
		if b.hold != h {
			continue
		}
		b.hold = nil
		if !b.used {
			p.recycle(b)
		}
	}
	clear(h.free)
}

// statistics returns the counts.
func (p *pool) statistics() MemoryStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// close gives all memory back to the driver and returns the first failure.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first error
	for _, b := range p.blocks {
		if err := p.device.free(b.address); err != nil && first == nil {
			first = err
		}
	}
	p.blocks, p.free = nil, map[int64][]*block{}
	p.stats.InUse, p.stats.Reserved = 0, 0
	return first
}
