package phantom

import (
	"math"
	"math/rand/v2"
)

// point is a position in millimeters in the frame of the patient's scan, whose axes are
// those of the grid and whose origin is the center of the field of view.
type point = [3]float64

// ellipsoid is an axis-aligned ellipsoid.
type ellipsoid struct{ center, radius point }

// depth returns -1 at the center, 0 on the surface and a positive value outside.
func (e ellipsoid) depth(p point) float64 {
	var s float64
	for i := range p {
		d := (p[i] - e.center[i]) / e.radius[i]
		s += d * d
	}
	return math.Sqrt(s) - 1
}

// lesion is an ellipsoid whose surface is displaced by noise.
type lesion struct {
	shape ellipsoid
	// ragged is the amplitude of the noise as a fraction of the radius: 0 is smooth,
	// and below 1 the center is always inside.
	ragged  float64
	surface field
	// contrast is the fraction of the full change of intensity that the lesion shows.
	contrast float64
}

// depth returns a negative value inside the lesion, which includes its center.
func (l lesion) depth(p point) float64 {
	d := l.shape.depth(p)
	if l.ragged == 0 || d > l.ragged {
		return d
	}
	// Most of the noise is within ±½; doubled, it reaches the bounds.
	return d + l.ragged*min(max(2*l.surface.octaves(p), -1), 1)
}

// newLesion draws a lesion with the given center; size is the geometric mean of its radii
// in millimeters.
func newLesion(rng *rand.Rand, center point, size float64) lesion {
	a, b := stretch(rng), stretch(rng)
	l := lesion{
		shape:    ellipsoid{center, point{size * a, size * b, size / (a * b)}},
		contrast: 0.6 + 0.4*rng.Float64(),
		surface:  field{rng.Uint64(), 0.8 * size},
	}
	if rng.Float64() < 0.67 { // the other third is smooth
		l.ragged = 0.9 * rng.Float64()
	}
	return l
}

func stretch(rng *rand.Rand) float64 { return 0.8 + 0.45*rng.Float64() }

// logUniform draws from lo … hi so that equal ratios are equally likely.
func logUniform(rng *rand.Rand, lo, hi float64) float64 {
	return lo * math.Pow(hi/lo, rng.Float64())
}

// inside draws a point of the ellipsoid whose depth is at most the given one.
func (e ellipsoid) inside(rng *rand.Rand, depth float64) point {
	for {
		var p point
		for i := range p {
			p[i] = e.center[i] + e.radius[i]*(2*rng.Float64()-1)
		}
		if e.depth(p) <= depth {
			return p
		}
	}
}

// blend returns the fraction of a voxel that is inside a surface: 1 for a depth below
// -width, 0 above width, and linear in between (the partial volume effect).
func blend(depth, width float64) float64 {
	return min(max(0.5-depth/(2*width), 0), 1)
}

// mixTo interpolates linearly from a to b by the fraction t.
func mixTo(a, b, t float64) float64 { return a + t*(b-a) }
