package cuda

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// memory is a range of device memory.
type memory struct {
	address uintptr
	bytes   int64
}

func (m memory) Uintptr() uintptr { return m.address }
func (m memory) MemSize() uintptr { return uintptr(m.bytes) }

// NonStdAlloc tells gorgonia.org/tensor that Go does not manage the engine's memory.
func (e *Engine) NonStdAlloc() {}

// AllocAccessible returns false: Go code cannot access the engine's memory.
func (e *Engine) AllocAccessible() bool { return false }

// Alloc returns zeroed device memory, as [tensor.New] requires. With it
// tensor.New(tensor.WithEngine(e), tensor.WithShape(…), tensor.Of(…)) works, but panics
// if Alloc fails; [Engine.NewTensor] returns the error.
func (e *Engine) Alloc(size int64) (tensor.Memory, error) {
	address, err := e.alloc(size)
	if err != nil {
		return nil, public(err)
	}
	m := memory{address, size}
	if err := e.set(m, make([]byte, 1)); err != nil {
		return nil, public(errors.Join(err, e.free(address)))
	}
	return m, nil
}

// Free returns memory of [Engine.Alloc] to the engine; use [Engine.Release] for tensors.
func (e *Engine) Free(mem tensor.Memory, _ int64) error {
	if mem == nil {
		return refuse("mem", "nil", "memory of this engine")
	}
	return public(e.free(mem.Uintptr()))
}

// Memset enqueues setting every element of a tensor or other memory of this engine to
// val, a number or bool of the elements' type.
func (e *Engine) Memset(mem tensor.Memory, val any) error {
	v := reflect.ValueOf(val)
	if !v.IsValid() {
		return refuse("val", "nil", "a number or bool")
	}
	dt := tensor.Dtype{Type: v.Type()}
	if t, ok := mem.(*tensor.Dense); ok && t != nil && t.Dtype() != dt {
		return refuse("type of val", dt, "that of the elements, %v", t.Dtype())
	}
	if err := checkType("val", dt); err != nil {
		return public(err)
	}
	size := int(v.Type().Size())
	cell := reflect.New(v.Type())
	cell.Elem().Set(v)
	return public(e.set(mem, unsafe.Slice((*byte)(cell.UnsafePointer()), size)))
}

// Memclr enqueues zeroing all bytes of a tensor or other memory of this engine. Its
// error is returned by the next [Engine.Synchronize].
func (e *Engine) Memclr(mem tensor.Memory) {
	if err := e.set(mem, make([]byte, 1)); err != nil && e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.deferred == nil {
			e.deferred = public(err)
		}
	}
}

// set enqueues filling memory with copies of an element.
func (e *Engine) set(mem tensor.Memory, element []byte) error {
	to, bytes, err := extent("mem", mem)
	if err != nil {
		return err
	}
	if bytes%int64(len(element)) != 0 {
		return plan.Refuse("size of mem", fmt.Sprintf("%d bytes", bytes), "a multiple of the %d bytes of an element", len(element))
	}
	return e.do(func(s session) error {
		if err := e.pool.check(to, bytes); err != nil {
			return plan.Refuse("memory of mem", err, "this engine's, in use")
		}
		return s.fill(to, element, bytes/int64(len(element)))
	})
}

// extent returns the address and size of memory. It refuses tensors without memory.
func extent(name string, m tensor.Memory) (uintptr, int64, error) {
	t, dense := m.(*tensor.Dense)
	switch {
	case m == nil || dense && t == nil:
		return 0, 0, plan.Refuse(name, "nil", "memory")
	case dense && len(t.Raw) == 0 || m.MemSize() == 0:
		return 0, 0, plan.Refuse(name, "empty (a released tensor?)", "at least one byte")
	}
	return m.Uintptr(), int64(m.MemSize()), nil
}

// Memcpy copies memory to memory of the same size, at least one of them on the device. It
// synchronizes if the other is in host memory. gorgonia.org/tensor calls it in Copy,
// Clone and Materialize of contiguous tensors.
func (e *Engine) Memcpy(dst, src tensor.Memory) error {
	to, bytes, err := extent("dst", dst)
	if err != nil {
		return public(err)
	}
	from, have, err := extent("src", src)
	if err != nil {
		return public(err)
	}
	if bytes != have {
		return refuse("size of src", fmt.Sprintf("%d bytes", have), "that of dst, %d bytes", bytes)
	}
	if err := e.enter(); err != nil {
		return err
	}
	toDevice, fromDevice := e.pool.check(to, bytes) == nil, e.pool.check(from, bytes) == nil
	e.leave()
	switch {
	case toDevice && fromDevice:
		return e.do(func(s session) error { return s.copyDevice(to, from, bytes) })
	case toDevice:
		b, err := hostBytes("src", src)
		if err != nil {
			return err
		}
		return e.toDevice(to, b)
	case fromDevice:
		b, err := hostBytes("dst", dst)
		if err != nil {
			return err
		}
		return e.toHost(b, from)
	}
	return refuse("dst and src", "outside this engine's memory", "at least one of them in it")
}

// hostBytes returns the bytes of gorgonia.org/tensor's tensors and arrays in host memory.
func hostBytes(name string, m tensor.Memory) ([]byte, error) {
	switch m := m.(type) {
	case *tensor.Dense:
		if m.IsNativelyAccessible() {
			return m.Raw, nil
		}
	case memory:
	case interface{ Data() any }: // gorgonia.org/tensor's arrays
		v := reflect.ValueOf(m.Data())
		if v.Kind() == reflect.Slice {
			return unsafe.Slice((*byte)(v.UnsafePointer()), m.(tensor.Memory).MemSize()), nil
		}
	}
	return nil, refuse("memory of "+name, fmt.Sprintf("that of a %T elsewhere", m), "this engine's or Go's")
}

// Accessible returns an error: Go code cannot access device memory.
func (e *Engine) Accessible(tensor.Memory) (tensor.Memory, error) {
	return nil, refuse("mem", "device memory, which Go cannot access", "memory of Go (Download copies a tensor there)")
}

// WorksWith reports whether the kernels accept tensors of a data order, which is true for
// contiguous, row-major ones.
func (e *Engine) WorksWith(order tensor.DataOrder) bool {
	return order.IsRowMajor() && order.IsContiguous()
}
