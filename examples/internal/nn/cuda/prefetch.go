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
	holds          *tensor.Dense // the pinned tensor that is in landing, or on its way, and not used yet
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
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.free = append(p.free, b)
		return nil, err
	}
	b.begun = false
	copy(pinned.Raw, t.Raw)
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
		if s.holds == t {
			s.holds = nil
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
	if err != nil || s == nil || s.holds != nil {
		return err
	}
	if err := p.copy(s.landing, t, b, s.used); err != nil {
		return err
	}
	s.holds = t
	return nil
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
	if s.landing, err = p.engine.NewTensor(t.Dtype(), t.Shape()...); err != nil {
		return nil, errors.Join(err, s.used.Close())
	}
	// Work that used the memory before may be pending on the engine's stream.
	if err = s.used.Record(); err == nil {
		s.place, err = p.engine.NewTensor(t.Dtype(), t.Shape()...)
	}
	if err != nil {
		return nil, errors.Join(err, p.engine.Release(s.landing), s.used.Close())
	}
	p.slots = append(p.slots, &s)
	return &s, nil
}

// use enqueues the copy of a pinned tensor to a place on the device, and makes the engine's work
// that follows wait for it. Where the tensor has a slot, move enqueues the copy from the landing
// place to that of the slot or, if that is taken, elsewhere. Otherwise use copies to what alloc
// returns. It returns false for a tensor that is not pinned.
func (p *prefetched) use(t *tensor.Dense, move func(s *slot) error, alloc func() (*tensor.Dense, error)) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.pinned[t]
	if b == nil {
		return false, nil
	}
	s, err := p.slot(t)
	if err != nil {
		return false, err
	}
	if s == nil {
		dst, err := alloc()
		if err != nil {
			return false, err
		}
		if err := p.before.Record(); err != nil {
			return false, err
		}
		if err := p.copy(dst, t, b, p.before); err != nil {
			return false, err
		}
		return true, p.engine.Wait(b.copied)
	}
	if s.holds != t {
		if err := p.copy(s.landing, t, b, s.used); err != nil {
			return false, err
		}
	}
	if err := p.engine.Wait(b.copied); err != nil {
		return false, err
	}
	s.holds = nil // of another tensor it is copied again
	if err := move(s); err != nil {
		return false, err
	}
	return true, s.used.Record()
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

// arrayOf returns a pinned tensor of float32 as an array of the step, nil for others. A volume that
// has a slot is in channels-last order.
func (o *op) arrayOf(t *tensor.Dense) (a *array) {
	if o.err != nil || t.Dtype() != tensor.Float32 {
		return nil
	}
	shape := slices.Clone([]int(t.Shape()))
	done, err := o.prefetched.use(t, func(s *slot) error {
		if s.taken {
			a = o.array(shape...)
		} else {
			s.taken = true
			a = &array{owner: o.backend, shape: shape, memory: &memory{s.place.Uintptr()}, slot: s}
			if len(shape) == 5 {
				a.order = channelsLast
			}
			o.step = append(o.step, a)
		}
		if o.err != nil {
			return o.err
		}
		if a.order == rowMajor || a.sameInBothOrders() {
			return o.runner.Copy(a.memory.address, s.landing.Uintptr(), a.bytes())
		}
		landed := &array{owner: o.backend, shape: shape, memory: &memory{s.landing.Uintptr()}}
		o.permute("afl_nn_to_channels_last", landed, a.memory.address)
		return o.err
	}, func() (*tensor.Dense, error) {
		dst, err := o.engine.NewTensor(tensor.Float32, shape...)
		if err == nil {
			a = &array{owner: o.backend, shape: shape, memory: &memory{dst.Uintptr()}}
			o.step = append(o.step, a)
		}
		return dst, err
	})
	if err != nil {
		o.fail("%w", err)
	}
	if !done {
		return nil
	}
	return a
}

// tensorOf returns a tensor of the host on the device, and whether the caller releases it.
func (o *op) tensorOf(t *tensor.Dense) (device *tensor.Dense, own bool, err error) {
	move := func(s *slot) error {
		device = s.place
		return o.runner.Copy(s.place.Uintptr(), s.landing.Uintptr(), int64(len(t.Raw)))
	}
	alloc := func() (*tensor.Dense, error) {
		device, err = o.engine.NewTensor(t.Dtype(), t.Shape()...)
		own = err == nil
		return device, err
	}
	done, err := o.prefetched.use(t, move, alloc)
	if done || err != nil {
		return device, own, err
	}
	pinned, err := o.prefetched.pin(t)
	if err != nil {
		return nil, false, err
	}
	defer o.prefetched.unpin(pinned)
	_, err = o.prefetched.use(pinned, move, alloc)
	return device, own, err
}
