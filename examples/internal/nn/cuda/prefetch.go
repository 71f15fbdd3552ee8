//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/cuda"
)

// prefetched copies the inputs of steps to the device: from pinned memory by a stream of its own to
// a landing place, of which there is one for each type and shape, and from there by the engine's
// stream to a place that steps read.
//
//	copy stream:      copy to landing   copied ┐   ┌ after used, copy to landing …
//	engine's stream:                           └ landing to place, used, the step
//
// A step so reads its input at the same address each time, and the next input is copied while it
// computes. Nothing waits on the host but Pin, for the end of the copy that its buffer was used for
// before.
type prefetched struct {
	engine *cuda.Engine

	mu     sync.Mutex
	stream *cuda.CopyStream // nil before the first copy
	before *cuda.Event      // recorded before a copy to memory of the step
	slots  []*slot
	pinned map[*tensor.Dense]*pinnedBuffer // in use
	free   []*pinnedBuffer
}

// slot is the landing place of inputs of a type and shape, and the place where steps read them.
type slot struct {
	landing, place *tensor.Dense
	used           *cuda.Event   // after the last use of landing on the engine's stream
	landed         *tensor.Dense // the pinned tensor that is in landing, or on its way, and not used yet
	placed         *tensor.Dense // the pinned tensor that is in place and not used yet
	taken          bool          // an array of the current step lies in place
}

// maxSlots limits the memory for inputs of different shapes. Further shapes are copied to arrays
// of the step.
const maxSlots = 8

// pinnedBuffer is pinned memory with an event after the last copy from it.
type pinnedBuffer struct {
	*cuda.HostBuffer
	bytes  int64
	copied *cuda.Event
	begun  bool // copied was recorded
}

// Pin implements nn.Prefetcher.
func (b *backend) Pin(t *tensor.Dense) (*tensor.Dense, error) {
	pinned, err := b.prefetched.pin(t)
	if err != nil {
		return nil, fmt.Errorf("nn/cuda: Pin: %w", err)
	}
	return pinned, nil
}

// Prefetch implements nn.Prefetcher.
func (b *backend) Prefetch(t *tensor.Dense) error {
	if err := b.prefetched.prefetch(t); err != nil {
		return fmt.Errorf("nn/cuda: Prefetch: %w", err)
	}
	return nil
}

// Unpin implements nn.Prefetcher.
func (b *backend) Unpin(t *tensor.Dense) { b.prefetched.unpin(t) }

// Synchronize implements nn.Synchronizer.
func (b *backend) Synchronize() error {
	if err := b.engine.Synchronize(); err != nil {
		return fmt.Errorf("nn/cuda: %w", err)
	}
	return nil
}

func (p *prefetched) pin(t *tensor.Dense) (*tensor.Dense, error) {
	if t == nil || len(t.Raw) == 0 {
		return nil, errors.New("the tensor is nil or empty, want one with elements")
	}
	if t.RequiresIterator() || t.IsMasked() {
		return nil, errors.New("the tensor is a view or masked, want a contiguous one")
	}
	b, err := p.buffer(int64(len(t.Raw)))
	if err != nil {
		return nil, err
	}
	if b.begun { // and ended long ago, unless the copies are what is slow
		err = b.copied.Synchronize()
	}
	var pinned *tensor.Dense
	if err == nil {
		pinned, err = b.Tensor(t.Dtype(), t.Shape()...)
	}
	if err == nil {
		copy(pinned.Raw, t.Raw)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.free = append(p.free, b)
		return nil, err
	}
	b.begun = false
	p.pinned[pinned] = b
	return pinned, nil
}

// buffer returns the smallest free buffer that is large enough and not much larger, or a new one.
func (p *prefetched) buffer(bytes int64) (*pinnedBuffer, error) {
	p.mu.Lock()
	best := -1
	for i, b := range p.free {
		if b.bytes >= bytes && b.bytes <= 2*bytes && (best < 0 || b.bytes < p.free[best].bytes) {
			best = i
		}
	}
	if best >= 0 {
		b := p.free[best]
		p.free = slices.Delete(p.free, best, best+1)
		p.mu.Unlock()
		return b, nil
	}
	p.mu.Unlock()
	memory, err := p.engine.NewHostBuffer(bytes)
	if err != nil {
		return nil, err
	}
	copied, err := p.engine.NewEvent()
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	return &pinnedBuffer{HostBuffer: memory, bytes: bytes, copied: copied}, nil
}

