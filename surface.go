package afl

import (
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/distance"
	"github.com/x/afl/internal/edt"
	"github.com/x/afl/internal/parallel"
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
}

// NewSurfaceDistances measures the surfaces of two masks of equal shape,
// rows×columns or slices×rows×columns, of bool, any integer or a float type;
// what is not zero is foreground.
//
// spacing is the distance between neighbouring voxels along each axis of the
// masks, in that order, usually in mm; nil means 1. A NaN in a mask, and a
// spacing that is not positive or outside 1e-100…1e100, are errors.
//
// The less the surfaces are apart the less time it takes; whatever their distance
// it is linear in the number of voxels, and but for reading the masks in those of
// the smallest box that holds both (see internal/edt for the algorithms and their
// sources). The bits of the result do not depend on the number of threads.
func NewSurfaceDistances(prediction, target *tensor.Dense, spacing []float64) (*SurfaceDistances, error) {
	p, t, grid, err := readMasks(prediction, target, spacing)
	if err != nil {
		return nil, err
	}
	axes := prediction.Dims()
	p, t = edt.Surface(p, axes), edt.Surface(t, axes)
	countP, countT := p.Count(), t.Count()
	switch {
	case countP == 0 && countT == 0:
		return &SurfaceDistances{}, nil
	case countP == 0 || countT == 0:
		return &SurfaceDistances{infiniteDistances(countP), infiniteDistances(countT)}, nil
	}
	return &SurfaceDistances{
		PredictionToTarget: newDirectedDistances(grid.Nearest(p, t)),
		TargetToPrediction: newDirectedDistances(grid.Nearest(t, p)),
	}, nil
}

// VoxelSetHausdorff returns the Hausdorff distance of the two sets of all
// foreground voxels, as the A-FL authors' code computes it:
//
//	max(max over p ∈ P of d(p, T), max over t ∈ T of d(t, P))
//
// in the units of the spacing. It differs from [SurfaceDistances.Hausdorff] where
// a mask has a cavity: there every inner voxel of the other mask has a distance.
// It is 0 where both masks are empty and +Inf where one is. Arguments and errors
// are those of [NewSurfaceDistances].
func VoxelSetHausdorff(prediction, target *tensor.Dense, spacing []float64) (float64, error) {
	p, t, grid, err := readMasks(prediction, target, spacing)
	if err != nil {
		return 0, err
	}
	emptyP, emptyT := p.Count() == 0, t.Count() == 0
	switch {
	case emptyP && emptyT:
		return 0, nil
	case emptyP || emptyT:
		return math.Inf(1), nil
	}
	forth, back := newDirectedDistances(grid.Nearest(p, t)), newDirectedDistances(grid.Nearest(t, p))
	return max(forth.Max(), back.Max()), nil
}

// readMasks reads two masks of equal shape, cut to the smallest box that holds
// both, and returns the box as a grid: surfaces and distances within it are those
// of the whole, as all that is left out is outside both.
func readMasks(prediction, target *tensor.Dense, spacing []float64) (p, t *edt.Mask, grid *edt.Grid, err error) {
	if p, err = readMask("prediction", prediction); err != nil {
		return nil, nil, nil, err
	}
	if t, err = readMask("target", target); err != nil {
		return nil, nil, nil, err
	}
	if err = checkSameShape(prediction, target); err != nil {
		return nil, nil, nil, err
	}
	steps, err := spacing3(spacing, prediction.Dims())
	if err != nil {
		return nil, nil, nil, err
	}
	lo, hi := edt.Box(p, t)
	p.Crop(lo, hi)
	t.Crop(lo, hi)
	return p, t, edt.NewGrid(p.Shape(), steps), nil
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
	if a.voxels() == 0 || b.voxels() == 0 {
		return a.none()
	}
	return (a.sum + b.sum) / float64(a.voxels()+b.voxels())
}

// SurfaceDice returns the share of surface voxels, of both surfaces together,
// that lie within the tolerance (in the units of the spacing) of the other
// surface:
//
//	(|{p ∈ ∂P : d(p, ∂T) ≤ τ}| + |{t ∈ ∂T : d(t, ∂P) ≤ τ}|) / (|∂P| + |∂T|)
//
// A distance exceeds τ where it does so by more than one part in a million, so
// that a surface exactly at the tolerance counts as within it although spacings
// and distances are rounded. It is NaN where both masks are empty and 0 where
// one is. A tolerance that is negative, infinite or NaN is an error.
//
// S. Nikolov et al., "Deep learning to achieve clinically applicable
// segmentation of head and neck anatomy for radiotherapy", arXiv 1809.04430
// (2018), who weigh each surface element by its area; here each surface voxel
// counts once.
func (d *SurfaceDistances) SurfaceDice(tolerance float64) (float64, error) {
	if !(tolerance >= 0) || math.IsInf(tolerance, 1) {
		return 0, refuse("tolerance", tolerance, "a finite number, 0 or larger")
	}
	a, b := d.PredictionToTarget, d.TargetToPrediction
	near := a.within(tolerance) + b.within(tolerance)
	return countRatio(int64(near), int64(a.voxels()+b.voxels())), nil
}

// DirectedDistances holds the distances from every surface voxel of one mask to
// the surface of another. The zero value holds those between two empty masks: all
// its results are NaN.
type DirectedDistances struct {
	distance []float64 // ascending; voxels on a grid share few of them
	upTo     []int     // how many voxels have this distance or a smaller one
	sum      float64   // of the distances of all voxels
	infinite bool      // only one mask is empty
}

