package edt

// Surface returns the voxels of m that have a face neighbor outside m. Everything outside
// the volume is outside m. A volume with two axes has no neighbors across slices; one with
// three axes has, even if it has a single slice.
func Surface(m *Mask, axes int) *Mask {
	s := m.empty()
	slices, rows := m.shape[0], m.shape[1]
	outside := make([]uint64, m.width)
	m.eachBatch(func() func(int, int) {
		return func(first, end int) {
			for r := first; r < end; r++ {
				own := m.row(r)
				if isEmpty(own) {
					continue
				}
				neighbor := func(inside bool, by int) []uint64 {
					if !inside {
						return outside
					}
					return m.row(r + by)
				}
				z, y := r/rows, r%rows
				up, down := neighbor(y > 0, -1), neighbor(y < rows-1, 1)
				front, back := own, own
				if axes == 3 {
					front, back = neighbor(z > 0, -rows), neighbor(z < slices-1, rows)
				}
				surfaceRow(s.row(r), own, up, down, front, back)
			}
		}
	})
	return s
}

// surfaceRow stores in dst the voxels of a row that have a neighbor outside, given the
// rows next to it.
func surfaceRow(dst, own, up, down, front, back []uint64) {
	before := uint64(0) // the last voxel of the previous word
	for w, v := range own {
		after := uint64(0)
		if w+1 < len(own) {
			after = own[w+1] << 63
		}
		dst[w] = v &^ (up[w] & down[w] & front[w] & back[w] & (v<<1 | before) & (v>>1 | after))
		before = v >> 63
	}
}

func isEmpty(words []uint64) bool {
	for _, w := range words {
		if w != 0 {
			return false
		}
	}
	return true
}
