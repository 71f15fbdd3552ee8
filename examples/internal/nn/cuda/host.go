//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"errors"
	"slices"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// FromHost implements nn.Backend.
func (b *backend) FromHost(t *tensor.Dense, life nn.Lifetime) (nn.Array, error) {
	o := b.begin("nn/cuda: FromHost")
	if err := nn.CheckHost(t); err != nil {
		o.fail("tensor %w", err)
		return nil, o.end()
	}
	shape := slices.Clone([]int(t.Shape()))
	var a *array
	switch pinned := b.prefetched.has(t); {
	case pinned && life == nn.Step && t.Dtype() == tensor.Float32:
		a = o.arrayOf(t)
		return finished(a, o.end())
	case pinned && life != nn.Step:
		o.fail("tensor is pinned for a step, want another one to keep")
		return nil, o.end()
	case life == nn.Step && b.InStep():
		a = o.inputArray(t, shape)
		return finished(a, o.end())
	}
	switch life {
	case nn.Step:
		a = o.rowMajor(shape...)
	case nn.Kept:
		b.collect()
		a = o.keptArray(shape)
	default:
		o.fail("life is %d, want nn.Step or nn.Kept", life)
	}
	if o.err == nil {
		if err := b.runner.Write(a.memory.address, bytesOf(floats(t))); err != nil {
			o.fail("%w", err)
		}
	}
	return finished(a, o.end())
}

// inputArray returns an array in the memory of the current step's inputs.
func (o *op) inputArray(t *tensor.Dense, shape []int) *array {
	a := &array{owner: o.backend, shape: shape, memory: &memory{address: o.input(bytesOf(floats(t))), users: 1, input: true}}
	if o.err == nil {
		o.step = append(o.step, a)
	}
	return a
}

// input returns the device address of a copy of bytes of the host, which is valid in the current
// step.
func (o *op) input(from []byte) uintptr {
	if o.err != nil {
		return 0
	}
	at, err := o.runner.Input(from)
	if err != nil {
		o.fail("%w", err)
	}
	return at
}

// floats returns the elements of a host tensor as float32.
func floats(t *tensor.Dense) []float32 {
	switch x := t.Data().(type) {
	case []float32:
		return x
	case float32:
		return []float32{x}
	case float64:
		return []float32{float32(x)}
	case []float64:
		y := make([]float32, len(x))
		for i, v := range x {
			y[i] = float32(v)
		}
		return y
	}
	return nil
}

// bytesOf returns the memory of numbers.
func bytesOf[T any](x []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(x[0])))
}

// ToHost implements nn.Backend.
func (b *backend) ToHost(x nn.Array, dst *tensor.Dense) error {
	o := b.begin("nn/cuda: ToHost")
	o.toHost(o.arg("array", x), dst)
	return o.end()
}

func (o *op) toHost(a *array, dst *tensor.Dense) {
	if o.err != nil {
		return
	}
	if err := nn.CheckHost(dst); err != nil {
		o.fail("dst %w", err)
		return
	}
	if !slices.Equal(dst.Shape(), a.shape) {
		o.fail("dst has shape %v, want %v", dst.Shape(), a.shape)
		return
	}
	from := a.memory.address
	if a.order == channelsLast && !a.sameInBothOrders() {
		from = o.scratch(a.bytes()) // the array keeps its order
		o.permute("afl_nn_to_row_major", a, from)
	}
	switch to := dst.Data().(type) {
	case []float32:
		o.read(bytesOf(to), from)
	case []float64:
		values := make([]float32, len(to))
		o.read(bytesOf(values), from)
		for i, v := range values {
			to[i] = float64(v)
		}
	default:
		o.err = errors.New("dst is a scalar, want a tensor with axes")
	}
}

// read synchronizes and copies device memory to bytes of the host.
func (o *op) read(to []byte, from uintptr) {
	if o.err != nil {
		return
	}
	if err := o.runner.Read(to, from); err != nil {
		o.fail("%w", err)
	}
}

// Zeros implements nn.Backend.
func (b *backend) Zeros(shape []int) (nn.Array, error) {
	o := b.begin("nn/cuda: Zeros")
	if err := nn.CheckShape(shape); err != nil {
		o.fail("%w", err)
		return nil, o.end()
	}
	b.collect()
	a := o.keptArray(slices.Clone(shape))
	if o.err == nil {
		if err := b.runner.Zero(a.memory.address, a.bytes()); err != nil {
			o.fail("%w", err)
		}
	}
	return finished(a, o.end())
}
