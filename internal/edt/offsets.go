package edt

import "math"

// offset is the place of a row relative to another: so many slices and rows
// away, in either direction.
type offset struct {
	slices, rows int
	sliceSquare  float64 // squared distance across the slices
	rowSquare    float64 // and across the rows
	square       float64 // of both
}

// offsets lists the offsets of rows within a volume, the nearest first, as far
// as they are asked for.
type offsets struct {
	shape   [3]int
	squares [3]float64 // of the spacing
	list    []offset
	next    []int // by slices: the rows of the first offset that is not listed yet
}

func newOffsets(shape [3]int, spacing [3]float64) *offsets {
	o := &offsets{shape: shape, next: make([]int, shape[0])}
	for axis, s := range spacing {
		o.squares[axis] = s * s
	}
	return o
}

func (o *offsets) at(slices, rows int) offset {
	z, y := float64(slices), float64(rows)
	f := offset{slices: slices, rows: rows, sliceSquare: o.squares[0] * float64(z*z), rowSquare: o.squares[1] * float64(y*y)}
	f.square = f.rowSquare + f.sliceSquare
	return f
}

// nearest returns the nearest offset that is not listed, or one at +Inf where
// all are.
func (o *offsets) nearest() offset {
	best := offset{square: math.Inf(1)}
	for slices, rows := range o.next {
		if rows < o.shape[1] {
			if f := o.at(slices, rows); f.square < best.square {
				best = f
			}
		}
		if rows == 0 {
			break // the offsets of more slices are farther
		}
	}
	return best
}

// grow extends the list to the n nearest offsets, or to all there are. It
// returns the squared distance of the nearest row that is not listed.
func (o *offsets) grow(n int) float64 {
	f := o.nearest()
	for len(o.list) < n && !math.IsInf(f.square, 1) {
		o.list = append(o.list, f)
		o.next[f.slices]++
		f = o.nearest()
	}
	return f.square
}
