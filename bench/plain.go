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
	p, err := readPlain(s, m.Prediction)
	if err != nil {
		return nil, err
	}
	t, err := readPlain(s, m.Reference)
	if err != nil {
		return nil, err
	}
	lo, hi := edt.Box(p, t)
	p.Crop(lo, hi)
	t.Crop(lo, hi)
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

func readPlain(s workload.Size, t *tensor.Dense) (*edt.Mask, error) {
	voxels, ok := t.Data().([]uint8)
	if !ok {
		return nil, fmt.Errorf("a mask of %v, want uint8", t.Dtype())
	}
	m := edt.NewMask(s.Space)
	m.Fill(0, voxels)
	return m, nil
}
