package afl

import (
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/edt"
	"github.com/x/afl/internal/parallel"
)

// SurfaceDistances holds the distances between the surfaces of two masks. The
// Hausdorff distance, the average surface distance and the surface Dice follow from
// them without another pass over the volume.
//
// The surface of a mask is the set of its voxels that have a face neighbor (4 in 2-D,
// 6 in 3-D) outside the mask; what is outside the image counts as outside the mask. A
// distance is the Euclidean distance from the center of a surface voxel to the nearest
// center of the other surface, in the units of the spacing. Each surface voxel counts
// once, whatever its area, as in MONAI's metrics.
//
// Where both masks are empty, every distance is NaN. Where only one is, every
// distance is +Inf in either direction.
type SurfaceDistances struct {
	// PredictionToTarget holds one distance for each surface voxel of the
	// prediction, TargetToPrediction one for each of the target.
	PredictionToTarget, TargetToPrediction DirectedDistances
}

// NewSurfaceDistances measures the distances between the surfaces of two masks of
// equal shape, rows×columns or slices×rows×columns, of bool, any integer or a float
// type; every value other than zero is foreground.
//
// spacing is the distance between neighboring voxels along each axis of the masks, in
// their order, usually in millimeters; nil means 1. A NaN in a mask, and a spacing
// outside 1e-50…1e50, are errors.
//
// The closer the surfaces are, the less time it takes; in the worst case, apart from reading
// the masks, about that of two linear-time distance transforms of the smallest box that
// holds both. Package internal/edt has the algorithms and their sources. The bits of the
// result do not depend on the number of threads.
func NewSurfaceDistances(prediction, target *tensor.Dense, spacing []float64) (*SurfaceDistances, error) {
	p, t, steps, err := readMasks(prediction, target, spacing)
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
		p, t := infiniteDistances(float64(countP)), infiniteDistances(float64(countT))
		return &SurfaceDistances{DirectedDistances{p}, DirectedDistances{t}}, nil
	}
	grid := edt.NewGrid(p, steps)
	return &SurfaceDistances{
		PredictionToTarget: DirectedDistances{newWeightedDistances(grid.Nearest(p, t))},
		TargetToPrediction: DirectedDistances{newWeightedDistances(grid.Nearest(t, p))},
	}, nil
}

// VoxelSetHausdorff returns the Hausdorff distance between the sets of all foreground
// voxels of two masks, as the A-FL authors' code computes it:
//
//	max(max over p ∈ P of d(p, T), max over t ∈ T of d(t, P))
//
// in the units of the spacing. It can differ from [SurfaceDistances.Hausdorff], above all
// where a mask has a cavity: the surface around the cavity may be far from the other
// surface, yet it lies within the other mask. It is 0 where both masks are empty and +Inf
// where only one is. Arguments and errors are those of [NewSurfaceDistances].
func VoxelSetHausdorff(prediction, target *tensor.Dense, spacing []float64) (float64, error) {
	p, t, steps, err := readMasks(prediction, target, spacing)
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
	grid := edt.NewGrid(p, steps)
	largest := 0.0
	for _, d := range []edt.Distribution{grid.Nearest(p, t), grid.Nearest(t, p)} {
		largest = max(largest, math.Sqrt(d.Squared[len(d.Squared)-1]))
	}
	return largest, nil
}

// readMasks reads two masks of equal shape, cropped to the smallest box that holds
// both, and the spacing of slices, rows and columns. Cropping changes no surface and no
// distance, as everything outside the box is outside both masks.
func readMasks(prediction, target *tensor.Dense, spacing []float64) (p, t *edt.Mask, steps [3]float64, err error) {
	if p, err = readMask("prediction", prediction); err != nil {
		return nil, nil, steps, err
	}
	if t, err = readMask("target", target); err != nil {
		return nil, nil, steps, err
	}
	if err = checkSameShape(prediction, target); err != nil {
		return nil, nil, steps, err
	}
	if steps, err = spacing3(spacing, prediction.Dims()); err != nil {
		return nil, nil, steps, err
	}
	lo, hi := edt.Box(p, t)
	p.Crop(lo, hi)
	t.Crop(lo, hi)
	return p, t, steps, nil
}

// Hausdorff returns the Hausdorff distance
//
//	max(max over p ∈ ∂P of d(p, ∂T), max over t ∈ ∂T of d(t, ∂P))
//
// in the units of the spacing: NaN where both masks are empty, +Inf where only one is.
//
// D. P. Huttenlocher, G. A. Klanderman and W. J. Rucklidge, "Comparing Images Using the
// Hausdorff Distance", IEEE Transactions on Pattern Analysis and Machine Intelligence
// 15 (1993) 850–863.
func (d *SurfaceDistances) Hausdorff() float64 {
	return max(d.PredictionToTarget.Max(), d.TargetToPrediction.Max())
}

