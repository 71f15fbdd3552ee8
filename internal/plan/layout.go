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
			"contiguous and row-major, as after Transpose or Materialize, of shape %v", shape)
	}
	return nil
}
