package dataset

import (
	"fmt"
	"math"

	"github.com/x/afl/examples/internal/volume"
)

// Interpolation is a method of computing values between voxels.
type Interpolation int

const (
	// Nearest takes the voxel whose center is nearest in index space, and of two
	// equally near ones that with the higher index.
	Nearest Interpolation = iota
	// Linear is trilinear interpolation.
	Linear
	// Extended is Linear with the outermost values extended outside the volume. It is
	// for values that cover a whole scan although a change of the voxel size has cut
	// part of a voxel off its border.
	Extended
)

// Resample interpolates v on another grid, channel by channel. It takes, for example, a
// network's output from the sample's grid to the scan's. The field of view of v extends
// half a voxel beyond its outermost voxel centers, with the outermost value there;
// outside it the result is 0, except with [Extended]. Both affines must be invertible.
func Resample(v *volume.Volume, dims [3]int, affine [4][4]float64, mode Interpolation) (*volume.Volume, error) {
	if !regular(v.Affine) {
		return nil, fmt.Errorf("dataset: Resample: the volume's affine %v is not finite and invertible", v.Affine)
	}
	if !regular(affine) {
		return nil, fmt.Errorf("dataset: Resample: the affine %v is not finite and invertible", affine)
	}
	for _, n := range dims {
		if n < 1 {
			return nil, fmt.Errorf("dataset: Resample: dims is %v; every axis must be at least 1", dims)
		}
	}
	if want := v.Channels * v.Dims[0] * v.Dims[1] * v.Dims[2]; len(v.Data) != want || want == 0 {
		return nil, fmt.Errorf("dataset: Resample: the volume has %d values, but %d channels of %v voxels need %d", len(v.Data), v.Channels, v.Dims, want)
	}
	a := resample(array[float64]{channels: v.Channels, dims: v.Dims, affine: v.Affine, data: v.Data}, dims, affine, mode)
	return &volume.Volume{Dims: dims, Channels: v.Channels, Data: a.data, Affine: affine}, nil
}

// snap rounds a coordinate within 10⁻⁶ of a voxel center, or of the border between two
// voxels, to it. Affines have single-precision rounding errors, which must not put a
// voxel of a matching grid outside the field of view or on the wrong side of a border.
func snap(x float64) float64 {
	// Unlike Round, RoundToEven is a single instruction on common architectures.
	if r := math.RoundToEven(2*x) / 2; math.Abs(x-r) < 1e-6 {
		return r
	}
	return x
}

// resample interpolates a on another grid; see [Resample].
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
				// The cell of eight voxels around p: base is its lowest corner, step
				// the stride to the upper one (0 at the border), and frac the position
				// in between.
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

// spacingGrid returns a grid with voxels of the given size that covers the field of
// view of the given grid and has the same center.
func spacingGrid(m affine, dims [3]int, target [3]float64) ([3]int, affine) {
	var scale, offset point
	for i, s := range spacing(m) {
		scale[i] = 1
		if math.Abs(s/target[i]-1) < 1e-3 {
			continue
		}
		scale[i] = target[i] / s
		n := max(1, int(math.Round(float64(dims[i])/scale[i])))
		// Index (n-1)/2 of the new grid coincides with (dims-1)/2 of the old one.
		offset[i] = (float64(dims[i]-1) - scale[i]*float64(n-1)) / 2
		dims[i] = n
	}
	return dims, multiply(m, scaling(scale, offset))
}
