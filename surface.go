package afl

import (
	"bytes"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/edt"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// SurfaceDistances holds the distances between the surfaces of two masks, from
// which the Hausdorff distance, the average surface distance and the surface
// Dice follow without further work on the volume.
//
// The surface of a mask is the set of its voxels that have a face neighbour
// (4 in 2-D, 6 in 3-D) outside the mask; outside the image counts as outside
// the mask. A distance is the Euclidean distance from the centre of a surface
// voxel to the nearest centre of the other surface, in the units of the
// spacing.
//
// Where both masks are empty every distance is NaN. Where one is empty every
// distance is +Inf, in either direction.
type SurfaceDistances struct {
	// PredictionToTarget holds a distance for each surface voxel of the
	// prediction, TargetToPrediction for each of the target.
	PredictionToTarget, TargetToPrediction DirectedDistances
	// VoxelSetHausdorff is the Hausdorff distance of the two sets of all
	// foreground voxels, as the A-FL authors' code computes it. It differs from
	// the distance of the surfaces where a mask has a cavity. Where both masks
	// are empty it is 0, where one is it is +Inf.
	VoxelSetHausdorff float64
}

// NewSurfaceDistances measures the surfaces of two masks of equal shape,
// rows×columns or slices×rows×columns, of bool, any integer or a float type;
// what is not zero is foreground.
//
// spacing is the distance between neighbouring voxels along each axis of the
// masks, in that order, usually in mm; nil means 1. A NaN in a mask, and a
// spacing that is not positive or outside 1e-100…1e100, are errors.
//
// The time is linear in the number of voxels of the smallest box that holds
// both masks, whatever their distance (see internal/edt for the sources of the
// algorithm), and the bits of the result do not depend on the number of threads.
func NewSurfaceDistances(prediction, target *tensor.Dense, spacing []float64) (*SurfaceDistances, error) {
	p, t, err := newSpatialMasks(prediction, target)
	if err != nil {
		return nil, err
	}
	steps, err := spacing3(spacing, p.axes)
	if err != nil {
		return nil, err
	}
	cropToForeground(p, t)
	surfaceP, surfaceT := newSurface(p), newSurface(t)
	switch {
	case len(surfaceP.voxels) == 0 && len(surfaceT.voxels) == 0:
		none := DirectedDistances{empty: math.NaN()}
		return &SurfaceDistances{none, none, 0}, nil
	case len(surfaceP.voxels) == 0 || len(surfaceT.voxels) == 0:
		return &SurfaceDistances{infiniteDistances(len(surfaceP.voxels)), infiniteDistances(len(surfaceT.voxels)), math.Inf(1)}, nil
	}
	var d SurfaceDistances
	squared := make([]float64, len(p.voxel)) // used for one direction, then the other
	var farP, farT float64
	d.PredictionToTarget, farP = measure(squared, surfaceP, surfaceT, steps)
	d.TargetToPrediction, farT = measure(squared, surfaceT, surfaceP, steps)
	d.VoxelSetHausdorff = max(farP, farT)
	return &d, nil
}

// Hausdorff returns the Hausdorff distance: the largest distance from either
// surface to the other.
func (d *SurfaceDistances) Hausdorff() float64 {
	return max(d.PredictionToTarget.Max(), d.TargetToPrediction.Max())
}

// HausdorffPercentile returns the larger of the two directed percentiles, 0 to
// 100; see [DirectedDistances.Percentile]. At 100 it is the Hausdorff distance.
// (MONAI takes percentile 0 to mean 100.)
func (d *SurfaceDistances) HausdorffPercentile(percentile float64) (float64, error) {
	a, err := d.PredictionToTarget.Percentile(percentile)
	if err != nil {
		return 0, err
	}
	b, err := d.TargetToPrediction.Percentile(percentile)
	return max(a, b), err
}

// HD95 returns the 95th percentile Hausdorff distance, the robust form most
// challenges report: the larger of the two directed 95th percentiles, not the
// percentile of the joined distances.
func (d *SurfaceDistances) HD95() float64 {
	return max(d.PredictionToTarget.percentile(95), d.TargetToPrediction.percentile(95))
}

// Average returns the symmetric average surface distance: the mean of the
// distances of both directions joined, not the mean of the two means.
func (d *SurfaceDistances) Average() float64 {
	a, b := d.PredictionToTarget, d.TargetToPrediction
	if len(a.sorted) == 0 || len(b.sorted) == 0 {
		return a.empty
	}
	return (a.sum + b.sum) / float64(len(a.sorted)+len(b.sorted))
}

// SurfaceDice returns the share of surface voxels, of both surfaces together,
// that lie within the tolerance (in the units of the spacing) of the other
// surface:
//
//	(|{p ∈ ∂P : d(p, ∂T) ≤ τ}| + |{t ∈ ∂T : d(t, ∂P) ≤ τ}|) / (|∂P| + |∂T|)
//
// It is NaN where both masks are empty and 0 where one is. A tolerance that is
// negative, infinite or NaN is an error.
//
// S. Nikolov et al., "Deep learning to achieve clinically applicable
// segmentation of head and neck anatomy for radiotherapy", arXiv 1809.04430
// (2018), who weigh each surface element by its area; here each surface voxel
// counts once.
func (d *SurfaceDistances) SurfaceDice(tolerance float64) (float64, error) {
	if !(tolerance >= 0) || math.IsInf(tolerance, 1) {
		return 0, plan.Refuse("tolerance", tolerance, "a finite number, 0 or larger")
	}
	a, b := d.PredictionToTarget, d.TargetToPrediction
	near := a.within(tolerance) + b.within(tolerance)
	return countRatio(int64(near), int64(len(a.sorted)+len(b.sorted))), nil
}

// DirectedDistances holds the distances from every surface voxel of one mask to
// the surface of another. The zero value belongs to no masks; all its results
// are 0.
type DirectedDistances struct {
	sorted []float64 // ascending
	sum    float64
	empty  float64 // the result where sorted is empty
}

// Max returns the directed Hausdorff distance.
func (d DirectedDistances) Max() float64 {
	if len(d.sorted) == 0 {
		return d.empty
	}
	return d.sorted[len(d.sorted)-1]
}

// Mean returns the directed average surface distance.
func (d DirectedDistances) Mean() float64 {
	if len(d.sorted) == 0 {
		return d.empty
	}
	return d.sum / float64(len(d.sorted))
}

// Percentile returns a percentile, 0 (the minimum) to 100 (the maximum), of the
// n distances. It interpolates linearly between the two that are next to rank
// percentile/100·(n−1), as numpy does by default.
func (d DirectedDistances) Percentile(percentile float64) (float64, error) {
	if !(percentile >= 0 && percentile <= 100) {
		return 0, plan.Refuse("percentile", percentile, "a number from 0 to 100")
	}
	return d.percentile(percentile), nil
}

func (d DirectedDistances) percentile(percentile float64) float64 {
	if len(d.sorted) == 0 {
		return d.empty
	}
	rank := percentile / 100 * float64(len(d.sorted)-1)
	below := int(rank)
	if below == len(d.sorted)-1 {
		return d.sorted[below]
	}
	lower, upper := d.sorted[below], d.sorted[below+1]
	if lower == upper { // also where both are infinite, whose difference is NaN
		return lower
	}
	return lower + float64((rank-float64(below))*(upper-lower)) // not fused: the same bits everywhere
}

// Sorted returns a copy of the distances in ascending order.
func (d DirectedDistances) Sorted() []float64 { return slices.Clone(d.sorted) }

// within counts the distances that do not exceed the tolerance.
func (d DirectedDistances) within(tolerance float64) int {
	n, _ := slices.BinarySearchFunc(d.sorted, tolerance, func(distance, tolerance float64) int {
		if distance <= tolerance {
			return -1
		}
		return 1
	})
	return n
}

// infiniteDistances are the n distances to an empty surface; with n = 0 those
// from an empty surface to one that is not.
func infiniteDistances(n int) DirectedDistances {
	d := DirectedDistances{sorted: make([]float64, n), empty: math.Inf(1), sum: math.Inf(1)}
	for i := range d.sorted {
		d.sorted[i] = math.Inf(1)
	}
	return d
}

// spacing3 returns the spacing of slices, rows and columns.
func spacing3(spacing []float64, axes int) ([3]float64, error) {
	steps := [3]float64{1, 1, 1}
	if spacing == nil {
		return steps, nil
	}
	if len(spacing) != axes {
		return steps, plan.Refuse("spacing", spacing, "%d numbers, one for each axis of the masks, or nil", axes)
	}
	for _, s := range spacing {
		// Squares of distances outside these bounds leave the range of float64.
		if !(s >= 1e-100 && s <= 1e100) {
			return steps, plan.Refuse("spacing", spacing, "positive finite numbers from 1e-100 to 1e100")
		}
	}
	copy(steps[3-axes:], spacing)
	return steps, nil
}

// cropToForeground cuts both masks to the smallest box that holds the
// foreground of both, or to nothing where both are empty. Surfaces and
// distances are the same in it, as all that is left out is outside both masks.
func cropToForeground(a, b *spatialMask) {
	lo, hi := a.shape, [3]int{}
	for _, m := range []*spatialMask{a, b} {
		for line := range m.shape[0] * m.shape[1] {
			row := m.voxel[line*m.shape[2] : (line+1)*m.shape[2]]
			first := bytes.IndexByte(row, 1)
			if first < 0 {
				continue
			}
			corner := [3]int{line / m.shape[1], line % m.shape[1], first}
			end := [3]int{corner[0] + 1, corner[1] + 1, bytes.LastIndexByte(row, 1) + 1}
			for axis := range lo {
				lo[axis] = min(lo[axis], corner[axis])
				hi[axis] = max(hi[axis], end[axis])
			}
		}
	}
	if hi[0] == 0 {
		lo = [3]int{}
	}
	a.crop(lo, hi)
	b.crop(lo, hi)
}

// crop keeps the voxels from lo to hi, exclusive.
func (m *spatialMask) crop(lo, hi [3]int) {
	shape := [3]int{hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]}
	if shape == m.shape {
		return
	}
	// Rows move towards the front, so the cut is made in place.
	to := 0
	for z := lo[0]; z < hi[0]; z++ {
		for y := lo[1]; y < hi[1]; y++ {
			from := (z*m.shape[1]+y)*m.shape[2] + lo[2]
			to += copy(m.voxel[to:to+shape[2]], m.voxel[from:from+shape[2]])
		}
	}
	m.voxel, m.shape = m.voxel[:to], shape
}

