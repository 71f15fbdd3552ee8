package afl

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/components"
	"github.com/x/afl/internal/matching"
)

// Connectivity says which voxels belong to one component, by the number of neighbors
// that a voxel has.
type Connectivity int

const (
	Connectivity4  Connectivity = 4  // 2-D: pixels that share a side
	Connectivity8  Connectivity = 8  // 2-D: pixels that share a side or a corner
	Connectivity6  Connectivity = 6  // 3-D: voxels that share a face
	Connectivity18 Connectivity = 18 // 3-D: voxels that share a face or an edge
	Connectivity26 Connectivity = 26 // 3-D: voxels that share a face, an edge or a corner
)

// String returns "26-connected" and the like.
func (c Connectivity) String() string { return fmt.Sprintf("%d-connected", int(c)) }

// neighborhood checks the connectivity for a mask with 2 or 3 axes.
func (c Connectivity) neighborhood(axes int) (components.Neighborhood, error) {
	switch {
	case axes == 2 && c == Connectivity4, axes == 3 && c == Connectivity6:
		return components.Face, nil
	case axes == 2 && c == Connectivity8, axes == 3 && c == Connectivity18:
		return components.Edge, nil
	case axes == 3 && c == Connectivity26:
		return components.Vertex, nil
	case axes == 2:
		return 0, refuse("connectivity", int(c), "Connectivity4 or Connectivity8 for a mask with 2 axes")
	}
	return 0, refuse("connectivity", int(c), "Connectivity6, Connectivity18 or Connectivity26 for a mask with 3 axes")
}

// Components labels the connected components of a mask. It returns int32 labels of the
// mask's shape, 0 in the background, and the number of components. Labels count from 1
// in the raster order of the first voxel of each component.
//
// The mask is rows×columns or slices×rows×columns, of bool, any integer or a float type;
// every value other than zero is foreground. A NaN, and a connectivity that does not fit
// the number of axes, are errors.
func Components(mask *tensor.Dense, connectivity Connectivity) (labels *tensor.Dense, count int, err error) {
	m, err := newSpatialMask("mask", mask)
	if err != nil {
		return nil, 0, err
	}
	neighborhood, err := connectivity.neighborhood(m.axes)
	if err != nil {
		return nil, 0, err
	}
	runs, count := components.Find(m.voxel, m.shape, neighborhood)
	out := make([]int32, len(m.voxel))
	for _, r := range runs {
		for i := r.Start; i < r.End; i++ {
			out[i] = int32(r.Label)
		}
	}
	return tensor.New(tensor.WithShape(mask.Shape().Clone()...), tensor.WithBacking(out)), count, nil
}

// LesionCriterion says when a predicted lesion finds a target lesion. Its zero value is
// [Touch].
type LesionCriterion struct {
	overlap   lesionOverlap
	threshold float64
}

type lesionOverlap int

const (
	overlapTouch lesionOverlap = iota
	overlapIoU
	overlapDice
)

// Touch is the criterion of the A-FL authors' code: one shared voxel is enough, and a
// predicted lesion may find any number of target lesions. A prediction of the whole image
// then finds them all without a false positive; use [MinIoU] or [MinDice] where such a
// prediction has to score low.
func Touch() LesionCriterion { return LesionCriterion{} }

// MinIoU is the criterion that the intersection over union |P∩T|/|P∪T| of a predicted
// lesion P and a target lesion T is at least the threshold, which is above 0 and at most
// 1. Lesions are matched one to one; see [CompareLesions]. The evaluation of the PI-CAI
// challenge uses a threshold of 0.1.
func MinIoU(threshold float64) LesionCriterion { return LesionCriterion{overlapIoU, threshold} }

// MinDice is [MinIoU] with the Dice coefficient 2·|P∩T|/(|P|+|T|) instead.
func MinDice(threshold float64) LesionCriterion { return LesionCriterion{overlapDice, threshold} }

// String returns "touch", "IoU ≥ 0.1" and the like.
func (c LesionCriterion) String() string {
	switch c.overlap {
	case overlapIoU:
		return fmt.Sprintf("IoU ≥ %v", c.threshold)
	case overlapDice:
		return fmt.Sprintf("Dice ≥ %v", c.threshold)
	}
	return "touch"
}

