package dataset

import (
	"math"

	"github.com/x/afl/internal/distance"
)

// affine maps voxel indices to world coordinates in millimeters. It is a 4×4 matrix
// whose last row is 0 0 0 1.
type affine = [4][4]float64

type point = [3]float64

// apply returns m·(p, 1). The conversions to float64 round each product before it is
// added, so that architectures with fused multiply-add give the same bits as those
// without.
func apply(m affine, p point) point {
	var q point
	for r := range q {
		q[r] = float64(m[r][0]*p[0]) + float64(m[r][1]*p[1]) + float64(m[r][2]*p[2]) + m[r][3]
	}
	return q
}

// multiply returns a·b, which applies b first and then a.
func multiply(a, b affine) affine {
	var m affine
	for r := range 4 {
		for c := range 4 {
			for k := range 4 {
				m[r][c] += float64(a[r][k] * b[k][c])
			}
		}
	}
	return m
}

// scaling returns the map that takes coordinate x of axis i to scale[i]·x + offset[i].
func scaling(scale, offset point) affine {
	m := affine{3: {3: 1}}
	for i := range 3 {
		m[i][i], m[i][3] = scale[i], offset[i]
	}
	return m
}

// cross returns the cross product a×b.
func cross(a, b point) point {
	return point{
		float64(a[1]*b[2]) - float64(a[2]*b[1]),
		float64(a[2]*b[0]) - float64(a[0]*b[2]),
		float64(a[0]*b[1]) - float64(a[1]*b[0]),
	}
}

func dot(a, b point) float64 {
	return float64(a[0]*b[0]) + float64(a[1]*b[1]) + float64(a[2]*b[2])
}

func column(m affine, c int) point { return point{m[0][c], m[1][c], m[2][c]} }

// norm returns the Euclidean length of a without intermediate overflow or underflow.
func norm(a point) float64 { return math.Hypot(math.Hypot(a[0], a[1]), a[2]) }

// spacing returns the size of a voxel along each axis.
func spacing(m affine) [3]float64 {
	return [3]float64{norm(column(m, 0)), norm(column(m, 1)), norm(column(m, 2))}
}

// regular reports whether m is finite and its axes are linearly independent: the volume
// of a voxel is at least 10⁻⁶ of that of a box with the same edge lengths.
func regular(m affine) bool {
	for _, row := range m {
		for _, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return false
			}
		}
	}
	var unit [3]point
	for i, s := range spacing(m) {
		if s == 0 {
			return false
		}
		for r := range 3 {
			unit[i][r] = m[r][i] / s
		}
	}
	return math.Abs(dot(unit[0], cross(unit[1], unit[2]))) >= 1e-6
}

// invert returns the inverse of a regular map.
func invert(m affine) affine {
	c := [3]point{column(m, 0), column(m, 1), column(m, 2)}
	det := dot(c[0], cross(c[1], c[2]))
	inv := affine{3: {3: 1}}
	for r := range 3 {
		row := cross(c[(r+1)%3], c[(r+2)%3])
		for k := range 3 {
			inv[r][k] = row[k] / det
		}
		inv[r][3] = -(dot(row, column(m, 3)) / det)
	}
	return inv
}

// Maximum distance between the corners of two grids that count as the same grid, as a
// fraction of the smallest voxel edge. Headers store single precision and tools round
// rotations differently, so the corners of real masks are off by a tenth of a voxel.
const (
	// labelTolerance ensures that every voxel of the label is nearest to its own voxel
	// of the image. A mask drawn on another scan is off by far more.
	labelTolerance = 0.5
	// channelTolerance is a distance at which interpolation makes no visible difference.
	channelTolerance = 0.01
)

// gridDistance returns the largest distance in millimeters between corresponding
// corners of two grids of the given size.
func gridDistance(a, b affine, dims [3]int) float64 {
	var far float64
	for corner := range 8 {
		var p point
		for i := range p {
			if corner>>i&1 == 1 {
				p[i] = float64(dims[i] - 1)
			}
		}
		x, y := apply(a, p), apply(b, p)
		far = max(far, norm(point{x[0] - y[0], x[1] - y[1], x[2] - y[2]}))
	}
	return far
}

// sameGrid reports whether corresponding corners of two grids of the given size are
// within the tolerance, a fraction of a's smallest voxel edge.
func sameGrid(a, b affine, dims [3]int, tolerance float64) bool {
	s := spacing(a)
	return distance.Within(gridDistance(a, b, dims), tolerance*min(s[0], s[1], s[2]))
}

// disjointGrids reports whether two grids have practically no overlap: none of 9×9×9
// points spread evenly over either grid is in a voxel of the other.
func disjointGrids(a affine, aDims [3]int, b affine, bDims [3]int) bool {
	return !samplesInside(a, aDims, b, bDims) && !samplesInside(b, bDims, a, aDims)
}

// samplesInside reports whether any of the points spread over grid a is in a voxel of b.
func samplesInside(a affine, aDims [3]int, b affine, bDims [3]int) bool {
	const points = 9
	toB := multiply(invert(b), a)
	for n := range points * points * points {
		var p point
		for i, at := range [3]int{n / (points * points), n / points % points, n % points} {
			p[i] = float64(at*(aDims[i]-1)) / (points - 1)
		}
		inside := true
		for i, x := range apply(toB, p) {
			inside = inside && x >= -0.5 && x <= float64(bDims[i])-0.5
		}
		if inside {
			return true
		}
	}
	return false
}
