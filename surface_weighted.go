package afl

import (
	"math"
	"slices"

	"github.com/x/afl/internal/distance"
	"github.com/x/afl/internal/edt"
)

// weightedDistances is a distribution of the distances from one surface to another: the
// common part of [DirectedDistances], which weights them by voxels, and
// [DirectedElementDistances], which does so by area.
type weightedDistances struct {
	distance []float64 // distinct and ascending; on a grid many voxels share one
	upTo     []float64 // weight at this distance or a smaller one
	sum      float64   // of the products of distance and weight
	infinite bool      // only one mask is empty
}

// newWeightedDistances takes over the memory of the distribution.
func newWeightedDistances(squared edt.Distribution) weightedDistances {
	d := weightedDistances{distance: squared.Squared, upTo: squared.Weight}
	total := 0.0
	for i, weight := range d.upTo {
		total += weight
		distance := math.Sqrt(d.distance[i])
		d.distance[i], d.upTo[i] = distance, total
		d.sum += float64(distance * weight) // not fused: the same bits everywhere
	}
	return d
}

// infiniteDistances returns distances of a weight to an empty surface; with weight 0, those
// from an empty surface to one that is not.
func infiniteDistances(weight float64) weightedDistances {
	d := weightedDistances{infinite: true}
	if weight > 0 {
		d.distance, d.upTo, d.sum = []float64{math.Inf(1)}, []float64{weight}, math.Inf(1)
	}
	return d
}

// none returns the result where there are no distances.
func (d *weightedDistances) none() float64 {
	if d.infinite {
		return math.Inf(1)
	}
	return math.NaN()
}

// weight returns the weight of all distances.
func (d *weightedDistances) weight() float64 {
	if len(d.upTo) == 0 {
		return 0
	}
	return d.upTo[len(d.upTo)-1]
}

// Max returns the directed Hausdorff distance, the largest of the distances, in the
// units of the spacing. Where there are none it is NaN, or +Inf where only the mask that
// they start from is empty.
func (d weightedDistances) Max() float64 {
	if len(d.distance) == 0 {
		return d.none()
	}
	return d.distance[len(d.distance)-1]
}

// Mean returns the directed average surface distance, the mean of the distances by their
// weight, Σ weight·distance / Σ weight, in the units of the spacing. Where there are none it
// is NaN, or +Inf where only the mask that they start from is empty.
func (d weightedDistances) Mean() float64 {
	if len(d.distance) == 0 {
		return d.none()
	}
	return d.sum / d.weight()
}

// averageWith returns the mean over the distances of both directions together.
func (d *weightedDistances) averageWith(back *weightedDistances) float64 {
	if d.weight() == 0 || back.weight() == 0 {
		return d.none()
	}
	return (d.sum + back.sum) / (d.weight() + back.weight())
}

// shareWithin returns the share of the weight of both directions together that is within a
// tolerance.
func (d *weightedDistances) shareWithin(tolerance float64, back *weightedDistances) (float64, error) {
	if err := checkTolerance(tolerance); err != nil {
		return 0, err
	}
	return (d.within(tolerance) + back.within(tolerance)) / (d.weight() + back.weight()), nil
}

// within returns the weight within the tolerance; see [distance.Within].
func (d *weightedDistances) within(tolerance float64) float64 {
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

func checkPercentile(percentile float64) error {
	if !(percentile >= 0 && percentile <= 100) {
		return refuse("percentile", percentile, "a number from 0 to 100")
	}
	return nil
}

func checkTolerance(tolerance float64) error {
	if !(tolerance >= 0) || math.IsInf(tolerance, 1) {
		return refuse("tolerance", tolerance, "a finite number, 0 or larger")
	}
	return nil
}
