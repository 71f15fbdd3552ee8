// Package surface makes triangle meshes of the surfaces of binary masks.
package surface

import (
	"fmt"
	"math"
)

// Mask is a binary image on a regular grid.
type Mask struct {
	// Dims is the number of voxels along each axis, at least 1.
	Dims [3]int
	// Spacing is the distance in millimeters between neighboring voxels along each axis.
	Spacing [3]float64
	// Voxels holds voxel (i,j,k) at (i·Dims[1]+j)·Dims[2]+k.
	Voxels []bool
}

// Check returns an error unless the mask has voxels, as many as Dims says, and a positive,
// finite spacing.
func (m Mask) Check() error {
	n := 1
	for axis, d := range m.Dims {
		if d < 1 || d > math.MaxInt32/n {
			return fmt.Errorf("surface: Mask.Dims is %v, want at least 1 voxel along each axis and fewer than 2³¹ in total", m.Dims)
		}
		n *= d
		if s := m.Spacing[axis]; !(s > 0) || math.IsInf(s, 1) {
			return fmt.Errorf("surface: Mask.Spacing is %v mm, want positive numbers", m.Spacing)
		}
	}
	if len(m.Voxels) != n {
		return fmt.Errorf("surface: Mask has %d voxels, want %d for Dims %v", len(m.Voxels), n, m.Dims)
	}
	return nil
}

// At returns voxel (i,j,k), which is background outside of the grid.
func (m Mask) At(i, j, k int) bool {
	if i < 0 || j < 0 || k < 0 || i >= m.Dims[0] || j >= m.Dims[1] || k >= m.Dims[2] {
		return false
	}
	return m.Voxels[(i*m.Dims[1]+j)*m.Dims[2]+k]
}

// Box returns the half-open box lo ≤ (i,j,k) < hi around the foreground, and false if there
// is no foreground.
func (m Mask) Box() (lo, hi [3]int, ok bool) {
	lo = m.Dims
	n := 0
	for i := range m.Dims[0] {
		for j := range m.Dims[1] {
			for k := range m.Dims[2] {
				if m.Voxels[n] {
					ok = true
					for axis, c := range [3]int{i, j, k} {
						lo[axis], hi[axis] = min(lo[axis], c), max(hi[axis], c+1)
					}
				}
				n++
			}
		}
	}
	if !ok {
		lo = [3]int{}
	}
	return lo, hi, ok
}

// Count returns the number of foreground voxels.
func (m Mask) Count() int {
	n := 0
	for _, v := range m.Voxels {
		if v {
			n++
		}
	}
	return n
}

// Volume returns the volume of the foreground in mm³.
func (m Mask) Volume() float64 {
	return float64(m.Count()) * m.Spacing[0] * m.Spacing[1] * m.Spacing[2]
}