func (c LesionCriterion) check() error {
	if c.overlap != overlapTouch && !(c.threshold > 0 && c.threshold <= 1) {
		return refuse("criterion", c, "a threshold above 0 and at most 1")
	}
	return nil
}

// fits reports whether a predicted and a target lesion that share voxels meet the
// criterion.
func (c LesionCriterion) fits(shared, predicted, target int) bool {
	switch c.overlap {
	case overlapIoU:
		return countRatio(int64(shared), int64(predicted+target-shared)) >= c.threshold
	case overlapDice:
		return countRatio(int64(2*shared), int64(predicted+target)) >= c.threshold
	}
	return true
}

// LesionCounts counts lesions, the connected components of two masks, by whether they
// were found. [CompareLesions] makes it.
type LesionCounts struct {
	TP int // target lesions that were found
	FP int // predicted lesions that find none
	FN int // target lesions that were not found
	// Predicted is the number of predicted lesions. With [Touch] it differs from TP+FP
	// where one predicted lesion touches several target lesions, each of which is a TP,
	// or several touch one, which is a single TP.
	Predicted int
}

// F1 returns the lesion-wise F1 score TP/(TP+(FP+FN)/2), from 0 to 1, and 1 where
// neither mask has a lesion, as in the A-FL authors' code.
func (l LesionCounts) F1() float64 {
	if l.TP+l.FP+l.FN == 0 {
		return 1
	}
	return countRatio(2*int64(l.TP), int64(2*l.TP+l.FP+l.FN))
}

// Sensitivity returns the share of target lesions that were found, TP/(TP+FN),
// and NaN where the target has none.
func (l LesionCounts) Sensitivity() float64 { return countRatio(int64(l.TP), int64(l.TP+l.FN)) }

// CompareLesions counts the lesions, or connected components, of two masks of equal shape
// by whether they were found. [Components] says what a mask is. The A-FL authors use
// [Connectivity26] and [Touch].
//
// With [Touch], TP is the number of target lesions that share a voxel with the
// prediction, FN that of the others, and FP that of predicted lesions that share none
// with the target.
//
// With [MinIoU] and [MinDice], lesions are matched one to one: TP is the largest possible
// number of pairs of a predicted and a target lesion that meet the criterion, no lesion
// being in two pairs (a maximum matching), and FP and FN are the numbers of lesions
// without a partner. There may be several matchings of that size; the counts are the same
// for each. With an IoU above 0.5 no lesion has a second possible partner.
func CompareLesions(prediction, target *tensor.Dense, connectivity Connectivity, criterion LesionCriterion) (LesionCounts, error) {
	p, t, err := newSpatialMasks(prediction, target)
	if err != nil {
		return LesionCounts{}, err
	}
	neighborhood, err := connectivity.neighborhood(p.axes)
	if err != nil {
		return LesionCounts{}, err
	}
	if err := criterion.check(); err != nil {
		return LesionCounts{}, err
	}
	predictedRuns, predicted := components.Find(p.voxel, p.shape, neighborhood)
	targetRuns, targets := components.Find(t.voxel, t.shape, neighborhood)
	predictedSizes := components.Sizes(predictedRuns, predicted)
	targetSizes := components.Sizes(targetRuns, targets)
	finds := make([][]int, predicted) // by predicted lesion: which targets it may find
	for _, o := range components.Overlaps(predictedRuns, targetRuns) {
		i, j := o.A-1, o.B-1
		if criterion.fits(o.Voxels, predictedSizes[i], targetSizes[j]) {
			finds[i] = append(finds[i], j)
		}
	}
	if criterion.overlap == overlapTouch {
		return countTouching(finds, targets), nil
	}
	pairs := matching.Maximum(finds, targets)
	return LesionCounts{TP: pairs, FP: predicted - pairs, FN: targets - pairs, Predicted: predicted}, nil
}

// countTouching counts lesions where any number of them may find each other.
func countTouching(finds [][]int, targets int) LesionCounts {
	l := LesionCounts{FN: targets, Predicted: len(finds)}
	found := make([]bool, targets)
	for _, list := range finds {
		if len(list) == 0 {
			l.FP++
		}
		for _, j := range list {
			if !found[j] {
				found[j] = true
				l.TP++
				l.FN--
			}
		}
	}
	return l
}
