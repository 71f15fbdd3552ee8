package nn

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"
)

// CheckHost returns an error if t, a tensor that a backend is to copy from or to, cannot be
// accessed as a plain slice of float32 or float64. The error completes a sentence that
// begins with the name of the tensor.
func CheckHost(t *tensor.Dense) error {
	switch {
	case t == nil:
		return errors.New("is nil")
	case !t.IsNativelyAccessible():
		return errors.New("is in memory that Go cannot access")
	case t.RequiresIterator() || !t.DataOrder().IsRowMajor():
		return errors.New("is not contiguous in row-major order")
	case t.Dtype() != tensor.Float32 && t.Dtype() != tensor.Float64:
		return fmt.Errorf("has element type %v, want float32 or float64", t.Dtype())
	case Elements(t.Shape()) == 0:
		return fmt.Errorf("has shape %v, want no axis of length 0", []int(t.Shape()))
	}
	return nil
}
