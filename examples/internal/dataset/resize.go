package dataset

// areaWindow returns the range [lo, hi) of source voxels that voxel i of m averages
// over along an axis of n voxels: floor(i·n/m) … ceil((i+1)·n/m).
func areaWindow(i, n, m int) (lo, hi int) {
	return i * n / m, ((i+1)*n + m - 1) / m
}

// resized returns an empty array of the new size over the same field of view.
func resized[T uint8 | float32 | float64](a array[T], dims [3]int) array[T] {
	var scale, offset point
	for i := range scale {
		scale[i] = float64(a.dims[i]) / float64(dims[i])
		offset[i] = (scale[i] - 1) / 2
	}
	return a.empty(dims, multiply(a.affine, scaling(scale, offset)))
}

// resizeArea averages with equal weights over the box given by areaWindow along each
// axis.
func resizeArea(a array[float32], dims [3]int) array[float32] {
	if dims == a.dims {
		return a
	}
	out := resized(a, dims)
	n, m := a.dims, dims
	o := 0
	for c := range a.channels {
		src := a.data[c*a.voxels():]
		for i := range m[0] {
			i0, i1 := areaWindow(i, n[0], m[0])
			for j := range m[1] {
				j0, j1 := areaWindow(j, n[1], m[1])
				for k := range m[2] {
					k0, k1 := areaWindow(k, n[2], m[2])
					var sum float64
					for x := i0; x < i1; x++ {
						for y := j0; y < j1; y++ {
							for _, v := range src[(x*n[1]+y)*n[2]:][k0:k1] {
								sum += float64(v)
							}
						}
					}
					out.data[o] = float32(sum / float64((i1-i0)*(j1-j0)*(k1-k0)))
					o++
				}
			}
		}
	}
	return out
}

// resizeAreaLabel returns 1 where the average of resizeArea is not zero, that is, where
// any voxel of the box is set. Each bit of a set of regions is resized by itself.
func resizeAreaLabel(a array[uint8], dims [3]int) array[uint8] {
	if dims == a.dims {
		return a
	}
	out := resized(a, dims)
	n, m := a.dims, dims
	o := 0
	for i := range m[0] {
		i0, i1 := areaWindow(i, n[0], m[0])
		for j := range m[1] {
			j0, j1 := areaWindow(j, n[1], m[1])
			for k := range m[2] {
				k0, k1 := areaWindow(k, n[2], m[2])
				for x := i0; x < i1; x++ {
					for y := j0; y < j1; y++ {
						for _, v := range a.data[(x*n[1]+y)*n[2]:][k0:k1] {
							out.data[o] |= v
						}
					}
				}
				o++
			}
		}
	}
	return out
}

// resizeNearest takes the voxel at the new voxel's center, floor((i+½)·n/m). On the
// border between two voxels that is the one with the higher index.
func resizeNearest(a array[uint8], dims [3]int) array[uint8] {
	if dims == a.dims {
		return a
	}
	out := resized(a, dims)
	n, m := a.dims, dims
	under := func(axis, i int) int { return (2*i + 1) * n[axis] / (2 * m[axis]) }
	o := 0
	for i := range m[0] {
		x := under(0, i)
		for j := range m[1] {
			row := a.data[(x*n[1]+under(1, j))*n[2]:]
			for k := range m[2] {
				out.data[o] = row[under(2, k)]
				o++
			}
		}
	}
	return out
}
