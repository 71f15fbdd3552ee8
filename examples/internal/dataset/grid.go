package dataset

import (
	"fmt"
	"math"
	"slices"
)

// checkOverlap returns an error for an image that is outside the reference image:
// resampled, it would be a channel of zeros.
func checkOverlap(first string, m affine, dims [3]int, image string, other affine, otherDims [3]int) error {
	if disjointGrids(m, dims, other, otherDims) {
		return fmt.Errorf("image %s is outside image %s of the same case, up to %.3g mm away from it", image, first, gridDistance(m, other, dims))
	}
	return nil
}

// orders are the orders of three axes.
var orders = [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

// onGrid returns the reorientation after which a grid is the same as a reference grid, to
// within the tolerance of [sameGrid], and false if there is none. Of several it returns the
// nearest.
func onGrid(m affine, dims [3]int, other affine, otherDims [3]int, tolerance float64) (best rearrangement, ok bool) {
	nearest := math.Inf(1)
	for _, order := range orders {
		for flips := range 8 {
			r := rearrangement{axis: order}
			for i, axis := range order {
				r.dims[i], r.step[i] = otherDims[axis], 1
				if flips>>i&1 == 1 {
					r.step[i], r.start[i] = -1, otherDims[axis]-1
				}
			}
			if r.dims != dims {
				continue
			}
			moved := multiply(other, r.affine())
			if d := gridDistance(m, moved, dims); d < nearest && sameGrid(m, moved, dims, tolerance) {
				nearest, best, ok = d, r, true
			}
		}
	}
	return best, ok
}

// checkLabelGrid returns an error if a label on its grid cannot be brought onto its image's
// grid by [place].
func checkLabelGrid(image string, dims [3]int, m affine, label string, labelDims [3]int, labelAffine affine, resample bool) error {
	if _, ok := onGrid(m, dims, labelAffine, labelDims, labelTolerance); ok {
		return nil
	}
	grids := fmt.Sprintf("label %s is on another grid than its image %s: the label has %s, the image %s",
		label, image, describeGrid(labelDims, labelAffine), describeGrid(dims, m))
	if dims == labelDims {
		grids += fmt.Sprintf("; their corners are up to %.3g mm apart", gridDistance(m, labelAffine, dims))
	}
	switch {
	case disjointGrids(m, dims, labelAffine, labelDims):
		return fmt.Errorf("%s; they do not overlap", grids)
	case resample:
		return nil
	}
	return fmt.Errorf("%s%s", grids, resampleHint)
}

// place returns a label on the grid of its image. If both grids have the same voxels, in
// whatever order and direction of the axes, no value changes; otherwise the label is
// resampled by nearest neighbor if asked for.
func place[T uint8 | float64](image string, dims [3]int, m affine, path string, label array[T], resampled bool) (array[T], error) {
	if err := checkLabelGrid(image, dims, m, path, label.dims, label.affine, resampled); err != nil {
		return label, err
	}
	if r, ok := onGrid(m, dims, label.affine, label.dims, labelTolerance); ok {
		label = rearrange(label, r)
		label.affine = m
		return label, nil
	}
	nonzero := func(x T) bool { return x != 0 }
	out := resample(label, dims, m, Nearest)
	if slices.ContainsFunc(label.data, nonzero) && !slices.ContainsFunc(out.data, nonzero) {
		return label, fmt.Errorf("label %s has foreground, but none of it is at a voxel of its image %s", path, image)
	}
	return out, nil
}

// describeGrid describes a grid for messages, as in "4×3×2 voxels of 1×1×3 mm, axes LPS,
// first voxel at (-10, 5, 2) mm". The letters say where the axes point: right or left,
// anterior or posterior, superior or inferior.
func describeGrid(dims [3]int, m affine) string {
	s := spacing(m)
	letters := [3]byte{}
	r := toRAS(m, dims)
	for direction, axis := range r.axis {
		letters[axis] = "RAS"[direction]
		if r.step[direction] < 0 {
			letters[axis] = "LPI"[direction]
		}
	}
	round := func(x float64) float64 {
		return math.Round(x*1e4)/1e4 + 0 // not −0
	}
	return fmt.Sprintf("%d×%d×%d voxels of %g×%g×%g mm, axes %s, first voxel at (%g, %g, %g) mm", dims[0], dims[1], dims[2],
		round(s[0]), round(s[1]), round(s[2]), letters[:], round(m[0][3]), round(m[1][3]), round(m[2][3]))
}
