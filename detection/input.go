package detection

import (
	"errors"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/components"
	"github.com/x/afl/internal/labels"
	"github.com/x/afl/internal/plan"
)

// refuse returns an [afl.ArgumentError]; got is formatted with %v.
func refuse(argument string, got any, want string, args ...any) error {
	return public(plan.Refuse(argument, got, want, args...))
}

// public turns the refusals of internal packages into an [afl.ArgumentError].
func public(err error) error {
	return plan.Reword(err, func(r *plan.Refusal) error { return (*afl.ArgumentError)(r) })
}

// spatialShape returns the slices, rows and columns of a volume; an image has one slice.
func spatialShape(name string, t *tensor.Dense) ([3]int, error) {
	shape, axes := [3]int{1, 1, 1}, t.Dims()
	if axes != 2 && axes != 3 {
		return shape, refuse("shape of "+name, t.Shape(), "2 or 3 spatial axes")
	}
	copy(shape[3-axes:], t.Shape())
	return shape, nil
}

// readFloats returns the elements of a float32 or float64 volume as float64, all of
// which have to be in a range.
func readFloats(name string, t *tensor.Dense, least, most float64, want string) ([]float64, [3]int, error) {
	if err := plan.CheckReadable(name, t, tensor.Float32, tensor.Float64); err != nil {
		return nil, [3]int{}, public(err)
	}
	shape, err := spatialShape(name, t)
	if err != nil {
		return nil, shape, err
	}
	values := make([]float64, t.Shape().TotalSize())
	labels.Of(t.Data()).Float64s(values, 0)
	for i, v := range values {
		if !(v >= least && v <= most) {
			return nil, shape, refuse("an element of "+name, v, "%s (element %d)", want, i)
		}
	}
	return values, shape, nil
}

// readMask returns which voxels of a volume of any type are not zero.
func readMask(name string, t *tensor.Dense) ([]uint8, [3]int, error) {
	if err := plan.CheckReadable(name, t, plan.LabelTypes...); err != nil {
		return nil, [3]int{}, public(err)
	}
	shape, err := spatialShape(name, t)
	if err != nil {
		return nil, shape, err
	}
	mask := make([]uint8, t.Shape().TotalSize())
	if nan := labels.Of(t.Data()).NonZero(mask, 0); nan >= 0 {
		return nil, shape, refuse("an element of "+name, math.NaN(), "a number (element %d)", nan)
	}
	return mask, shape, nil
}

// find returns the connected components of the voxels that keep holds for.
func find(shape [3]int, keep func(i int) bool) (runs []components.Run, count int) {
	mask := make([]uint8, shape[0]*shape[1]*shape[2])
	for i := range mask {
		if keep(i) {
			mask[i] = 1
		}
	}
	return components.Find(mask, shape, components.Vertex)
}

var errNoEntries = errors.New("detection: no case has an entry: there is neither a lesion nor a candidate to score")
