package afl

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
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

// field is a number for each voxel of some channels, N×K×V: []float32 or []float64.
type field struct {
	data    any
	release func() // gives the memory back
}

// fieldMemory32 and fieldMemory64 hold the memory of fields.
var fieldMemory32, fieldMemory64 = sync.Pool{New: func() any { return new([]float32) }}, sync.Pool{New: func() any { return new([]float64) }}

func newField[T float32 | float64](n int, pool *sync.Pool) ([]T, field) {
	memory := pool.Get().(*[]T)
	*memory = cpu.Grow(*memory, n)
	return *memory, field{*memory, func() { pool.Put(memory) }}
}

// squares returns the signed squared distances from the boundaries of masks of so many
// channels, or with an exponent other than 1 powers of their absolute values. They are float32
// if the logits are and all are in its range.
func (c *hostCall) squares(masks *cpu.Masks, channels int, spacing [3]float64, exponent float64) field {
	n := c.batch.N * channels * c.batch.V
	if c.fitsFloat32(spacing, exponent) {
		data, f := newField[float32](n, &fieldMemory32)
		storeSquares(data, c, masks, spacing)
		raise(data, exponent)
		return f
	}
	data, f := newField[float64](n, &fieldMemory64)
	storeSquares(data, c, masks, spacing)
	raise(data, exponent)
	return f
}

// storeSquares stores the signed squared distances from the boundaries of masks, see
// [edt.Field].
func storeSquares[T float32 | float64](dst []T, c *hostCall, masks *cpu.Masks, spacing [3]float64) {
	for i, voxels := 0, c.batch.V; i*voxels < len(dst); i++ {
		m := edt.NewMask(c.batch.Space)
		m.FillBits(masks.At(i))
		edt.Field(dst[i*voxels:(i+1)*voxels], m, spacing)
	}
}

// raise replaces numbers by powers of their absolute values, unless the exponent is 1.
func raise[T float32 | float64](data []T, exponent float64) {
	if exponent == 1 {
		return
	}
	eachPart(len(data), func(lo, hi int) {
		for i, v := range data[lo:hi] {
			data[lo+i] = T(cpu.Power(math.Abs(float64(v)), exponent))
		}
	})
}

// largestField and smallestField limit the numbers of a field in float32, with which a loss
// still multiplies and adds.
const largestField, smallestField = 1e18, 1e-18

// fitsFloat32 reports whether the logits are float32 and powers of squared distances are in
// its range.
func (c *hostCall) fitsFloat32(spacing [3]float64, exponent float64) bool {
	least, most := math.Inf(1), 0.0
	for axis, n := range c.batch.Space {
		if n > 1 {
			step := spacing[axis]
			least = min(least, float64(step*step))
			d := float64(float64(n-1) * step)
			most += float64(d * d)
		}
	}
	return c.batch.Logits.Dtype() == tensor.Float32 && cpu.Power(most, exponent) < largestField && cpu.Power(least, exponent) > smallestField
}

// mapPowers returns powers of the distances of a map that was passed in: in float32 if the
// logits are and all are in its range.
func (c *hostCall) mapPowers(exponent float64) field {
	n, src := c.cfg.DistanceMap.Shape().TotalSize(), c.cfg.DistanceMap.Data()
	if c.batch.Logits.Dtype() == tensor.Float32 {
		data, f := newField[float32](n, &fieldMemory32)
		if storePowers(data, src, exponent) {
			return f
		}
		f.release()
	}
	data, f := newField[float64](n, &fieldMemory64)
	storePowers(data, src, exponent)
	return f
}

// storePowers stores powers of the numbers of a []float32 or []float64, and reports whether
// all are 0 or from smallestField to largestField.
func storePowers[T float32 | float64](dst []T, src any, exponent float64) bool {
	var outside atomic.Bool
	eachPart(len(dst), func(lo, hi int) {
		var within bool
		switch s := src.(type) {
		case []float32:
			within = storePowersOf(dst[lo:hi], s[lo:hi], exponent)
		case []float64:
			within = storePowersOf(dst[lo:hi], s[lo:hi], exponent)
		}
		if !within {
			outside.Store(true)
		}
	})
	return !outside.Load()
}

func storePowersOf[T, S float32 | float64](dst []T, src []S, exponent float64) (within bool) {
	within = true
	dst = dst[:len(src)]
	if exponent == 2 { // the common case
		for i, v := range src {
			d := float64(v)
			d = float64(d * d)
			within = within && (d <= largestField && d >= smallestField || d == 0)
			dst[i] = T(d)
		}
		return within
	}
	for i, v := range src {
		d := cpu.Power(float64(v), exponent)
		within = within && (d <= largestField && d >= smallestField || d == 0)
		dst[i] = T(d)
	}
	return within
}
