package workload

import (
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"
)

// MaskPair is the input of surface distances.
type MaskPair struct {
	Name                  string
	Prediction, Reference *tensor.Dense
}

func newMaskPair(name string, space [3]int, prediction, reference []uint8) MaskPair {
	mask := func(voxels []uint8) *tensor.Dense {
		return tensor.New(tensor.WithShape(space[:]...), tensor.WithBacking(voxels))
	}
	return MaskPair{name, mask(prediction), mask(reference)}
}

// NewMaskPairs returns a small lesion and an organ, each with a prediction that is
// off by a voxel or two.
func NewMaskPairs(s Size) []MaskPair {
	return []MaskPair{
		newMaskPair("lesion", s.Space, lesion(s.Space, 1.5), lesion(s.Space, 0)),
		newMaskPair("organ", s.Space, organ(s.Space, 1.5), organ(s.Space, 0)),
	}
}

// NewHardMaskPairs returns pairs for which the nearest surfaces are expensive to
// find: they are far apart, or as large as they get. The last is the one that a search
// found to take longest compared with two distance transforms.
func NewHardMaskPairs(s Size) []MaskPair {
	n := s.ImageVoxels()
	voxel := func(at int) []uint8 {
		mask := make([]uint8, n)
		mask[at] = 1
		return mask
	}
	rng := rand.New(rand.NewPCG(2, uint64(n)))
	noise := func(density float64) []uint8 {
		mask := make([]uint8, n)
		for i := range mask {
			if rng.Float64() < density {
				mask[i] = 1
			}
		}
		return mask
	}
	falsePositive := organ(s.Space, 1.5)
	falsePositive[0] = 1
	return []MaskPair{
		newMaskPair("false-positive", s.Space, falsePositive, organ(s.Space, 0)),
		newMaskPair("lesion-in-organ", s.Space, organ(s.Space, 0), lesion(s.Space, 0)),
		newMaskPair("displaced", s.Space, organ(s.Space, float64(s.Space[0])/7), organ(s.Space, 0)),
		newMaskPair("corners", s.Space, voxel(0), voxel(n-1)),
		newMaskPair("noise", s.Space, noise(0.01), noise(0.01)),
		newMaskPair("dense-noise", s.Space, noise(0.5), noise(0.5)),
		newMaskPair("noise-and-voxel", s.Space, noise(0.5), voxel(n-1)),
		newMaskPair("slab-and-checkerboard", s.Space, slab(s.Space), checkerboard(s.Space)),
	}
}

// slab fills the image along the first and the last axis.
func slab(space [3]int) []uint8 {
	return where(space, func(_, y, _ int) bool { return y >= 3*space[1]/10 && y < 9*space[1]/10 })
}

// checkerboard has fields of 2×10×2 voxels and fills the image along the last two axes.
func checkerboard(space [3]int) []uint8 {
	return where(space, func(x, y, z int) bool {
		return x >= space[0]/7 && x < 6*space[0]/7 && (x/2+y/10+z/2)%2 == 0
	})
}

// where returns the voxels that have a property.
func where(space [3]int, has func(x, y, z int) bool) []uint8 {
	mask := make([]uint8, 0, space[0]*space[1]*space[2])
	for x := range space[0] {
		for y := range space[1] {
			for z := range space[2] {
				v := uint8(0)
				if has(x, y, z) {
					v = 1
				}
				mask = append(mask, v)
			}
		}
	}
	return mask
}

// ellipsoid has its center and radii as fractions of the image's edges.
type ellipsoid struct{ center, radius [3]float64 }

// lesion is three ragged ellipsoids that fill about 0.4 % of the image.
func lesion(space [3]int, shift float64) []uint8 {
	return ragged(space, shift, []ellipsoid{
		{[3]float64{0.38, 0.55, 0.50}, [3]float64{0.075, 0.085, 0.12}},
		{[3]float64{0.47, 0.59, 0.57}, [3]float64{0.050, 0.045, 0.08}},
		{[3]float64{0.64, 0.36, 0.40}, [3]float64{0.030, 0.040, 0.07}},
	})
}

// organ is one ragged ellipsoid that fills about a quarter of the image.
func organ(space [3]int, shift float64) []uint8 {
	return ragged(space, shift, []ellipsoid{{[3]float64{0.5, 0.5, 0.5}, [3]float64{0.40, 0.38, 0.42}}})
}

// ragged returns the union of ellipsoids whose radius varies by up to 15 % along
// their surface, moved by shift voxels along the first two axes.
func ragged(space [3]int, shift float64, parts []ellipsoid) []uint8 {
	mask := make([]uint8, space[0]*space[1]*space[2])
	i := 0
	for x := range space[0] {
		for y := range space[1] {
			for z := range space[2] {
				at := [3]float64{float64(x) - shift, float64(y) - shift, float64(z)}
				wave := math.Sin(0.9*at[0]) * math.Sin(0.8*at[1]+1) * math.Cos(0.7*at[2])
				limit := 1 + 0.15*wave
				for _, e := range parts {
					r2 := 0.0
					for axis, edge := range space {
						if edge == 1 { // a 2-D image
							continue
						}
						d := (at[axis] - e.center[axis]*float64(edge)) / (e.radius[axis] * float64(edge))
						r2 += d * d
					}
					if r2 <= limit*limit {
						mask[i] = 1
					}
				}
				i++
			}
		}
	}
	return mask
}
