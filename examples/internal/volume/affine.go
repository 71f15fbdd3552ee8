package volume

import (
	"fmt"
	"math"
)

// spacing returns the norms of the first three columns.
func spacing(a [4][4]float64) [3]float64 {
	var s [3]float64
	for c := range s {
		s[c] = norm(a[0][c], a[1][c], a[2][c])
	}
	return s
}

// norm returns the Euclidean norm without intermediate overflow or underflow.
func norm(x, y, z float64) float64 { return math.Hypot(math.Hypot(x, y), z) }

// column returns the first three entries of column c.
func column(a [4][4]float64, c int) [3]float64 { return [3]float64{a[0][c], a[1][c], a[2][c]} }

// withNormal replaces the third axis by a vector of the given length that is perpendicular
// to the first two and makes a right-handed system with them. If these are parallel, it
// returns a unchanged.
func withNormal(a [4][4]float64, length float64) [4][4]float64 {
	var unit [2][3]float64
	for c := range unit {
		x := column(a, c)
		n := norm(x[0], x[1], x[2])
		for i := range 3 {
			unit[c][i] = x[i] / n
		}
	}
	u, v := unit[0], unit[1]
	w := [3]float64{u[1]*v[2] - u[2]*v[1], u[2]*v[0] - u[0]*v[2], u[0]*v[1] - u[1]*v[0]}
	n := norm(w[0], w[1], w[2])
	if !(n > 0) {
		return a
	}
	for i := range 3 {
		a[i][2] = w[i] / n * length
	}
	return a
}

// checkAffine returns an error for an affine that is not finite, whose last row is not
// (0,0,0,1), or that is singular.
func checkAffine(a [4][4]float64) error {
	for _, row := range a {
		for _, x := range row {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("affine %v, want finite numbers", a)
			}
		}
	}
	if a[3] != [4]float64{0, 0, 0, 1} {
		return fmt.Errorf("last row of the affine is %v, want [0 0 0 1]", a[3])
	}
	s := spacing(a)
	for _, x := range s {
		if x == 0 || math.IsInf(x, 0) {
			return fmt.Errorf("affine with spacing %v, want positive and finite", s)
		}
	}
	// The determinant of the directions is the volume of the unit cell relative to a
	// rectangular one. Unlike that of the affine, it is independent of scale.
	const flat = 1e-6
	if d := det(directions(a, s)); !(math.Abs(d) >= flat) {
		return fmt.Errorf("affine %v is singular", a)
	}
	return nil
}

// directions returns the unit vectors of the index axes as columns.
func directions(a [4][4]float64, s [3]float64) [3][3]float64 {
	var r [3][3]float64
	for i := range r {
		for c := range r[i] {
			r[i][c] = a[i][c] / s[c]
		}
	}
	return r
}

func det(m [3][3]float64) float64 {
	return m[0][0]*(m[1][1]*m[2][2]-m[1][2]*m[2][1]) -
		m[0][1]*(m[1][0]*m[2][2]-m[1][2]*m[2][0]) +
		m[0][2]*(m[1][0]*m[2][1]-m[1][1]*m[2][0])
}

// qform is the NIfTI parameterization of a rotation with zooms: the unit quaternion
// (√(1−b²−c²−d²), b, c, d), the zooms, and the sign of the third axis.
type qform struct {
	b, c, d float64
	zooms   [3]float64
	qfac    float64 // 1 or −1
	offset  [3]float64
}

// affine evaluates the qform ("method 2" of the NIfTI-1 standard).
func (q qform) affine() ([4][4]float64, error) {
	var m [4][4]float64
	b, c, d := q.b, q.c, q.d
	rest := 1 - (b*b + c*c + d*d)
	// Quaternions are stored in single precision, so that of a half turn can be slightly
	// longer than 1.
	const slack = 1e-5
	if !(rest >= -slack) { // also for NaN
		return m, fmt.Errorf("quaternion (%g, %g, %g) is longer than 1", b, c, d)
	}
	a := math.Sqrt(max(rest, 0))
	// Dividing by the squared length makes R a rotation even if rest was negative.
	f := 2 / (a*a + b*b + c*c + d*d)
	r := [3][3]float64{
		{1 - f*(c*c+d*d), f * (b*c - a*d), f * (b*d + a*c)},
		{f * (b*c + a*d), 1 - f*(b*b+d*d), f * (c*d - a*b)},
		{f * (b*d - a*c), f * (c*d + a*b), 1 - f*(b*b+c*c)},
	}
	for i := range r {
		m[i] = [4]float64{
			r[i][0] * q.zooms[0],
			r[i][1] * q.zooms[1],
			r[i][2] * q.zooms[2] * q.qfac,
			q.offset[i],
		}
	}
	m[3][3] = 1
	return m, nil
}

// newQform expresses an affine that passed checkAffine as a qform. ok is false if its axes
// are not perpendicular, which a qform cannot represent.
func newQform(m [4][4]float64) (q qform, ok bool) {
	q.qfac = 1
	q.zooms = spacing(m)
	q.offset = [3]float64{m[0][3], m[1][3], m[2][3]}
	r := directions(m, q.zooms)
	const tol = 1e-5 // accept rotations stored in single precision
	for c := range 3 {
		n := (c + 1) % 3
		if math.Abs(r[0][c]*r[0][n]+r[1][c]*r[1][n]+r[2][c]*r[2][n]) > tol {
			return q, false
		}
	}
	if det(r) < 0 {
		q.qfac = -1
		for i := range r {
			r[i][2] = -r[i][2]
		}
	}
	// The diagonal gives four times the square of each component. Dividing by the largest
	// one gives the other three without cancellation.
	sq := [4]float64{
		1 + r[0][0] + r[1][1] + r[2][2],
		1 + r[0][0] - r[1][1] - r[2][2],
		1 - r[0][0] + r[1][1] - r[2][2],
		1 - r[0][0] - r[1][1] + r[2][2],
	}
	best := 0
	for i, x := range sq {
		if x > sq[best] {
			best = i
		}
	}
	big := math.Sqrt(sq[best]) // twice the component
	ab, ac, ad := r[2][1]-r[1][2], r[0][2]-r[2][0], r[1][0]-r[0][1]
	bc, bd, cd := r[1][0]+r[0][1], r[0][2]+r[2][0], r[2][1]+r[1][2]
	var w, x, y, z float64
	switch best {
	case 0:
		w, x, y, z = big*big, ab, ac, ad
	case 1:
		w, x, y, z = ab, big*big, bc, bd
	case 2:
		w, x, y, z = ac, bc, big*big, cd
	case 3:
		w, x, y, z = ad, bd, cd, big*big
	}
	// The format stores b, c, d and implies a ≥ 0; q and −q are the same rotation.
	n := math.Copysign(norm(norm(w, x, y), z, 0), w)
	q.b, q.c, q.d = x/n, y/n, z/n
	return q, true
}
