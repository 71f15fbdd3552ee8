package afl

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/parallel"
)

// checkReadable refuses tensors whose elements cannot be read in order from Go
// memory as a mask or as labels. A slice along the first axis is readable.
func checkReadable(name string, t *tensor.Dense, types ...tensor.Dtype) error {
	if t == nil {
		return refuse(name, "nil", "a tensor")
	}
	if !t.IsNativelyAccessible() {
		return refuse("memory of "+name, "not accessible from Go", "Go memory (copy the tensor from the device)")
	}
	if t.Dims() == 0 {
		return refuse("shape of "+name, "that of a scalar or of no tensor at all", "at least one axis")
	}
	if slices.Contains(t.Shape(), 0) {
		return refuse("shape of "+name, t.Shape(), "no axis of size 0")
	}
	return checkLayout(name, t, types...)
}

// maskReader returns a function that stores in dst, as 0 and 1, which of the
// elements from index from on are not zero.
func maskReader(name string, t *tensor.Dense) (func(dst []uint8, from int) error, error) {
	if err := checkReadable(name, t, labelTypes...); err != nil {
		return nil, err
	}
	switch data := t.Data().(type) {
	case []bool:
		return func(dst []uint8, from int) error {
			for i, v := range data[from : from+len(dst)] {
				var one uint8
				if v {
					one = 1
				}
				dst[i] = one
			}
			return nil
		}, nil
	case []int:
		return nonZero(name, data), nil
	case []int8:
		return nonZero(name, data), nil
	case []int16:
		return nonZero(name, data), nil
	case []int32:
		return nonZero(name, data), nil
	case []int64:
		return nonZero(name, data), nil
	case []uint:
		return nonZero(name, data), nil
	case []uint8:
		return nonZero(name, data), nil
	case []uint16:
		return nonZero(name, data), nil
	case []uint32:
		return nonZero(name, data), nil
	case []uint64:
		return nonZero(name, data), nil
	case []float32:
		return nonZero(name, data), nil
	case []float64:
		return nonZero(name, data), nil
	}
	return nil, refuse("type of "+name, t.Dtype(), "one of %v", labelTypes)
}

type maskInteger interface {
	int | int8 | int16 | int32 | int64 | uint | uint8 | uint16 | uint32 | uint64
}

type maskFloat interface{ float32 | float64 }

func nonZero[T maskInteger | maskFloat](name string, data []T) func(dst []uint8, from int) error {
	return func(dst []uint8, from int) error {
		nan := -1
		for i, v := range data[from : from+len(dst)] {
			var one uint8
			if v != 0 {
				one = 1
			}
			if v != v {
				nan = i
			}
			dst[i] = one
		}
		if nan >= 0 {
			return refuse(fmt.Sprintf("element %d of %s", from+nan, name), "NaN", "a number")
		}
		return nil
	}
}

// labelReader returns a function that stores in dst the elements from index
// from on, which have to be whole numbers of at most 32 bits.
func labelReader(name string, t *tensor.Dense) (func(dst []int32, from int) error, error) {
	if err := checkReadable(name, t, labelTypes...); err != nil {
		return nil, err
	}
	switch data := t.Data().(type) {
	case []bool:
		return func(dst []int32, from int) error {
			for i, v := range data[from : from+len(dst)] {
				dst[i] = 0
				if v {
					dst[i] = 1
				}
			}
			return nil
		}, nil
	case []int:
		return integerLabels(name, data), nil
	case []int8:
		return integerLabels(name, data), nil
	case []int16:
		return integerLabels(name, data), nil
	case []int32:
		return integerLabels(name, data), nil
	case []int64:
		return integerLabels(name, data), nil
	case []uint:
		return integerLabels(name, data), nil
	case []uint8:
		return integerLabels(name, data), nil
	case []uint16:
		return integerLabels(name, data), nil
	case []uint32:
		return integerLabels(name, data), nil
	case []uint64:
		return integerLabels(name, data), nil
	case []float32:
		return floatLabels(name, data), nil
	case []float64:
		return floatLabels(name, data), nil
	}
	return nil, refuse("type of "+name, t.Dtype(), "one of %v", labelTypes)
}

