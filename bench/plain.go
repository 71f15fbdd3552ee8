package main

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/distance"
	"github.com/x/afl/internal/edt"
	"github.com/x/afl/internal/workload"
)

// plainSurfaces computes the values of surfaceBenchmark by the plain distance transform of
// each surface in the box that holds both and the distances sorted: by what takes about as
// long for any two masks. It is the measure of the time that other ways take for the
// masks that are hard for them.
func plainSurfaces(s workload.Size, m workload.MaskPair) ([]float64, error) {
	p, t, err := readPair(s, m)
	if err != nil {
		return nil, err
	}
	p, t = edt.Surface(p, 3), edt.Surface(t, 3)
	largest, sum, near, voxels := 0.0, 0.0, 0, 0
	for _, sorted := range [][]float64{edt.SortedSquared(p, t, s.Spacing), edt.SortedSquared(t, p, s.Spacing)} {
		for _, squared := range sorted {
			d := math.Sqrt(squared)
			largest = max(largest, d)
			sum += d
			if distance.Within(d, surfaceTolerance) {
				near++
			}
		}
		voxels += len(sorted)
	}
	return []float64{largest, sum / float64(voxels), float64(near) / float64(voxels)}, nil
}

// plainElements computes the values of elementsBenchmark by two plain distance transforms.
func plainElements(s workload.Size, m workload.MaskPair, areas *edt.Areas) ([]float64, error) {
	p, t, err := readPair(s, m)
	if err != nil {
		return nil, err
	}
	corners := [2]*edt.Corners{edt.NewCorners(p, 3, areas), edt.NewCorners(t, 3, areas)}
	squared := make([]float64, corners[0].Rows()*corners[0].Columns())
	largest, sum, near, area := 0.0, 0.0, 0.0, 0.0
	for i, from := range corners {
		edt.Squared(squared, corners[1-i].Mask, s.Spacing)
		from.Each(func(i int) {
			d, a := math.Sqrt(squared[i]), from.Area(i)
			largest = max(largest, d)
			sum += d * a
			area += a
			if distance.Within(d, surfaceTolerance) {
				near += a
			}
		})
	}
	return []float64{largest, sum / area, near / area}, nil
}

// readPair reads two masks, cropped to the box that holds both.
func readPair(s workload.Size, m workload.MaskPair) (p, t *edt.Mask, err error) {
	if p, err = readPlain(s, m.Prediction); err != nil {
		return nil, nil, err
	}
	if t, err = readPlain(s, m.Reference); err != nil {
		return nil, nil, err
	}
	lo, hi := edt.Box(p, t)
	p.Crop(lo, hi)
	t.Crop(lo, hi)
	return p, t, nil
}

func readPlain(s workload.Size, t *tensor.Dense) (*edt.Mask, error) {
	voxels, ok := t.Data().([]uint8)
	if !ok {
		return nil, fmt.Errorf("a mask of %v, want uint8", t.Dtype())
	}
	m := edt.NewMask(s.Space)
	m.Fill(0, voxels)
	return m, nil
}
