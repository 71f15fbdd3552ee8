package afl

import (
	"fmt"

	"gorgonia.org/tensor"
)

// CheckFinite refuses logits N×C×space, float32 or float64 in Go memory, that are NaN or
// infinite; the error names the first of them in row-major order. It reads the logits once.
//
// The losses do not check their logits. As a NaN makes their value NaN, it is enough to
// look at the value after each step and to call CheckFinite where it is NaN or infinite.
func CheckFinite(logits *tensor.Dense) error {
	if err := checkReadable("logits", logits, tensor.Float32, tensor.Float64); err != nil {
		return err
	}
	shape := logits.Shape()
	if len(shape) != 4 && len(shape) != 5 {
		return refuse("shape of logits", shape, "N×C×H×W or N×C×X×Y×Z")
	}
	channels, voxels := shape[1], product(shape[2:])
	var first func(from, n int) (int, any)
	switch values := logits.Data().(type) {
	case []float32:
		first = func(from, n int) (int, any) {
			i := firstNonFinite(values[from : from+n])
			return i, values[from+max(i, 0)]
		}
	case []float64:
		first = func(from, n int) (int, any) {
			i := firstNonFinite(values[from : from+n])
			return i, values[from+max(i, 0)]
		}
	}
	return forChunks(shape[0]*channels, voxels, func() func(unit, from, n int) error {
		return func(unit, from, n int) error {
			i, v := first(unit*voxels+from, n)
			if i < 0 {
				return nil
			}
			return refuse(fmt.Sprintf("logits at sample %d, channel %d, voxel %d", unit/channels, unit%channels, from+i), v, "a finite number")
		}
	})
}

// firstNonFinite returns the index of the first NaN or infinity, or −1.
func firstNonFinite[T float32 | float64](values []T) int {
	for i, v := range values {
		if v-v != 0 {
			return i
		}
	}
	return -1
}
