package edt

import "math"

// offset is the place of rows relative to another: so many slices and rows away,
// either way.
type offset struct {
	slices, rows           int
	sliceSquare, rowSquare float64 // squared distances along these axes
	square                 float64 // of both
}

// offsets lists the offsets within a volume, the nearest first, as far as they
// are asked for.
type offsets struct {
	shape   [3]int
	spacing [3]float64
	list    []offset
	rest    *frontier
}

func newOffsets(shape [3]int, spacing [3]float64) *offsets {
	o := &offsets{shape: shape, spacing: spacing}
	o.rest = newFrontier(func(slices, rows int) float64 {
		if slices == shape[0] || rows == shape[1] {
			return math.Inf(1)
		}
		return o.at(slices, rows).square
	})
	return o
}

func (o *offsets) at(slices, rows int) offset {
	// As in the sweeps of [Squared].
	square := func(axis, steps int) float64 {
		d := float64(steps)
		return float64(float64(o.spacing[axis]*o.spacing[axis]) * float64(d*d))
	}
	z, y := square(0, slices), square(1, rows)
	return offset{slices, rows, z, y, y + z}
}

// nearest returns the n nearest offsets, or all there are, and the squared
// distance of the first that is not among them.
func (o *offsets) nearest(n int) (list []offset, beyond float64) {
	for len(o.list) <= n {
		p := o.rest.take()
		if math.IsInf(p.value, 1) {
			return o.list, p.value
		}
		o.list = append(o.list, o.at(p.i, p.j))
	}
	return o.list[:n], o.list[n].square
}
