//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"embed"
	"runtime"
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// The go command notices changed headers only in the package's own folder and among embedded
// files.
//
//go:embed kernels/arguments.h kernels/conv_arguments.h kernels/conv_tile_arguments.h
var _ embed.FS

// order is the memory layout of an array.
type order uint8

const (
	rowMajor     order = iota
	channelsLast       // N×X×Y×Z×C
)

// array is an array in device memory, or a formula for one.
type array struct {
	owner   *backend
	shape   []int
	memory  *memory // nil while formula is set, and after the release or the end of the step
	order   order
	kept    bool    // created with nn.Kept
	formula formula // nil once the array has memory
}

// memory is that of an array. It is separate from the array so that it can be freed when the
// garbage collector finds a kept array unreferenced, and so that formulas can read it after
// their operand's release.
type memory struct {
	address uintptr
	users   int   // arrays and formulas
	input   bool  // of the step's inputs, which are not of the pool
	slot    *slot // of the input whose place the memory is, or nil
}

// newMemory returns memory with one user.
func newMemory(address uintptr) *memory { return &memory{address: address, users: 1} }

// Shape implements nn.Array.
func (a *array) Shape() []int { return a.shape }

// DType implements nn.Array.
func (a *array) DType() nn.DType { return nn.Float32 }

// ended reports whether the array was released or its step has ended.
func (a *array) ended() bool { return a.memory == nil && a.formula == nil }

// elements returns the number of elements.
func (a *array) elements() int { return nn.Elements(a.shape) }

func (a *array) bytes() int64 { return 4 * int64(a.elements()) }

// channels returns the number of channels of a volume.
func (a *array) channels() int { return a.shape[1] }

// voxels returns the number of voxels of a sample of a volume.
func (a *array) voxels() int { return nn.Elements(a.shape[2:]) }

// rows returns the number of voxels of all samples of a volume.
func (a *array) rows() int { return a.shape[0] * a.voxels() }

// size returns the spatial size of a volume.
func (a *array) size() [3]int { return [3]int(a.shape[2:]) }

// array returns an array of the current step with arbitrary content: a volume in
// channels-last order, or any other array in row-major order.
func (o *op) array(shape ...int) *array {
	a := o.rowMajor(shape...)
	if a != nil && len(shape) == 5 {
		a.order = channelsLast
	}
	return a
}

// rowMajor returns an array of the current step in row-major order with arbitrary content.
func (o *op) rowMajor(shape ...int) *array {
	address := o.alloc(4 * int64(nn.Elements(shape)))
	if o.err != nil {
		return nil
	}
	a := &array{owner: o.backend, shape: shape, memory: newMemory(address)}
	o.step = append(o.step, a)
	return a
}

// keptArray returns a kept array in row-major order with arbitrary content.
func (o *op) keptArray(shape []int) *array {
	address := o.keep(4 * int64(nn.Elements(shape)))
	if o.err != nil {
		return nil
	}
	a := &array{owner: o.backend, shape: shape, memory: newMemory(address), kept: true}
	runtime.AddCleanup(a, o.garbage.add, a.memory)
	return a
}

// similar returns an array of the current step with the shape and order of a, and arbitrary
// content.
func (o *op) similar(a *array) *array {
	if o.err != nil {
		return nil
	}
	y := o.rowMajor(a.shape...)
	if y != nil {
		y.order = a.order
	}
	return y
}

// sameInBothOrders reports whether the order of a volume's elements in memory is the same.
func (a *array) sameInBothOrders() bool { return a.channels() == 1 || a.voxels() == 1 }

// The functions below convert an array's order in place, so that a later operation that needs
// the same order finds it converted.

// toChannels converts a volume to channels-last order.
func (o *op) toChannels(a *array) *array {
	return o.convert(a, channelsLast, "afl_nn_to_channels_last")
}

// toRowMajor converts an array to row-major order.
func (o *op) toRowMajor(a *array) *array { return o.convert(a, rowMajor, "afl_nn_to_row_major") }

func (o *op) convert(a *array, to order, kernel string) *array {
	if o.err != nil || a.order == to {
		return a
	}
	if !a.sameInBothOrders() {
		address := o.alloc(a.bytes())
		o.permute(kernel, a, address)
		if o.err != nil {
			return a
		}
		if a.kept {
			// No formula reads it, and it is freed with the array.
			o.free(a.memory.address)
			a.memory.address = address
		} else {
			o.drop(a.memory)
			a.memory = newMemory(address)
		}
	}
	a.order = to
	return a
}

// permute enqueues a conversion of a volume.
func (o *op) permute(kernel string, a *array, to uintptr) {
	if o.err != nil {
		return
	}
	p := C.AflLayout{samples: C.int64_t(a.shape[0]), channels: C.int64_t(a.channels()), voxels: C.int64_t(a.voxels())}
	point(&p.from, a)
	pointAt(&p.to, to)
	o.each(kernel, a.rows(), unsafe.Pointer(&p))
}

// match converts a and b, of the same shape, to the same order.
func (o *op) match(a, b *array) {
	if o.err == nil && a.order != b.order {
		o.toChannels(a)
		o.toChannels(b)
	}
}
