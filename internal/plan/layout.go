package plan

import (
	"fmt"

	"gorgonia.org/tensor"
)

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
