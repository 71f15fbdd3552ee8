package cuda

import (
	"fmt"
	"slices"
	"unsafe"

	"gorgonia.org/tensor"
)

// HostBuffer is pinned host memory. Copies between it and the device are asynchronous and
// run at full speed. Pinning takes time and physical memory, so buffers should be reused.
type HostBuffer struct {
	owned  owned
	memory []byte
	users  []*hold // of the graphs whose work copies from or to it; guarded by Engine.mu
}

// NewHostBuffer returns uninitialized pinned memory.
func (e *Engine) NewHostBuffer(bytes int64) (*HostBuffer, error) {
	if bytes < 1 || bytes > mostBytes {
		return nil, refuse("number of bytes", bytes, "from 1 to 2⁴⁶")
	}
	b := new(HostBuffer)
	b.owned.kind = "host buffer"
	b.owned.free = func(s session) error {
		e.mu.Lock()
		delete(e.buffers, b)
		e.mu.Unlock()
		return s.freeHost(unsafe.Pointer(unsafe.SliceData(b.memory)))
	}
	err := e.own(&b.owned, func(s session) error {
		memory, err := s.allocHost(bytes)
		if err != nil {
			return err
		}
		b.memory = unsafe.Slice((*byte)(memory), bytes)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.buffers[b] = struct{}{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Bytes returns the memory, which is valid until the buffer or its engine is closed, or
// nil after that.
func (b *HostBuffer) Bytes() []byte {
	var memory []byte
	if b.owned.with(func(session) error { memory = b.memory; return nil }) != nil {
		return nil
	}
	return memory
}

// Tensor returns a host tensor of a type and shape at the beginning of the buffer's
// memory. It is valid as long as [HostBuffer.Bytes] is.
func (b *HostBuffer) Tensor(dt tensor.Dtype, shape ...int) (*tensor.Dense, error) {
	bytes, err := tensorBytes(dt, shape)
	if err != nil {
		return nil, public(err)
	}
	if bytes > int64(len(b.memory)) {
		return nil, refuse("shape", shape, "at most the %d bytes of the buffer", len(b.memory))
	}
	if err := b.owned.with(func(session) error { return nil }); err != nil {
		return nil, err
	}
	return tensor.NewDense(dt, slices.Clone(shape), tensor.FromMemory(addressOf(b.memory), uintptr(bytes))), nil
}

// Close waits for the device and frees the memory, which must not be accessed afterwards.
// A buffer that the work of an open [Graph] uses is refused. Closing again does nothing.
func (b *HostBuffer) Close() error {
	if e := b.owned.engine; e != nil {
		e.mu.Lock()
		b.users = slices.DeleteFunc(b.users, func(h *hold) bool { return h.dropped.Load() })
		users := b.users
		e.mu.Unlock()
		if len(users) > 0 {
			return refuse("host buffer", fmt.Sprintf("one of %d bytes, %v", len(b.memory), &usedError{users[0].graph}),
				"one that no open graph uses (close the graph first)")
		}
	}
	return b.owned.close()
}

// pinned reports whether memory is inside one of the engine's host buffers. During a
// capture it records that the graph uses the buffer.
func (e *Engine) pinned(memory []byte) bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.bufferOf(memory)
	if b == nil {
		return false
	}
	if h := e.pool.capturing(); h != nil && !slices.Contains(b.users, h) {
		b.users = append(b.users, h)
	}
	return true
}

// inBuffer is pinned for work that is not part of a capture.
func (e *Engine) inBuffer(memory []byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.bufferOf(memory) != nil
}

// bufferOf returns the host buffer that memory is inside of, or nil. The caller holds e.mu.
func (e *Engine) bufferOf(memory []byte) *HostBuffer {
	at := addressOf(memory)
	for b := range e.buffers {
		if from := addressOf(b.memory); at >= from && at+uintptr(len(memory)) <= from+uintptr(len(b.memory)) {
			return b
		}
	}
	return nil
}
