package phantom

import (
	"math"
	"math/rand/v2"

	"github.com/x/afl/examples/internal/volume"
)

// grid is a regular grid in the coordinate frame of a scan.
type grid struct {
	dims    [3]int
	spacing point
	center  point         // center of the grid in the frame
	world   [4][4]float64 // maps the frame to world coordinates
}

// half returns half the field of view in millimeters.
func (g grid) half() point {
	var h point
	for i := range h {
		h[i] = float64(g.dims[i]) * g.spacing[i] / 2
	}
	return h
}

// orientation returns the map from the frame to world coordinates. The frame's axes
// point to the left, posterior and superior, as scanners store them, tilted about the
// left-right axis.
func orientation(tilt float64, shift point) [4][4]float64 {
	sin, cos := math.Sincos(tilt)
	return [4][4]float64{
		{-1, 0, 0, shift[0]},
		{0, -cos, -sin, shift[1]},
		{0, -sin, cos, shift[2]},
		{0, 0, 0, 1},
	}
}

// shiftOf draws the position of the patient.
func shiftOf(rng *rand.Rand) point {
	return point{20 * (2*rng.Float64() - 1), 20 * (2*rng.Float64() - 1), 20 * (2*rng.Float64() - 1)}
}

// first returns the position of voxel (0, 0, 0) in the frame.
func (g grid) first() point {
	var p point
	for i := range p {
		p[i] = g.center[i] - float64(g.dims[i]-1)/2*g.spacing[i]
	}
	return p
}

// nearest returns the center of the voxel nearest to a point. A lesion centered there
// contains at least one voxel.
func (g grid) nearest(p point) point {
	first := g.first()
	for i := range p {
		n := math.Round((p[i] - first[i]) / g.spacing[i])
		p[i] = first[i] + min(max(n, 0), float64(g.dims[i]-1))*g.spacing[i]
	}
	return p
}

// affine returns the map from voxel indices to world coordinates.
func (g grid) affine() [4][4]float64 {
	m, first := g.world, g.first()
	for r := range 3 {
		for c := range 3 {
			m[r][c] = g.world[r][c] * g.spacing[c]
			m[r][3] += g.world[r][c] * first[c]
		}
	}
	return m
}

// points calls f with the index and the position of every voxel, in order.
func (g grid) points(f func(n int, at point)) {
	first, n := g.first(), 0
	for i := range g.dims[0] {
		for j := range g.dims[1] {
			for k := range g.dims[2] {
				f(n, point{
					first[0] + float64(i)*g.spacing[0],
					first[1] + float64(j)*g.spacing[1],
					first[2] + float64(k)*g.spacing[2],
				})
				n++
			}
		}
	}
}

func (g grid) empty(channels int) *volume.Volume {
	return &volume.Volume{
		Dims:     g.dims,
		Channels: channels,
		Data:     make([]float64, channels*g.dims[0]*g.dims[1]*g.dims[2]),
		Affine:   g.affine(),
	}
}

// sample evaluates the channels and adds Gaussian noise, except where a value is zero.
// Noisy values are rounded and at least 1, because scanners return positive values.
func (g grid) sample(values func(point) []float64, noise []float64, rng *rand.Rand) *volume.Volume {
	v := g.empty(len(noise))
	voxels := len(v.Data) / len(noise)
	g.points(func(n int, at point) {
		for c, x := range values(at) {
			if x != 0 {
				x = max(1, math.Round(x+noise[c]*rng.NormFloat64()))
			}
			v.Data[c*voxels+n] = x
		}
	})
	return v
}

// label evaluates a label at every voxel.
func (g grid) label(at func(point) float64) *volume.Volume {
	v := g.empty(1)
	g.points(func(n int, p point) { v.Data[n] = at(p) })
	return v
}