// has reports whether a tensor is one of pin.
func (p *prefetched) has(t *tensor.Dense) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pinned[t] != nil
}

func (p *prefetched) unpin(t *tensor.Dense) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.pinned[t]
	if b == nil {
		return
	}
	delete(p.pinned, t)
	for _, s := range p.slots {
		if s.landed == t {
			s.landed = nil
		}
		if s.placed == t {
			s.placed = nil
		}
	}
	p.free = append(p.free, b)
}

func (p *prefetched) prefetch(t *tensor.Dense) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.pinned[t]
	if b == nil {
		return errors.New("the tensor was not returned by Pin, or is unpinned")
	}
	s, err := p.slot(t)
	if err != nil || s == nil || s.landed != nil || s.placed == t {
		return err
	}
	return p.land(s, t, b)
}

// slot returns the slot of a tensor, nil if there are too many.
func (p *prefetched) slot(t *tensor.Dense) (*slot, error) {
	for _, s := range p.slots {
		if s.place.Dtype() == t.Dtype() && s.place.Shape().Eq(t.Shape()) {
			return s, nil
		}
	}
	if len(p.slots) == maxSlots {
		return nil, nil
	}
	var s slot
	var err error
	if p.stream == nil {
		if p.before, err = p.engine.NewEvent(); err != nil {
			return nil, err
		}
		if p.stream, err = p.engine.NewCopyStream(); err != nil {
			return nil, errors.Join(err, p.before.Close())
		}
	}
	if s.used, err = p.engine.NewEvent(); err != nil {
		return nil, err
	}
	if s.landing, err = p.keep(t); err != nil {
		return nil, errors.Join(err, s.used.Close())
	}
	// Work that used the memory before may be pending on the engine's stream.
	if err = s.used.Record(); err == nil {
		s.place, err = p.keep(t)
	}
	if err != nil {
		return nil, errors.Join(err, p.engine.Release(s.landing), s.used.Close())
	}
	p.slots = append(p.slots, &s)
	return &s, nil
}

// keep returns a tensor like t on the device, which outlives the step.
func (p *prefetched) keep(t *tensor.Dense) (*tensor.Dense, error) {
	at, err := p.engine.Runner().Keep(int64(len(t.Raw)))
	if err != nil {
		return nil, err
	}
	return tensorAt(p.engine, at, t), nil
}

// tensorAt returns the device memory at an address as a tensor of the type and shape of t.
func tensorAt(e *cuda.Engine, at uintptr, t *tensor.Dense) *tensor.Dense {
	return tensor.NewDense(t.Dtype(), t.Shape().Clone(), tensor.WithEngine(e), tensor.FromMemory(at, uintptr(len(t.Raw))))
}

// land enqueues the copy of a pinned tensor to landing, in place of what was there.
func (p *prefetched) land(s *slot, t *tensor.Dense, b *pinnedBuffer) error {
	s.landed = nil
	if err := p.copy(s.landing, t, b, s.used); err != nil {
		return err
	}
	s.landed = t
	return nil
}

// copy enqueues the copy of a pinned tensor on the copy stream, after an event.
func (p *prefetched) copy(dst, t *tensor.Dense, b *pinnedBuffer, after *cuda.Event) error {
	if err := p.stream.Wait(after); err != nil {
		return err
	}
	if err := p.stream.CopyToDevice(dst, t); err != nil {
		return err
	}
	if err := p.stream.Record(b.copied); err != nil {
		return err
	}
	b.begun = true
	return nil
}

// take lands a pinned tensor if it has not landed, makes the engine wait for it, and has move
// enqueue its copy from landing to elsewhere.
func (p *prefetched) take(s *slot, t *tensor.Dense, move func() error) error {
	b := p.pinned[t]
	if s.landed != t {
		if err := p.land(s, t, b); err != nil {
			return err
		}
	}
	if err := p.engine.Wait(b.copied); err != nil {
		return err
	}
	if err := move(); err != nil {
		return err
	}
	s.landed = nil
	return s.used.Record()
}

