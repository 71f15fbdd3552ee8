package cuda

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/sizeclass"
)

// MemoryStats counts an engine's device memory in bytes. Each allocation counts with its
// size in the pool, which exceeds the requested one by at most an eighth or 511 bytes.
type MemoryStats struct {
	InUse        int64 // by tensors, by graphs, and by the engine itself
	Reserved     int64 // allocated from the driver: in use or available for reuse
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

// pool retains device memory for reuse, since allocating from the driver synchronizes
// with the device. Pending work may still use a released allocation; its next owner's
// work is enqueued after it on the same stream.
type pool struct {
	device deviceMemory

	mu      sync.Mutex
	all     []*allocation           // by address
	free    map[int64][]*allocation // by size
	steps   map[int64][]*allocation // by size: free memory that steps have used
	step    bool                    // a step is in progress
	capture *hold                   // of the capture in progress, or nil
	graphs  int                     // captures so far
	grown   int                     // allocations from the driver so far
	stats   MemoryStats
}

// allocation is memory allocated from the driver.
type allocation struct {
	address uintptr
	size    int64
	used    bool
	number  int     // of all allocations so far
	step    bool    // used by steps
	foreign bool    // somebody else's, who frees it
	hold    *hold   // of the graph that it belongs to, or nil
	users   []*hold // of the graphs whose work uses it and that it does not belong to
}

func (a *allocation) end() uintptr { return a.address + uintptr(a.size) }

// hold is the memory of a graph. Memory that was allocated or released during the capture
// is written by each launch of the graph, so it is reserved for the graph as long as that
// exists, but can be reused within the capture.
type hold struct {
	graph   int // number of the graph on its engine
	free    map[int64][]*allocation
	dropped atomic.Bool // the graph is closed
}

func newPool(device deviceMemory) *pool {
	return &pool{device: device, free: map[int64][]*allocation{}, steps: map[int64][]*allocation{}}
}

const (
	leastBytes = 512
	mostBytes  = 1 << 46 // more than the memory of any device
)

// roundedSize is the size in the pool of an allocation of so many bytes.
func roundedSize(bytes int64) int64 { return sizeclass.Round(bytes, leastBytes) }

// alloc returns the address of uninitialized memory.
func (p *pool) alloc(bytes int64) (uintptr, error) { return p.take(bytes, p.get) }

// keep is alloc for memory that outlives the step that allocates it.
func (p *pool) keep(bytes int64) (uintptr, error) { return p.take(bytes, p.getGeneral) }

func (p *pool) take(bytes int64, get func(bytes int64) (*allocation, error)) (uintptr, error) {
	if bytes <= 0 {
		return 0, plan.Refuse("number of bytes", bytes, "at least 1")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := get(bytes)
	if err != nil {
		return 0, err
	}
	a.used = true
	return a.address, nil
}

// beginStep starts a step. Its memory is what earlier steps have used, in a fixed order, so that
// equal steps have equal addresses, and more if it needs more.
func (p *pool) beginStep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = true
	for _, list := range p.steps {
		slices.SortFunc(list, func(a, b *allocation) int { return cmp.Compare(b.number, a.number) })
	}
}

func (p *pool) endStep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = false
}

// get finds an unused allocation or makes a new one. Outside of steps the memory of steps comes
// second.
func (p *pool) get(bytes int64) (*allocation, error) {
	size := roundedSize(min(bytes, mostBytes))
	if p.step {
		if a := pop(p.steps, size); a != nil {
			p.count(a)
			return a, nil
		}
		a, err := p.getGeneral(bytes)
		if err == nil {
			a.step = true
		}
		return a, err
	}
	if len(p.free[size]) == 0 && p.capture == nil {
		if a := pop(p.steps, size); a != nil {
			p.count(a)
			return a, nil
		}
	}
	return p.getGeneral(bytes)
}

// getGeneral is get without the memory of steps.
func (p *pool) getGeneral(bytes int64) (*allocation, error) {
	if bytes > mostBytes {
		return nil, p.outOfMemory(bytes)
	}
	size := roundedSize(bytes)
	if p.capture != nil {
		if a := pop(p.capture.free, size); a != nil {
			return a, nil // it has been counted as in use all along
		}
	}
	a := pop(p.free, size)
	if a == nil {
		var err error
		if a, err = p.grow(size, bytes); err != nil {
			return nil, err
		}
	}
	a.hold = p.capture
	p.count(a)
	return a, nil
}

// count counts an allocation as in use.
func (p *pool) count(a *allocation) {
	p.stats.InUse += a.size
	p.stats.PeakInUse = max(p.stats.PeakInUse, p.stats.InUse)
}

func pop(free map[int64][]*allocation, size int64) *allocation {
	list := free[size]
	if len(list) == 0 {
		return nil
	}
	a := list[len(list)-1]
	free[size] = list[:len(list)-1]
	return a
}

// grow allocates from the driver.
func (p *pool) grow(size, wanted int64) (*allocation, error) {
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
	p.grown++
	a := &allocation{address: address, size: size, number: p.grown}
	// Where the driver gives out an address, the owner of foreign memory there has freed it.
	p.all = slices.DeleteFunc(p.all, func(b *allocation) bool { return b.foreign && a.overlaps(b) })
	p.insert(a)
	p.stats.Reserved += size
	p.stats.PeakReserved = max(p.stats.PeakReserved, p.stats.Reserved)
	return a, nil
}

func (p *pool) insert(a *allocation) {
	i, _ := p.search(a.address)
	p.all = slices.Insert(p.all, i, a)
}

