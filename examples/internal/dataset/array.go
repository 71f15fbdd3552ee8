package dataset

import "slices"

// array is a volume of one or more channels: data[((c·X+i)·Y+j)·Z+k].
type array[T uint8 | float32 | float64] struct {
	channels int
	dims     [3]int
	affine   affine
	data     []T
}

func (a array[T]) voxels() int { return a.dims[0] * a.dims[1] * a.dims[2] }

func (a array[T]) clone() array[T] {
	a.data = slices.Clone(a.data)
	return a
}

// unshared returns a, or a copy of a if it shares its data with from. The owner of a
// sample may modify it, while a cached case must not change.
func unshared[T uint8 | float32 | float64](a, from array[T]) array[T] {
	if &a.data[0] == &from.data[0] {
		return a.clone()
	}
	return a
}

// empty returns an array of zeros with a's number of channels on another grid.
func (a array[T]) empty(dims [3]int, m affine) array[T] {
	return array[T]{channels: a.channels, dims: dims, affine: m, data: make([]T, a.channels*dims[0]*dims[1]*dims[2])}
}

// rearrangement moves whole voxels: axis i of the result corresponds to axis axis[i]
// of the source, and index o along it to the source's index start[i] + step[i]·o, where
// step is +1 or -1. Voxels outside the source are zero. Crops, padding, shifts, flips
// and reorientations all have this form.
type rearrangement struct {
	dims  [3]int
	axis  [3]int
	step  [3]int
	start [3]int
}

// window returns a rearrangement without permutation or flips.
func window(start, dims [3]int) rearrangement {
	return rearrangement{dims: dims, axis: [3]int{0, 1, 2}, step: [3]int{1, 1, 1}, start: start}
}

// identity reports whether r leaves a volume of the given size unchanged.
func (r rearrangement) identity(dims [3]int) bool {
	return r == window([3]int{}, dims)
}

// affine returns the map from the result's voxel indices to the source's.
func (r rearrangement) affine() affine {
	m := affine{3: {3: 1}}
	for i, a := range r.axis {
		m[a][i] = float64(r.step[i])
		m[a][3] = float64(r.start[i])
	}
	return m
}

// rearrange applies r to a. If r is the identity, it returns a itself and not a copy.
func rearrange[T uint8 | float32 | float64](a array[T], r rearrangement) array[T] {
	if r.identity(a.dims) {
		return a
	}
	out := a.empty(r.dims, multiply(a.affine, r.affine()))
	stride := [3]int{a.dims[1] * a.dims[2], a.dims[2], 1}

	// The result's voxels in [lo, hi) have a voxel in the source.
	var lo, hi, move [3]int
	base := 0
	for i, ax := range r.axis {
		n := a.dims[ax]
		if r.step[i] > 0 {
			lo[i], hi[i] = -r.start[i], n-r.start[i]
		} else {
			lo[i], hi[i] = r.start[i]-n+1, r.start[i]+1
		}
		lo[i], hi[i] = max(lo[i], 0), min(hi[i], r.dims[i])
		move[i] = r.step[i] * stride[ax]
		base += r.start[i] * stride[ax]
	}
	for c := range a.channels {
		src := a.data[c*a.voxels() : (c+1)*a.voxels()]
		dst := out.data[c*out.voxels() : (c+1)*out.voxels()]
		for i := lo[0]; i < hi[0]; i++ {
			for j := lo[1]; j < hi[1]; j++ {
				if lo[2] >= hi[2] {
					continue
				}
				row := dst[(i*r.dims[1]+j)*r.dims[2]:][lo[2]:hi[2]]
				from := base + i*move[0] + j*move[1] + lo[2]*move[2]
				if move[2] == 1 {
					copy(row, src[from:])
					continue
				}
				for k := range row {
					row[k] = src[from+k*move[2]]
				}
			}
		}
	}
	return out
}