// toPlace moves a pinned tensor to the free place of its slot: volumes of float32 in channels-last
// order, others as they are.
func (o *op) toPlace(s *slot, t *tensor.Dense) error {
	err := o.prefetched.take(s, t, func() error { return o.move(s, s.place.Uintptr()) })
	if err == nil {
		s.placed = t
	}
	return err
}

// move enqueues the copy from landing to device memory, in the order of toPlace.
func (o *op) move(s *slot, to uintptr) error {
	from := s.landing
	if from.Dtype() == tensor.Float32 && from.Dims() == 5 {
		landed := &array{owner: o.backend, shape: from.Shape(), memory: &memory{address: from.Uintptr()}}
		if !landed.sameInBothOrders() {
			o.permute("afl_nn_to_channels_last", landed, to)
			return o.err
		}
	}
	return o.runner.Copy(to, from.Uintptr(), int64(len(from.Raw)))
}

// arrive moves all that has landed to its place, where that is free, so that the step reads it
// there without further waits between its operations.
func (o *op) arrive() error {
	for _, s := range o.prefetched.slots {
		if s.landed == nil || s.placed != nil || s.taken {
			continue
		}
		if err := o.toPlace(s, s.landed); err != nil {
			return err
		}
	}
	return nil
}

// arrayOf returns a pinned tensor of float32 as an array of the step.
func (o *op) arrayOf(t *tensor.Dense) *array {
	p := &o.prefetched
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := o.arrayIn(t)
	if err != nil {
		o.fail("%w", err)
	}
	return a
}

func (o *op) arrayIn(t *tensor.Dense) (*array, error) {
	if o.err != nil {
		return nil, o.err
	}
	if err := o.arrive(); err != nil {
		return nil, err
	}
	shape := slices.Clone([]int(t.Shape()))
	s, err := o.prefetched.slot(t)
	if err != nil {
		return nil, err
	}
	if s == nil {
		a := o.rowMajor(shape...)
		if o.err != nil {
			return nil, o.err
		}
		return a, o.copyInStep(tensorAt(o.engine, a.memory.address, t), t)
	}
	if s.placed == nil && !s.taken {
		if err := o.toPlace(s, t); err != nil {
			return nil, err
		}
	}
	if s.placed != t { // another input is there
		a := o.array(shape...)
		if o.err != nil {
			return nil, o.err
		}
		return a, o.prefetched.take(s, t, func() error { return o.move(s, a.memory.address) })
	}
	s.placed, s.taken = nil, true
	a := &array{owner: o.backend, shape: shape, memory: &memory{address: s.place.Uintptr(), users: 1, slot: s}}
	if len(shape) == 5 {
		a.order = channelsLast
	}
	o.step = append(o.step, a)
	return a, nil
}

// copyInStep copies a pinned tensor that has no slot to memory of the step.
func (o *op) copyInStep(dst, t *tensor.Dense) error {
	p := &o.prefetched
	b := p.pinned[t]
	if err := p.before.Record(); err != nil {
		return err
	}
	if err := p.copy(dst, t, b, p.before); err != nil {
		return err
	}
	return p.engine.Wait(b.copied)
}

// tensorOf returns a pinned tensor as one on the device, which the caller releases if it is
// temporary. Otherwise it is valid until the next operation that takes a pinned tensor.
func (o *op) tensorOf(t *tensor.Dense) (device *tensor.Dense, temporary bool) {
	p := &o.prefetched
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.err != nil {
		return nil, false
	}
	device, temporary, err := o.tensorIn(t)
	if err != nil {
		o.fail("%w", err)
	}
	return device, temporary
}

func (o *op) tensorIn(t *tensor.Dense) (device *tensor.Dense, temporary bool, err error) {
	s, err := o.prefetched.slot(t)
	if err != nil {
		return nil, false, err
	}
	volume := t.Dtype() == tensor.Float32 && t.Dims() == 5 // whose place has another order
	if s != nil && !volume && s.placed == nil && !s.taken {
		if err := o.toPlace(s, t); err != nil {
			return nil, false, err
		}
	}
	if s != nil && !volume && s.placed == t {
		s.placed = nil
		return s.place, false, nil
	}
	if device, err = o.engine.NewTensor(t.Dtype(), t.Shape()...); err != nil {
		return nil, false, err
	}
	return device, true, o.copyInStep(device, t)
}
