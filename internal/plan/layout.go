package plan

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

// LabelTypes are the types that a target, a label or a mask may have.
var LabelTypes = []tensor.Dtype{
	tensor.Uint8, tensor.Int8, tensor.Int16, tensor.Uint16, tensor.Int32, tensor.Uint32,
	tensor.Int64, tensor.Uint64, tensor.Int, tensor.Uint, tensor.Bool, tensor.Float32, tensor.Float64,
}

// CheckReadable refuses a tensor unless its elements can be read in order from Go
// memory and have one of the types. A slice along the first axis is readable.
func CheckReadable(name string, t *tensor.Dense, types ...tensor.Dtype) error {
	if t == nil {
		return Refuse(name, "nil", "a tensor")
	}
	if !t.IsNativelyAccessible() {
		return Refuse("memory of "+name, "not accessible from Go", "Go memory (copy the tensor from the device)")
	}
	if t.Dims() == 0 {
		return Refuse("shape of "+name, "that of a scalar or of no tensor at all", "at least one axis")
	}
	if slices.Contains(t.Shape(), 0) {
		return Refuse("shape of "+name, t.Shape(), "no axis of size 0")
	}
	return CheckLayout(name, t, types...)
}

// CheckLayout refuses tensors that are not contiguous and row-major, and types
// other than the given ones.
func CheckLayout(name string, t *tensor.Dense, types ...tensor.Dtype) error {
	if !slices.Contains(types, t.Dtype()) {
		return Refuse("type of "+name, t.Dtype(), "one of %v", types)
	}
	if t.Shape().TotalSize() > 0 && t.MemSize() == 0 {
		return Refuse(name, "a tensor without memory (released already?)", "one with memory")
	}
	if t.IsMasked() && t.Shape().TotalSize() > 0 {
		return Refuse(name, "a masked tensor", "one without a mask (use an ignore index or a voxel weight)")
	}
	return CheckRowMajor(name, t)
}

// CheckRowMajor refuses a tensor whose memory is not its elements in row-major order.
//
// Strides and size decide. The order's flags do not: a tensor stays marked as
// transposed when its elements were moved to where they belong.
func CheckRowMajor(name string, t *tensor.Dense) error {
	shape, strides, stride := t.Shape(), t.Strides(), 1
	good := true
	for a := len(shape) - 1; a >= 0; a-- {
		// The stride of an axis of size 1 is never used.
		good = good && (shape[a] == 1 || a < len(strides) && strides[a] == stride)
		stride *= shape[a]
	}
	if !good || uintptr(stride)*t.Dtype().Size() != t.MemSize() {
		return Refuse("layout of "+name, fmt.Sprintf("%v with strides %v", t.DataOrder(), strides),
			"contiguous and row-major, of shape %v (%s)", shape, remedy(t))
	}
	return nil
}

// remedy says how a tensor is copied into contiguous row-major memory.
//
// Materialize does it for views and for tensors whose transposition is pending, and
// returns any other as it is: column-major ones, and clones of views. A slice of all
// their elements is a view that it does copy. Neither Transpose nor tensor.Copy is a
// remedy: the one keeps a column-major tensor column-major and spoils a transposed
// view, the other copies a column-major tensor in the order of its memory.
func remedy(t *tensor.Dense) string {
	switch {
	case !t.IsNativelyAccessible():
		return "lay it out so in Go memory before it is copied to the device"
	case t.IsMaterializable():
		return "as its Materialize method returns it"
	}
	return "as the Materialize method of its Slice() returns it"
}
