package afl

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/components"
)

// Connectivity says which voxels belong to one component, by the number of
// neighbours a voxel has.
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

// neighbourhood checks the connectivity for a mask of 2 or 3 axes.
func (c Connectivity) neighbourhood(axes int) (components.Neighbourhood, error) {
	switch {
	case axes == 2 && c == Connectivity4, axes == 3 && c == Connectivity6:
		return components.Face, nil
	case axes == 2 && c == Connectivity8, axes == 3 && c == Connectivity18:
		return components.Edge, nil
	case axes == 3 && c == Connectivity26:
		return components.Vertex, nil
	case axes == 2:
		return 0, refuse("connectivity", int(c), "Connectivity4 or Connectivity8 for a mask of 2 axes")
	}
	return 0, refuse("connectivity", int(c), "Connectivity6, Connectivity18 or Connectivity26 for a mask of 3 axes")
}

// Components labels the connected components of a mask: int32 labels of the
// mask's shape, 0 outside, and their number. They are numbered from 1 in the
// raster order of their first voxel.
//
// The mask is rows×columns or slices×rows×columns, of bool, any integer or a
// float type; what is not zero is foreground. A NaN, and a connectivity that
// does not fit the number of axes, are errors.
func Components(mask *tensor.Dense, connectivity Connectivity) (labels *tensor.Dense, count int, err error) {
	m, err := newSpatialMask("mask", mask)
	if err != nil {
		return nil, 0, err
	}
	neighbourhood, err := connectivity.neighbourhood(m.axes)
	if err != nil {
		return nil, 0, err
	}
	runs, count := components.Find(m.voxel, m.shape, neighbourhood)
	out := make([]int32, len(m.voxel))
	for _, r := range runs {
		for i := r.Start; i < r.End; i++ {
			out[i] = int32(r.Label)
		}
	}
	return tensor.New(tensor.WithShape(mask.Shape().Clone()...), tensor.WithBacking(out)), count, nil
}

// LesionCounts counts lesions, the connected components of the masks, by
// whether they were found.
type LesionCounts struct {
	TP int // target lesions that the prediction touches in at least one voxel
	FP int // predicted lesions that touch no voxel of the target
	FN int // target lesions that the prediction does not touch
	// Predicted is the number of predicted lesions. It is not TP+FP where one
	// predicted lesion touches several of the target (each is a TP) or several
	// touch one (a single TP).
	Predicted int
}

// F1 returns the lesion-wise F1 score TP/(TP+(FP+FN)/2), and 1 where there is
// no lesion in either mask.
func (l LesionCounts) F1() float64 {
	if l.TP+l.FP+l.FN == 0 {
		return 1
	}
	return countRatio(2*int64(l.TP), int64(2*l.TP+l.FP+l.FN))
}

// Sensitivity returns the share of target lesions that were found, TP/(TP+FN),
// and NaN where the target has none.
func (l LesionCounts) Sensitivity() float64 { return countRatio(int64(l.TP), int64(l.TP+l.FN)) }

// CompareLesions counts the lesions of two masks of equal shape; see
// [Components] for what a mask is. The A-FL authors use Connectivity26.
func CompareLesions(prediction, target *tensor.Dense, connectivity Connectivity) (LesionCounts, error) {
	p, t, err := newSpatialMasks(prediction, target)
	if err != nil {
		return LesionCounts{}, err
	}
	neighbourhood, err := connectivity.neighbourhood(p.axes)
	if err != nil {
		return LesionCounts{}, err
	}
	var l LesionCounts
	found, lesions := countTouching(t, p, neighbourhood)
	l.TP, l.FN = found, lesions-found
	right, predicted := countTouching(p, t, neighbourhood)
	l.FP, l.Predicted = predicted-right, predicted
	return l, nil
}

// countTouching returns how many components of a share a voxel with b, and how
// many there are.
func countTouching(a, b *spatialMask, neighbourhood components.Neighbourhood) (touching, count int) {
	runs, count := components.Find(a.voxel, a.shape, neighbourhood)
	touches := make([]bool, count)
	for _, r := range runs {
		if touches[r.Label-1] {
			continue
		}
		for _, v := range b.voxel[r.Start:r.End] {
			if v == 1 {
				touches[r.Label-1] = true
				touching++
				break
			}
		}
	}
	return touching, count
}
