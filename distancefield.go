package afl

import (
	"bytes"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/edt"
	"github.com/x/afl/internal/parallel"
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

// squaredField stores in dst the squared distance of each voxel of the mask, which holds
// zeros and ones, to the nearest one outside it, and of each outside it to the nearest of
// the mask. It reports false, and leaves dst alone, where the mask is empty or everything.
func squaredField(dst []float64, mask []uint8, shape [3]int, spacing [3]float64) bool {
	lo, hi, count := bounds(mask, shape)
	if count == 0 || count == len(mask) {
		return false
	}
	sites := edt.NewMask(shape)
	sites.Fill(0, mask)
	edt.Squared(dst, sites, spacing)
	// The nearest voxel outside is never beyond those around the mask's box.
	var size [3]int
	for a := range size {
		lo[a], hi[a] = max(lo[a]-1, 0), min(hi[a]+1, shape[a])
		size[a] = hi[a] - lo[a]
	}
	inverse := make([]uint8, size[0]*size[1]*size[2])
	eachRow(size, lo, shape, func(row, at int) {
		for i, v := range mask[at : at+size[2]] {
			inverse[row*size[2]+i] = 1 - v
		}
	})
	sites = edt.NewMask(size)
	sites.Fill(0, inverse)
	inside := make([]float64, len(inverse))
	edt.Squared(inside, sites, spacing)
	eachRow(size, lo, shape, func(row, at int) {
		for i, v := range mask[at : at+size[2]] {
			if v != 0 {
				dst[at+i] = inside[row*size[2]+i]
			}
		}
	})
	return true
}

// eachRow calls f, concurrently, for every row of a box that begins at lo in a volume, with
// its number and the index of its first voxel in the volume.
func eachRow(size, lo, shape [3]int, f func(row, at int)) {
	parallel.Do(size[0], func() func(int) {
		return func(z int) {
			for y := range size[1] {
				f(z*size[1]+y, ((lo[0]+z)*shape[1]+lo[1]+y)*shape[2]+lo[2])
			}
		}
	})
}

// bounds returns the box of the ones of a mask, [lo,hi), and their number.
func bounds(mask []uint8, shape [3]int) (lo, hi [3]int, count int) {
	lo = shape
	for z := range shape[0] {
		for y := range shape[1] {
			row := mask[(z*shape[1]+y)*shape[2]:][:shape[2]]
			first := bytes.IndexByte(row, 1)
			if first < 0 {
				continue
			}
			last := bytes.LastIndexByte(row, 1)
			count += bytes.Count(row[first:last+1], []byte{1})
			lo = [3]int{min(lo[0], z), min(lo[1], y), min(lo[2], first)}
			hi = [3]int{max(hi[0], z+1), max(hi[1], y+1), max(hi[2], last+1)}
		}
	}
	return lo, hi, count
}
