package cuda

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// NewTensor returns a tensor in device memory with uninitialized elements
// ([Engine.Memclr] zeroes them). Every axis has at least one element; an empty shape means
// a scalar. The type is a number, a bool, [Float16] or [BFloat16].
func (e *Engine) NewTensor(dt tensor.Dtype, shape ...int) (*tensor.Dense, error) {
	t, err := e.newTensor(dt, shape)
	return t, public(err)
}

func (e *Engine) newTensor(dt tensor.Dtype, shape []int) (*tensor.Dense, error) {
	bytes, err := tensorBytes(dt, shape)
	if err != nil {
		return nil, err
	}
	address, err := e.alloc(bytes)
	if err != nil {
		return nil, err
	}
	return tensor.NewDense(dt, slices.Clone(shape), tensor.WithEngine(e), tensor.FromMemory(address, uintptr(bytes))), nil
}

// tensorBytes returns the size of a tensor in bytes.
func tensorBytes(dt tensor.Dtype, shape []int) (int64, error) {
	if err := checkType("tensor", dt); err != nil {
		return 0, err
	}
	bytes := int64(dt.Size())
	for _, n := range shape {
		if n < 1 {
			return 0, plan.Refuse("shape", shape, "no axis shorter than 1")
		}
		if bytes > mostBytes/int64(n) {
			return 0, plan.Refuse("shape", shape, "at most 2⁴⁶ bytes")
		}
		bytes *= int64(n)
	}
	return bytes, nil
}

// checkType refuses types whose elements are not plain bytes.
func checkType(name string, dt tensor.Dtype) error {
	if dt.Type != nil {
		if k := dt.Kind(); k >= reflect.Bool && k <= reflect.Complex128 && k != reflect.Uintptr {
			return nil
		}
		return plan.Refuse("type of "+name, dt, "a number or bool")
	}
	return plan.Refuse("type of "+name, "not set", "a number or bool")
}

// Upload copies a host tensor to a new tensor in device memory. It synchronizes unless
// the host tensor is in a [HostBuffer] of this engine.
func (e *Engine) Upload(t *tensor.Dense) (*tensor.Dense, error) {
	if err := e.checkHost("t", t); err != nil {
		return nil, public(err)
	}
	device, err := e.NewTensor(t.Dtype(), t.Shape()...)
	if err != nil {
		return nil, err
	}
	if err := e.CopyToDevice(device, t); err != nil {
		return nil, errors.Join(err, e.Release(device))
	}
	return device, nil
}

// Download synchronizes and copies a tensor in device memory to a new host tensor.
func (e *Engine) Download(t *tensor.Dense) (*tensor.Dense, error) {
	host, err := e.download(t)
	return host, public(err)
}

func (e *Engine) download(t *tensor.Dense) (*tensor.Dense, error) {
	if err := e.checkDevice("t", t); err != nil {
		return nil, err
	}
	n := len(t.Raw) / int(t.Dtype().Size())
	backing := reflect.MakeSlice(reflect.SliceOf(t.Dtype().Type), n, n).Interface()
	host := tensor.NewDense(t.Dtype(), t.Shape().Clone(), tensor.WithBacking(backing))
	if err := e.toHost(host.Raw, addressOf(t.Raw)); err != nil {
		return nil, err
	}
	return host, nil
}

// CopyToDevice copies a host tensor into a device tensor of the same type and number of
// elements. From a [HostBuffer] of this engine the copy is asynchronous: the buffer must
// not be written until an [Event] or [Engine.Synchronize] shows that it is done. From
// other memory it synchronizes.
func (e *Engine) CopyToDevice(dst, src *tensor.Dense) error {
	if err := e.checkPair("dst", dst, "src", src); err != nil {
		return public(err)
	}
	return e.toDevice(addressOf(dst.Raw), src.Raw)
}

// CopyToHost copies a device tensor into a host tensor of the same type and number of
// elements. Into a [HostBuffer] of this engine the copy is asynchronous: the elements are
// valid once an [Event] or [Engine.Synchronize] shows that it is done. Into other memory
// it synchronizes.
func (e *Engine) CopyToHost(dst, src *tensor.Dense) error {
	if err := e.checkPair("src", src, "dst", dst); err != nil {
		return public(err)
	}
	return e.toHost(dst.Raw, addressOf(src.Raw))
}

// toDevice copies host memory.
func (e *Engine) toDevice(to uintptr, from []byte) error {
	copyTo := func(wait bool) func(session) error {
		return func(s session) error {
			return s.copyToDevice(to, unsafe.Pointer(unsafe.SliceData(from)), int64(len(from)), wait)
		}
	}
	if e.pinned(from) {
		return e.do(copyTo(false))
	}
	return e.doWaiting(copyTo(true))
}

