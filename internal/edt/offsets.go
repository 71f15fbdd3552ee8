package edt

import "math"

// offset is the position of up to four rows relative to another: that many slices and
// rows away in either direction.
type offset struct {
	slices, rows           int
	sliceSquare, rowSquare float64 // squared distances along the two axes
	square                 float64 // their sum
}

// offsets lists the offsets within a volume, nearest first, as far as they have been
// requested.
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
	// Rounded as in the sweeps of [Squared].
	square := func(axis, steps int) float64 {
		d := float64(steps)
		return float64(float64(o.spacing[axis]*o.spacing[axis]) * float64(d*d))
	}
	z, y := square(0, slices), square(1, rows)
	return offset{slices, rows, z, y, y + z}
}

// nearest returns the n nearest offsets, or all if there are fewer, and the squared
// distance of the next one.
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
