package dataset

import "math"

// toRAS returns the permutation and flips after which the axes of a grid point as
// closely as possible to the right, anterior and superior. Of the six ways to match
// axes with directions it chooses the one with the largest sum of |cosines|, and the
// first of those in a tie.
func toRAS(m affine, dims [3]int) rearrangement {
	s := spacing(m)
	cosine := func(direction, axis int) float64 { return m[direction][axis] / s[axis] }
	best, bestSum := [3]int{}, math.Inf(-1)
	for _, order := range orders {
		var sum float64
		for direction, axis := range order {
			sum += math.Abs(cosine(direction, axis))
		}
		if sum > bestSum {
			best, bestSum = order, sum
		}
	}
	r := rearrangement{axis: best}
	for direction, axis := range best {
		r.dims[direction] = dims[axis]
		r.step[direction] = 1
		if m[direction][axis] < 0 {
			r.step[direction] = -1
			r.start[direction] = dims[axis] - 1
		}
	}
	return r
}
