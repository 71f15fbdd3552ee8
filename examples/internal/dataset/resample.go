package dataset

import (
	"fmt"
	"math"

	"github.com/x/afl/examples/internal/volume"
)

// Interpolation says how a value between voxels is found.
type Interpolation int

const (
	// Nearest takes the voxel whose centre is nearest in index space; between
	// two, the one of higher index.
	Nearest Interpolation = iota
	// Linear is trilinear interpolation.
	Linear
	// Extended is Linear, with the outermost values holding everywhere outside:
	// for what belongs to the whole of a scan although a change of the voxels'
	// size has cut a part of a voxel off its border.
	Extended
)

// Resample interpolates v on another grid, channel by channel: what a network
// found on a sample's grid, for one, on the grid of the scan. A point is inside
// v up to half a voxel beyond its outermost centres, where the outermost value
// holds; outside the result is 0, but for Extended. Both affines must be
// invertible.
func Resample(v *volume.Volume, dims [3]int, affine [4][4]float64, mode Interpolation) (*volume.Volume, error) {
	if !regular(v.Affine) {
		return nil, fmt.Errorf("dataset: Resample: the volume's affine %v is not finite or flattens space", v.Affine)
	}
	if !regular(affine) {
		return nil, fmt.Errorf("dataset: Resample: the affine %v is not finite or flattens space", affine)
	}
	for _, n := range dims {
		if n < 1 {
			return nil, fmt.Errorf("dataset: Resample: dims is %v; every axis needs a voxel", dims)
		}
	}
	if want := v.Channels * v.Dims[0] * v.Dims[1] * v.Dims[2]; len(v.Data) != want || want == 0 {
		return nil, fmt.Errorf("dataset: Resample: the volume has %d values; %d channels of %v voxels make %d", len(v.Data), v.Channels, v.Dims, want)
	}
	a := resample(array[float64]{channels: v.Channels, dims: v.Dims, affine: v.Affine, data: v.Data}, dims, affine, mode)
	return &volume.Volume{Dims: dims, Channels: v.Channels, Data: a.data, Affine: affine}, nil
}

// snap rounds a coordinate that lies within 10⁻⁶ of a voxel's centre, or of the
// border between two, to it: affines carry single-precision noise, which must
// not make a voxel of a matching grid fall outside, or on the wrong side.
func snap(x float64) float64 {
	// RoundToEven is one instruction on common machines, Round is not.
	if r := math.RoundToEven(2*x) / 2; math.Abs(x-r) < 1e-6 {
		return r
	}
	return x
}

// resample interpolates a on another grid. A point is inside the field of view
// up to half a voxel beyond the outermost centres, where the outermost value
// holds; outside it the result is 0, but for Extended.
func resample[T uint8 | float32 | float64](a array[T], dims [3]int, m affine, mode Interpolation) array[T] {
	out := a.empty(dims, m)
	toSource := multiply(invert(a.affine), m)
	voxels, stride := a.voxels(), [3]int{a.dims[1] * a.dims[2], a.dims[2], 1}
	o := -1
	for i := range dims[0] {
		for j := range dims[1] {
			for k := range dims[2] {
				o++
				p := apply(toSource, point{float64(i), float64(j), float64(k)})
				// The cell of eight voxels around p: base is its lowest corner,
				// step leads to the upper one (0 at the border), frac lies between.
				var base int
				var step [3]int
				var frac point
				inside := true
				for ax := range p {
					x, last := snap(p[ax]), float64(a.dims[ax]-1)
					if mode != Extended && !(x >= -0.5 && x <= last+0.5) {
						inside = false
						break
					}
					x = min(max(x, 0), last)
					if mode == Nearest {
						x = min(math.Floor(x+0.5), last)
					}
					lo := math.Floor(x)
					base += int(lo) * stride[ax]
					if frac[ax] = x - lo; frac[ax] > 0 {
						step[ax] = stride[ax]
					}
				}
				if !inside {
					continue
				}
				if mode == Nearest || step == [3]int{} {
					for c := range a.channels {
						out.data[c*out.voxels()+o] = a.data[c*voxels+base]
					}
					continue
				}
				for c := range a.channels {
					src := a.data[c*voxels+base:]
					at := func(dx, dy, dz int) float64 { return float64(src[dx+dy+dz]) }
					x0 := lerp(lerp(at(0, 0, 0), at(0, 0, step[2]), frac[2]), lerp(at(0, step[1], 0), at(0, step[1], step[2]), frac[2]), frac[1])
					x1 := lerp(lerp(at(step[0], 0, 0), at(step[0], 0, step[2]), frac[2]), lerp(at(step[0], step[1], 0), at(step[0], step[1], step[2]), frac[2]), frac[1])
					out.data[c*out.voxels()+o] = T(lerp(x0, x1, frac[0]))
				}
			}
		}
	}
	return out
}

func lerp(a, b, t float64) float64 { return float64(a*(1-t)) + float64(b*t) }

// spacingGrid returns the grid with voxels of the given size over the field of
// view of another, about the same centre.
func spacingGrid(m affine, dims [3]int, target [3]float64) ([3]int, affine) {
	var scale, offset point
	for i, s := range spacing(m) {
		scale[i] = 1
		if math.Abs(s/target[i]-1) < 1e-3 {
			continue
		}
		scale[i] = target[i] / s
		n := max(1, int(math.Round(float64(dims[i])/scale[i])))
		// Index (n-1)/2 of the new grid is where (dims-1)/2 of the old one is.
		offset[i] = (float64(dims[i]-1) - scale[i]*float64(n-1)) / 2
		dims[i] = n
	}
	return dims, multiply(m, scaling(scale, offset))
}