func (a *allocation) overlaps(b *allocation) bool { return a.address < b.end() && b.address < a.end() }

// adopt adds memory that somebody else allocated, which is in use from now on.
func (p *pool) adopt(address uintptr, bytes int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &allocation{address: address, size: bytes, used: true, foreign: true}
	for _, b := range p.all {
		switch {
		case !a.overlaps(b):
		case b.foreign:
			return errWrapped
		default:
			return errOwn
		}
	}
	p.insert(a)
	return nil
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

// trim returns unused memory to the driver.
func (p *pool) trim() error {
	// During a capture the stream cannot be synchronized. It need not be: what is free
	// outside the graph was free when the capture began, after a synchronization.
	if p.capture == nil {
		if err := p.device.synchronize(); err != nil {
			return err
		}
	}
	for _, free := range []map[int64][]*allocation{p.free, p.steps} {
		for size, list := range free {
			for len(list) > 0 {
				a := list[len(list)-1]
				if err := p.device.free(a.address); err != nil {
					return err
				}
				list = list[:len(list)-1]
				free[size] = list
				p.forget(a)
			}
			delete(free, size)
		}
	}
	return nil
}

func (p *pool) forget(a *allocation) {
	i, _ := p.search(a.address)
	p.all = slices.Delete(p.all, i, i+1)
	p.stats.Reserved -= a.size
}

// search returns the index at which an allocation with an address is or would be.
func (p *pool) search(address uintptr) (int, bool) {
	return slices.BinarySearchFunc(p.all, address, func(a *allocation, at uintptr) int { return cmp.Compare(a.address, at) })
}

// find returns the allocation that contains an address, or nil.
func (p *pool) find(address uintptr) *allocation {
	i, found := p.search(address)
	if !found {
		i--
	}
	if i < 0 || address >= p.all[i].end() {
		return nil
	}
	return p.all[i]
}

// Reasons why an address cannot be used, which complete the sentence "memory is …".
var (
	errNotHere  = errors.New("not this engine's")
	errInterior = errors.New("a part of a larger allocation")
	errReleased = errors.New("released already")
	errWrapped  = errors.New("wrapped already")
	errOwn      = errors.New("this engine's own")
)

// usedError says that a graph that has not been closed uses memory.
type usedError struct{ graph int }

func (e *usedError) Error() string {
	return fmt.Sprintf("used by graph %d of this engine, which is not closed", e.graph)
}

// release takes memory back. bytes is its size as its owner knows it, or 0. What a capture
// releases belongs to its graph, even if its work used it before.
func (p *pool) release(address uintptr, bytes int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.find(address)
	switch {
	case a == nil:
		return errNotHere
	case !a.used:
		return errReleased
	case a.address != address || bytes != 0 && !a.is(bytes):
		return errInterior
	}
	for _, h := range a.users {
		if h != p.capture || a.foreign {
			return &usedError{h.graph}
		}
	}
	if a.foreign {
		i, _ := p.search(address)
		p.all = slices.Delete(p.all, i, i+1)
		return nil
	}
	a.used = false
	if a.hold == nil {
		a.hold = p.capture
	}
	if a.hold != nil {
		a.hold.free[a.size] = append(a.hold.free[a.size], a)
		return nil
	}
	p.recycle(a)
	return nil
}

// is reports whether an allocation is that of so many bytes.
func (a *allocation) is(bytes int64) bool {
	if a.foreign {
		return bytes == a.size
	}
	return roundedSize(bytes) == a.size
}

func (p *pool) recycle(a *allocation) {
	free := p.free
	if a.step {
		free = p.steps
	}
	free[a.size] = append(free[a.size], a)
	p.stats.InUse -= a.size
}

// check returns an error unless memory is in use and part of a single allocation. During a
// capture it records that the graph uses the memory.
func (p *pool) check(address uintptr, bytes int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch a := p.find(address); {
	case a == nil || bytes > int64(a.end()-address):
		return errNotHere
	case !a.used:
		return errReleased
	case p.capture != nil && a.hold != p.capture && !slices.Contains(a.users, p.capture):
		a.users = append(a.users, p.capture)
	}
	return nil
}

// beginCapture starts a hold, which memory allocated and released from now on belongs to.
func (p *pool) beginCapture() *hold {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.graphs++
	p.capture = &hold{graph: p.graphs, free: map[int64][]*allocation{}}
	return p.capture
}

// capturing returns the hold of the capture in progress, or nil.
func (p *pool) capturing() *hold {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.capture
}

func (p *pool) endCapture() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.capture = nil
}

// drop ends a hold: its unused memory is free, and the rest is like any other memory.
func (p *pool) drop(h *hold) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.all {
		a.users = slices.DeleteFunc(a.users, func(user *hold) bool { return user == h })
		if a.hold != h {
			continue
		}
		a.hold = nil
		if !a.used {
			p.recycle(a)
		}
	}
	clear(h.free)
	h.dropped.Store(true)
}

// statistics returns the current counts.
func (p *pool) statistics() MemoryStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// close returns all memory to the driver and returns the first failure.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first error
	for _, a := range p.all {
		if a.foreign {
			continue
		}
		if err := p.device.free(a.address); err != nil && first == nil {
			first = err
		}
	}
	p.all, p.free, p.steps = nil, map[int64][]*allocation{}, map[int64][]*allocation{}
	p.stats.InUse, p.stats.Reserved = 0, 0
	return first
}
