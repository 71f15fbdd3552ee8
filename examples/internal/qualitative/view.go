package qualitative

import (
	"math"

	"github.com/x/afl/examples/internal/render"
	"github.com/x/afl/examples/internal/surface"
)

// view is the part of a case that a column shows: a square around the lesion, with the same
// scale in the slice and in the picture of the surface.
type view struct {
	center [3]float64 // in voxels
	side   float64    // in millimeters
	slice  int        // along the third axis
}

// newView returns the view of a label, of all of the grid if the label is empty.
func newView(label surface.Mask) view {
	lo, hi, ok := label.Box()
	if !ok {
		hi = label.Dims
	}
	v := view{slice: largestSlice(label, lo[2], hi[2])}
	largest, diagonal := 0.0, 0.0
	for axis := range 3 {
		v.center[axis] = float64(lo[axis]+hi[axis]-1) / 2
		extent := float64(hi[axis]-lo[axis]) * label.Spacing[axis]
		largest, diagonal = max(largest, extent), math.Hypot(diagonal, extent)
	}
	// Room for the surface from any direction, a margin around the lesion, and some voxels
	// around a tiny one.
	v.side = max(1.1*diagonal, 1.5*largest, 10*max(label.Spacing[0], label.Spacing[1]))
	return v
}

// largestSlice returns the slice with most foreground from first up to end, of several
// the one closest to the middle.
func largestSlice(m surface.Mask, first, end int) int {
	middle := (first + end - 1) / 2
	best, most := middle, -1
	for k := first; k < end; k++ {
		n := 0
		for at := k; at < len(m.Voxels); at += m.Dims[2] {
			if m.Voxels[at] {
				n++
			}
		}
		if n > most || n == most && abs(k-middle) < abs(best-middle) {
			best, most = k, n
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// crop returns the part of a mask in the cube that the view shows, and the camera on it.
func (v view) crop(m surface.Mask) (surface.Mask, render.View) {
	part := surface.Mask{Spacing: m.Spacing}
	var lo, hi [3]int
	camera := camera
	camera.Side = v.side
	for axis := range lo {
		reach := v.side / 2 / m.Spacing[axis]
		lo[axis] = max(0, int(math.Ceil(v.center[axis]-reach)))
		hi[axis] = min(m.Dims[axis], int(math.Floor(v.center[axis]+reach))+1)
		part.Dims[axis] = hi[axis] - lo[axis]
		camera.Center[axis] = (v.center[axis] - float64(lo[axis])) * m.Spacing[axis]
	}
	for i := lo[0]; i < hi[0]; i++ {
		for j := lo[1]; j < hi[1]; j++ {
			row := (i*m.Dims[1] + j) * m.Dims[2]
			part.Voxels = append(part.Voxels, m.Voxels[row+lo[2]:row+hi[2]]...)
		}
	}
	return part, camera
}

// camera looks from the front, a little from the patient's left and from above. The
// patient's right is on the left of the picture, as in the slices.
var camera = func() render.View {
	const azimuth, elevation = 25 * math.Pi / 180, 22 * math.Pi / 180
	sa, ca := math.Sincos(azimuth)
	se, ce := math.Sincos(elevation)
	// The horizontal direction to the camera is (−sa, ca, 0).
	return render.View{Right: [3]float64{-ca, -sa, 0}, Up: [3]float64{sa * se, -ca * se, ce}}
}()

// voxel returns the continuous voxel indices at a point of the slice's picture, from 0 to 1
// to the right and down. The axes of a case point to the right, anterior and superior; the
// picture has the patient's right on the left and anterior at the top.
func (v view) voxel(x, y float64, spacing [3]float64) (i, j float64) {
	return v.center[0] - (x-0.5)*v.side/spacing[0], v.center[1] - (y-0.5)*v.side/spacing[1]
}