// surface is a mask with its surface voxels.
type surface struct {
	*spatialMask
	site   []uint8 // 1 on the surface
	voxels []int   // flat indices of the surface in raster order
}

func newSurface(m *spatialMask) *surface {
	s := &surface{spatialMask: m, site: make([]uint8, len(m.voxel))}
	slices, rows, columns := m.shape[0], m.shape[1], m.shape[2]
	found := make([][]int, slices*rows)
	border := make([]uint8, columns) // what lies outside the image
	parallel.Do(slices*rows, func() func(int) {
		var list []int
		return func(line int) {
			at := line * columns
			row := m.voxel[at : at+columns]
			start := len(list)
			first := bytes.IndexByte(row, 1)
			if first < 0 {
				return
			}
			neighbour := func(inside bool, offset int) []uint8 {
				if !inside {
					return border
				}
				return m.voxel[at+offset : at+offset+columns]
			}
			y, z := line%rows, line/rows
			up, down := neighbour(y > 0, -columns), neighbour(y < rows-1, columns)
			front, back := row, row // a 2-D mask has no neighbours along the slices
			if m.axes == 3 {
				front, back = neighbour(z > 0, -rows*columns), neighbour(z < slices-1, rows*columns)
			}
			for x := first; x < columns; x++ {
				if row[x] == 0 {
					continue
				}
				inner := up[x] & down[x] & front[x] & back[x]
				if inner == 1 && x > 0 && x < columns-1 && row[x-1]&row[x+1] == 1 {
					continue
				}
				s.site[at+x] = 1
				list = append(list, at+x)
			}
			found[line] = list[start:len(list):len(list)]
		}
	})
	for _, list := range found {
		s.voxels = append(s.voxels, list...)
	}
	return s
}