// toHost copies device memory.
func (e *Engine) toHost(to []byte, from uintptr) error {
	copyTo := func(wait bool) func(session) error {
		return func(s session) error {
			return s.copyToHost(unsafe.Pointer(unsafe.SliceData(to)), from, int64(len(to)), wait)
		}
	}
	if e.pinned(to) {
		return e.do(copyTo(false))
	}
	return e.doWaiting(copyTo(true))
}

// Release returns a tensor's memory to the engine. Work enqueued before may still use it.
// The tensor has no memory afterwards, and others that share it (views, shallow clones)
// must not be used any more. A view, a tensor of another engine, a released tensor, and a
// tensor that the work of an open [Graph] uses are refused.
func (e *Engine) Release(t *tensor.Dense) error { return public(e.release(t)) }

func (e *Engine) release(t *tensor.Dense) error {
	address, err := e.address("t", t)
	if err != nil {
		return err
	}
	if t.IsView() {
		return plan.Refuse("t", "a view", "the tensor that it views")
	}
	err = e.do(func(session) error {
		err := e.recycle(address, int64(len(t.Raw)))
		var used *usedError
		switch {
		case errors.As(err, &used):
			return plan.Refuse("t", fmt.Sprintf("a %v tensor of shape %v, %v", t.Dtype(), t.Shape(), used), "one that no open graph uses (close the graph first)")
		case err != nil:
			return plan.Refuse("memory of t", err, "a tensor of this engine as it was made")
		}
		return nil
	})
	if err == nil {
		t.Raw = nil
	}
	return err
}

// address returns the address of a tensor in this engine's memory. Errors call the tensor
// by the given name.
func (e *Engine) address(name string, t *tensor.Dense) (uintptr, error) {
	switch {
	case t == nil:
		return 0, plan.Refuse(name, "nil", "a tensor")
	case t.Engine() != tensor.Engine(e):
		return 0, plan.Refuse("engine of "+name, e.engineName(t.Engine()), "this engine, %v", e)
	case len(t.Raw) == 0:
		return 0, plan.Refuse(name, "a tensor without memory (released already?)", "one with memory")
	}
	if err := e.enter(); err != nil {
		return 0, err
	}
	defer e.leave()
	address := addressOf(t.Raw)
	if err := e.pool.check(address, int64(len(t.Raw))); err != nil {
		return 0, plan.Refuse("memory of "+name, err, "this engine's, in use")
	}
	return address, nil
}

// addressOf returns the address of a tensor's or buffer's bytes.
func addressOf(raw []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(raw))) }

// engineName describes an engine so that different ones on the same device differ.
func (e *Engine) engineName(of tensor.Engine) string {
	switch other, ok := of.(*Engine); {
	case !ok:
		return fmt.Sprintf("%T", of)
	case other == e:
		return fmt.Sprintf("this engine, %v", e)
	default:
		return fmt.Sprintf("another engine, %v", other)
	}
}

// checkPair checks the tensors of a copy.
func (e *Engine) checkPair(deviceName string, device *tensor.Dense, hostName string, host *tensor.Dense) error {
	if err := e.checkDevice(deviceName, device); err != nil {
		return err
	}
	if err := e.checkHost(hostName, host); err != nil {
		return err
	}
	if device.Dtype() != host.Dtype() {
		return plan.Refuse("type of "+hostName, host.Dtype(), "that of %s, %v", deviceName, device.Dtype())
	}
	if len(device.Raw) != len(host.Raw) {
		return plan.Refuse("shape of "+hostName, host.Shape(), "as many elements as %s has with %v", deviceName, device.Shape())
	}
	return nil
}

func (e *Engine) checkDevice(name string, t *tensor.Dense) error {
	if _, err := e.address(name, t); err != nil {
		return err
	}
	return checkPlain(name, t)
}

func (e *Engine) checkHost(name string, t *tensor.Dense) error {
	if t == nil {
		return plan.Refuse(name, "nil", "a tensor")
	}
	if !t.IsNativelyAccessible() {
		return plan.Refuse("engine of "+name, e.engineName(t.Engine()), "one of gorgonia.org/tensor's standard engines, whose memory is the host's")
	}
	if len(t.Raw) == 0 {
		return plan.Refuse("shape of "+name, t.Shape(), "at least one element")
	}
	return checkPlain(name, t)
}

// checkPlain refuses tensors whose memory does not hold their elements in row-major
// order, and masked ones.
func checkPlain(name string, t *tensor.Dense) error {
	if err := checkType(name, t.Dtype()); err != nil {
		return err
	}
	if t.IsMasked() {
		return plan.Refuse(name, "a masked tensor", "one without a mask")
	}
	return plan.CheckRowMajor(name, t)
}