func newDirectedDistances(counts []edt.Count) DirectedDistances {
	d := DirectedDistances{distance: make([]float64, len(counts)), upTo: make([]int, len(counts))}
	voxels := 0
	for i, c := range counts {
		voxels += c.Voxels
		d.distance[i], d.upTo[i] = math.Sqrt(c.Squared), voxels
		d.sum += float64(d.distance[i] * float64(c.Voxels)) // not fused: the same bits everywhere
	}
	return d
}

// infiniteDistances are the n distances to an empty surface; with n = 0 those
// from an empty surface to one that is not.
func infiniteDistances(n int) DirectedDistances {
	d := DirectedDistances{infinite: true}
	if n > 0 {
		d.distance, d.upTo, d.sum = []float64{math.Inf(1)}, []int{n}, math.Inf(1)
	}
	return d
}

// none returns the result where there are no distances.
func (d DirectedDistances) none() float64 {
	if d.infinite {
		return math.Inf(1)
	}
	return math.NaN()
}

// voxels returns the number of distances.
func (d DirectedDistances) voxels() int {
	if len(d.upTo) == 0 {
		return 0
	}
	return d.upTo[len(d.upTo)-1]
}

// at returns the distance of a rank, 0 being that of the smallest.
func (d DirectedDistances) at(rank int) float64 {
	i, _ := slices.BinarySearch(d.upTo, rank+1)
	return d.distance[i]
}

// Max returns the directed Hausdorff distance.
func (d DirectedDistances) Max() float64 {
	if len(d.distance) == 0 {
		return d.none()
	}
	return d.distance[len(d.distance)-1]
}

// Mean returns the directed average surface distance.
func (d DirectedDistances) Mean() float64 {
	if len(d.distance) == 0 {
		return d.none()
	}
	return d.sum / float64(d.voxels())
}

// Percentile returns a percentile, 0 (the minimum) to 100 (the maximum), of the
// n distances. It interpolates linearly between the two that are next to rank
// percentile/100·(n−1), as numpy does by default.
func (d DirectedDistances) Percentile(percentile float64) (float64, error) {
	if !(percentile >= 0 && percentile <= 100) {
		return 0, refuse("percentile", percentile, "a number from 0 to 100")
	}
	return d.percentile(percentile), nil
}

func (d DirectedDistances) percentile(percentile float64) float64 {
	voxels := d.voxels()
	if voxels == 0 {
		return d.none()
	}
	rank := percentile / 100 * float64(voxels-1)
	below := int(rank)
	if below == voxels-1 {
		return d.at(below)
	}
	lower, upper := d.at(below), d.at(below+1)
	if lower == upper { // also where both are infinite, whose difference is NaN
		return lower
	}
	return lower + float64((rank-float64(below))*(upper-lower)) // not fused: the same bits everywhere
}

// Sorted returns the distances in ascending order, one for each voxel.
func (d DirectedDistances) Sorted() []float64 {
	sorted := make([]float64, 0, d.voxels())
	for i, distance := range d.distance {
		for len(sorted) < d.upTo[i] {
			sorted = append(sorted, distance)
		}
	}
	return sorted
}

// within counts the distances within the tolerance; see [distance.Within].
func (d DirectedDistances) within(tolerance float64) int {
	n, _ := slices.BinarySearchFunc(d.distance, tolerance, func(d, tolerance float64) int {
		if distance.Within(d, tolerance) {
			return -1
		}
		return 1
	})
	if n == 0 {
		return 0
	}
	return d.upTo[n-1]
}

// spacing3 returns the spacing of slices, rows and columns.
func spacing3(spacing []float64, axes int) ([3]float64, error) {
	steps := [3]float64{1, 1, 1}
	if spacing == nil {
		return steps, nil
	}
	if len(spacing) != axes {
		return steps, refuse("spacing", spacing, "%d numbers, one for each axis of the masks, or nil", axes)
	}
	for _, s := range spacing {
		// Squares of distances outside these bounds leave the range of float64.
		if !(s >= 1e-100 && s <= 1e100) {
			return steps, refuse("spacing", spacing, "positive finite numbers from 1e-100 to 1e100")
		}
	}
	copy(steps[3-axes:], spacing)
	return steps, nil
}

// readBatch is the number of voxels of a mask that a goroutine reads at a time;
// waking another for less takes longer than to read them.
const readBatch = 1 << 18

// readMask reads a mask of rank 2 or 3 as bits.
func readMask(name string, t *tensor.Dense) (*edt.Mask, error) {
	read, err := maskReader(name, t)
	if err != nil {
		return nil, err
	}
	shape, err := spatialShape(name, t)
	if err != nil {
		return nil, err
	}
	m := edt.NewMask(shape)
	columns := shape[2]
	batch := max(1, readBatch/columns) // rows
	bytes, isBytes := t.Data().([]uint8)
	err = parallel.Try((m.Rows()+batch-1)/batch, func() func(int) error {
		var buffer []uint8
		if !isBytes {
			buffer = make([]uint8, batch*columns)
		}
		return func(unit int) error {
			first := unit * batch
			from, n := first*columns, min(batch, m.Rows()-first)*columns
			if isBytes {
				m.Fill(first, bytes[from:from+n])
				return nil
			}
			if err := read(buffer[:n], from); err != nil {
				return err
			}
			m.Fill(first, buffer[:n])
			return nil
		}
	})
	return m, err
}