// measure returns the distances from the surface of a to that of b, and the
// largest distance from any voxel of a to the nearest voxel of b. squared is
// scratch memory of the masks' size.
//
// The latter needs no transform of its own: the nearest voxel of b to a voxel
// outside b is on b's surface, since otherwise its neighbour towards the voxel
// would be in b and nearer.
func measure(squared []float64, a, b *surface, spacing [3]float64) (DirectedDistances, float64) {
	rows, columns := a.shape[1], a.shape[2]
	plane := rows * columns
	wanted := make([]bool, plane) // lines along the first axis that are read below
	parallel.Do(rows, func() func(int) {
		return func(y int) {
			line := wanted[y*columns : (y+1)*columns]
			for at := y * columns; at < len(a.voxel); at += plane {
				for x, v := range a.voxel[at : at+columns] {
					if a.site[at+x]|v&^b.voxel[at+x] == 1 {
						line[x] = true
					}
				}
			}
		}
	})
	edt.Squared(squared, b.site, a.shape, spacing, wanted)

	d := DirectedDistances{sorted: make([]float64, len(a.voxels))}
	for i, at := range a.voxels {
		d.sorted[i] = math.Sqrt(squared[at])
		d.sum += d.sorted[i]
	}
	slices.Sort(d.sorted)

	far := make([]float64, a.shape[0]*rows) // the largest square of each row
	parallel.Do(len(far), func() func(int) {
		return func(line int) {
			at := line * columns
			for x, v := range a.voxel[at : at+columns] {
				if v&^b.voxel[at+x] == 1 {
					far[line] = max(far[line], squared[at+x])
				}
			}
		}
	})
	return d, math.Sqrt(slices.Max(far))
}
