package phantom

import (
	"math"
	"math/rand/v2"
)

// point is a position in millimetres in the frame of the patient's scan: its
// axes are those of the grid, its origin is the centre of the field of view.
type point = [3]float64

// ellipsoid is an axis-aligned ellipsoid.
type ellipsoid struct{ centre, radius point }

// depth is -1 at the centre, 0 on the surface, positive outside.
func (e ellipsoid) depth(p point) float64 {
	var s float64
	for i := range p {
		d := (p[i] - e.centre[i]) / e.radius[i]
		s += d * d
	}
	return math.Sqrt(s) - 1
}

// lesion is an ellipsoid whose surface is moved in and out by noise.
type lesion struct {
	shape ellipsoid
	// ragged is the height of the noise as a part of the radius: 0 is smooth,
	// and below 1 the centre is always inside.
	ragged  float64
	surface field
	// contrast is how much of the full change of intensity it shows.
	contrast float64
}

// depth is negative inside, and always at the centre.
func (l lesion) depth(p point) float64 {
	d := l.shape.depth(p)
	if l.ragged == 0 || d > l.ragged {
		return d
	}
	// Most of the noise lies within ±½; doubled, it reaches the bounds.
	return d + l.ragged*min(max(2*l.surface.octaves(p), -1), 1)
}

// newLesion draws a lesion about a centre; size is the geometric mean of its
// radii in millimetres.
func newLesion(rng *rand.Rand, centre point, size float64) lesion {
	a, b := stretch(rng), stretch(rng)
	l := lesion{
		shape:    ellipsoid{centre, point{size * a, size * b, size / (a * b)}},
		contrast: 0.6 + 0.4*rng.Float64(),
		surface:  field{rng.Uint64(), 0.8 * size},
	}
	if rng.Float64() < 0.67 { // a third are smooth
		l.ragged = 0.9 * rng.Float64()
	}
	return l
}

func stretch(rng *rand.Rand) float64 { return 0.8 + 0.45*rng.Float64() }

// logUniform draws from lo … hi with equal chances for equal ratios.
func logUniform(rng *rand.Rand, lo, hi float64) float64 {
	return lo * math.Pow(hi/lo, rng.Float64())
}

// inside draws a point of the ellipsoid's inner part, up to the given depth.
func (e ellipsoid) inside(rng *rand.Rand, depth float64) point {
	for {
		var p point
		for i := range p {
			p[i] = e.centre[i] + e.radius[i]*(2*rng.Float64()-1)
		}
		if e.depth(p) <= depth {
			return p
		}
	}
}

// blend is the part of a voxel that lies inside a surface: 1 where depth is
// below -width, 0 above width, linear between (the partial volume effect).
func blend(depth, width float64) float64 {
	return min(max(0.5-depth/(2*width), 0), 1)
}

// mixTo moves from a to b by the part t.
func mixTo(a, b, t float64) float64 { return a + t*(b-a) }
