package afl

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/edt"
)

// checkDistanceMap checks a map that was passed in, of a number of channels.
func (c *hostCall) checkDistanceMap(channels int) error {
	m := c.cfg.DistanceMap
	if m == nil {
		return nil
	}
	if err := c.checkTensor("distance map", m, tensor.Float32, tensor.Float64); err != nil {
		return err
	}
	want := append(tensor.Shape{c.batch.N, channels}, c.input.spatial...)
	if !m.Shape().Eq(want) {
		return refuse("shape of distance map", m.Shape(), "%v", want)
	}
	if c.grad != nil && overlaps(c.grad, m) {
		return refuse("grad", "in the memory of distance map", "memory of its own")
	}
	return nil
}

// spacing3 checks a spacing, of which none means 1, and returns it along the axes of
// plan.Batch.Space.
func (in *input) spacing3(spacing []float64) ([3]float64, error) {
	if len(spacing) == 0 {
		return [3]float64{1, 1, 1}, nil
	}
	if len(spacing) != len(in.spatial) {
		return [3]float64{}, refuse("length of Spacing", len(spacing), "%d, one for each spatial axis, or 0", len(in.spatial))
	}
	for i, s := range spacing {
		if !(s > 0) || math.IsInf(s, 0) {
			return [3]float64{}, refuse(fmt.Sprintf("Spacing[%d]", i), s, "a finite number above 0")
		}
	}
	if len(spacing) == 2 {
		return [3]float64{spacing[0], 1, spacing[1]}, nil
	}
	return [3]float64(spacing), nil
}

// squaredField calls visit, concurrently, with the squared distances of consecutive voxels
// from index at on across the boundary of a mask, which holds zeros and ones; see
// [edt.Field]. It does not where the mask is empty or everything.
func squaredField(mask []uint8, shape [3]int, spacing [3]float64, visit func(at int, squared []float64)) {
	m := edt.NewMask(shape)
	m.Fill(0, mask)
	edt.Field(m, spacing, visit)
}
