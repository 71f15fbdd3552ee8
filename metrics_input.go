package afl

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/labels"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// checkReadable is [plan.CheckReadable] with this package's error.
func checkReadable(name string, t *tensor.Dense, types ...tensor.Dtype) error {
	return public(plan.CheckReadable(name, t, types...))
}

// newReader returns a reader for a mask or a label tensor.
func newReader(name string, t *tensor.Dense) (labels.Reader, error) {
	if err := checkReadable(name, t, plan.LabelTypes...); err != nil {
		return nil, err
	}
	return labels.Of(t.Data()), nil
}

// maskReader returns a function that stores in dst, as 1 and 0, which of the
// elements from index from on are not zero.
func maskReader(name string, t *tensor.Dense) (func(dst []uint8, from int) error, error) {
	reader, err := newReader(name, t)
	if err != nil {
		return nil, err
	}
	return func(dst []uint8, from int) error {
		if nan := reader.NonZero(dst, from); nan >= 0 {
			return refuse(fmt.Sprintf("element %d of %s", from+nan, name), "NaN", "a number")
		}
		return nil
	}, nil
}

// spatialMask is a binary mask with two or three axes; a 2-D one has one slice.
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

// checkSameShape refuses a prediction whose shape differs from the target's.
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

// chunkVoxels is the number of voxels that a goroutine handles at a time: its
// buffers stay in the L1 cache.
const chunkVoxels = 4096

// forChunks splits the voxels of every sample into chunks and shares these among
// goroutines, each with its own body and scratch memory; see [parallel.Try].
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