// HausdorffPercentile returns the larger of the two directed percentiles, in the units
// of the spacing; see [DirectedDistances.Percentile]. At 100 it is the Hausdorff
// distance, at 0 the larger of the two smallest distances (MONAI takes a percentile of
// 0 to mean 100). It is NaN where both masks are empty and +Inf where only one is.
func (d *SurfaceDistances) HausdorffPercentile(percentile float64) (float64, error) {
	a, err := d.PredictionToTarget.Percentile(percentile)
	if err != nil {
		return 0, err
	}
	b, err := d.TargetToPrediction.Percentile(percentile)
	return max(a, b), err
}

// HD95 returns [SurfaceDistances.HausdorffPercentile] at 95, the robust form of the
// Hausdorff distance that most challenges report: the larger of the two directed 95th
// percentiles, as in MONAI, not the percentile of the distances of both directions
// together.
func (d *SurfaceDistances) HD95() float64 {
	return max(d.PredictionToTarget.percentile(95), d.TargetToPrediction.percentile(95))
}

// Average returns the symmetric average surface distance: the mean over the distances
// of both directions together, not the mean of the two directed means,
//
//	(Σ over p ∈ ∂P of d(p, ∂T) + Σ over t ∈ ∂T of d(t, ∂P)) / (|∂P| + |∂T|)
//
// in the units of the spacing: NaN where both masks are empty, +Inf where only one is.
//
// T. Heimann et al., "Comparison and Evaluation of Methods for Liver Segmentation From
// CT Datasets", IEEE Transactions on Medical Imaging 28 (2009) 1251–1265.
func (d *SurfaceDistances) Average() float64 {
	return d.PredictionToTarget.averageWith(&d.TargetToPrediction.weightedDistances)
}

// SurfaceDice returns the share of the surface voxels, of both surfaces together, that
// lie within the tolerance τ of the other surface, τ being in the units of the spacing:
//
//	(|{p ∈ ∂P : d(p, ∂T) ≤ τ}| + |{t ∈ ∂T : d(t, ∂P) ≤ τ}|) / (|∂P| + |∂T|)
//
// A distance counts as larger than τ only where it exceeds it by more than one part in
// a million: spacings and distances are rounded, and a surface exactly at the tolerance
// is within it. The result is from 0 to 1; NaN where both masks are empty, 0 where only
// one is. A tolerance that is negative, infinite or NaN is an error.
//
// S. Nikolov et al., "Deep learning to achieve clinically applicable segmentation of
// head and neck anatomy for radiotherapy", arXiv 1809.04430 (2018), who weight each
// surface element by its area ([SurfaceElementDistances]); here each surface voxel counts once.
func (d *SurfaceDistances) SurfaceDice(tolerance float64) (float64, error) {
	return d.PredictionToTarget.shareWithin(tolerance, &d.TargetToPrediction.weightedDistances)
}

// DirectedDistances holds the distances from every surface voxel of one mask to the
// surface of another. The zero value holds those between two empty masks: all its
// results are NaN.
type DirectedDistances struct{ weightedDistances }

// Percentile returns a percentile of the n distances, from 0, the smallest, to 100, the
// largest, in the units of the spacing. It interpolates linearly between the two
// distances next to rank percentile/100·(n−1), as numpy.percentile does by default.
// Where there are no distances it is NaN, or +Inf where only the mask that they start
// from is empty.
func (d DirectedDistances) Percentile(percentile float64) (float64, error) {
	if err := checkPercentile(percentile); err != nil {
		return 0, err
	}
	return d.percentile(percentile), nil
}

func (d DirectedDistances) percentile(percentile float64) float64 {
	if len(d.distance) == 0 {
		return d.none()
	}
	voxels := int(d.weight())
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

// at returns the distance with a rank, from 0 for the smallest.
func (d DirectedDistances) at(rank int) float64 {
	i, _ := slices.BinarySearch(d.upTo, float64(rank+1))
	return d.distance[i]
}

// Sorted returns the distances in ascending order, one for each surface voxel.
func (d DirectedDistances) Sorted() []float64 {
	sorted := make([]float64, 0, int(d.weight()))
	for i, distance := range d.distance {
		for len(sorted) < int(d.upTo[i]) {
			sorted = append(sorted, distance)
		}
	}
	return sorted
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
		// The squares of larger or smaller distances, and of the areas of surface elements,
		// leave the range of float64.
		if !(s >= 1e-50 && s <= 1e50) {
			return steps, refuse("spacing", spacing, "numbers from 1e-50 to 1e50")
		}
	}
	copy(steps[3-axes:], spacing)
	return steps, nil
}

// readBatch is the number of voxels of a mask that a goroutine reads at a time; starting
// another goroutine for fewer takes longer than reading them.
const readBatch = 1 << 18

// readMask reads a mask with two or three axes as bits.
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
	columns := m.Columns()
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