func integerLabels[T maskInteger](name string, data []T) func(dst []int32, from int) error {
	return func(dst []int32, from int) error {
		for i, v := range data[from : from+len(dst)] {
			label := int32(v)
			// The sign tells 1<<31 in an unsigned type from its int32 image.
			if T(label) != v || (label < 0) != (v < 0) {
				return refuse(fmt.Sprintf("element %d of %s", from+i, name), v, "a label of at most 32 bits")
			}
			dst[i] = label
		}
		return nil
	}
}

func floatLabels[T maskFloat](name string, data []T) func(dst []int32, from int) error {
	return func(dst []int32, from int) error {
		for i, v := range data[from : from+len(dst)] {
			// The bounds come first: converting a float outside them is undefined.
			if !(v >= math.MinInt32 && v < math.MaxInt32) || T(int32(v)) != v {
				return refuse(fmt.Sprintf("element %d of %s", from+i, name), v, "a whole number of at most 32 bits")
			}
			dst[i] = int32(v)
		}
		return nil
	}
}

// spatialMask is a binary mask of two or three axes; a 2-D one has one slice.
type spatialMask struct {
	voxel []uint8 // 0 or 1
	shape [3]int  // slices, rows, columns
	axes  int     // 2 or 3
}

// newSpatialMask reads a mask of rank 2 or 3.
func newSpatialMask(name string, t *tensor.Dense) (*spatialMask, error) {
	read, err := maskReader(name, t)
	if err != nil {
		return nil, err
	}
	shape, err := spatialShape(name, t)
	if err != nil {
		return nil, err
	}
	m := &spatialMask{axes: t.Dims(), shape: shape, voxel: make([]uint8, t.Shape().TotalSize())}
	err = forChunks(1, len(m.voxel), func() func(_, from, n int) error {
		return func(_, from, n int) error { return read(m.voxel[from:from+n], from) }
	})
	return m, err
}

// spatialShape returns the slices, rows and columns of a mask of rank 2 or 3; a
// 2-D one has one slice.
func spatialShape(name string, t *tensor.Dense) ([3]int, error) {
	shape, axes := [3]int{1, 1, 1}, t.Dims()
	if axes != 2 && axes != 3 {
		return shape, refuse("shape of "+name, t.Shape(), "2 or 3 spatial axes")
	}
	copy(shape[3-axes:], t.Shape())
	return shape, nil
}

// checkSameShape refuses a prediction of another shape than the target's.
func checkSameShape(prediction, target *tensor.Dense) error {
	if !slices.Equal(prediction.Shape(), target.Shape()) {
		return refuse("shape of prediction", prediction.Shape(), "%v, that of the target", target.Shape())
	}
	return nil
}

// newSpatialMasks reads two masks of equal shape.
func newSpatialMasks(prediction, target *tensor.Dense) (p, t *spatialMask, err error) {
	if p, err = newSpatialMask("prediction", prediction); err != nil {
		return nil, nil, err
	}
	if t, err = newSpatialMask("target", target); err != nil {
		return nil, nil, err
	}
	return p, t, checkSameShape(prediction, target)
}

// chunkVoxels is the number of voxels a goroutine handles at a time; its
// buffers stay in the first-level cache.
const chunkVoxels = 4096

// forChunks splits every sample's voxels into chunks and hands them to
// goroutines, each with a body (and scratch memory) of its own; see
// [parallel.Try].
func forChunks(samples, voxels int, newBody func() func(sample, from, n int) error) error {
	perSample := (voxels + chunkVoxels - 1) / chunkVoxels
	return parallel.Try(samples*perSample, func() func(unit int) error {
		body := newBody()
		return func(unit int) error {
			from := unit % perSample * chunkVoxels
			return body(unit/perSample, from, min(chunkVoxels, voxels-from))
		}
	})
}
