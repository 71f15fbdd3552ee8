package surface

// net is a surface net under construction: the cells of a box of the grid that extends the
// foreground by one voxel.
type net struct {
	mask Mask
	lo   [3]int // voxel of corner 0 of cell (0,0,0)
	dims [3]int // cells

	corners []uint8 // by cell
	joined  []uint8 // by cell
	first   []int32 // index of the first vertex, by cell
}

func newNet(m Mask) *net {
	lo, hi, ok := m.Box()
	if !ok {
		return nil
	}
	n := &net{mask: m}
	cells := 1
	for axis := range lo {
		n.lo[axis] = lo[axis] - 1
		n.dims[axis] = hi[axis] - lo[axis] + 1
		cells *= n.dims[axis]
	}
	n.corners, n.joined, n.first = make([]uint8, cells), make([]uint8, cells), make([]int32, cells)
	n.each(func(cell int, c [3]int) {
		for corner := range 8 {
			if m.At(n.lo[0]+c[0]+corner&1, n.lo[1]+c[1]+corner>>1&1, n.lo[2]+c[2]+corner>>2&1) {
				n.corners[cell] |= 1 << corner
			}
		}
	})
	n.separate()
	return n
}

// each calls visit for each cell in the order of memory.
func (n *net) each(visit func(cell int, c [3]int)) {
	cell := 0
	for i := range n.dims[0] {
		for j := range n.dims[1] {
			for k := range n.dims[2] {
				visit(cell, [3]int{i, j, k})
				cell++
			}
		}
	}
}

// stride returns the distance in memory between neighboring cells along axis.
func (n *net) stride(axis int) int {
	return [3]int{n.dims[1] * n.dims[2], n.dims[2], 1}[axis]
}

func (n *net) mixed(cell int) bool { return n.corners[cell] != 0 && n.corners[cell] != 0xFF }

// separate sets joined so that each edge of the mesh belongs to two triangles. Two
// strands of the surface pass through an ambiguous face. If they belong to the same sheet
// in both cells that share the face, four quadrilaterals would share the edge between the
// two vertices. Connecting the strands the other way divides both sheets; as this never
// merges sheets, one pass is enough.
func (n *net) separate() {
	n.each(func(cell int, c [3]int) {
		if !n.mixed(cell) {
			return
		}
		for axis := range 3 {
			upper := &faces[2*axis+1]
			if c[axis]+1 == n.dims[axis] || !upper.ambiguous(n.corners[cell]) {
				continue
			}
			next := cell + n.stride(axis)
			single := func(cell int, f *face) bool {
				sheet, _ := sheets(n.corners[cell], n.joined[cell])
				return sheet[f.edge[0]] == sheet[f.edge[1]] && sheet[f.edge[0]] == sheet[f.edge[2]] && sheet[f.edge[0]] == sheet[f.edge[3]]
			}
			if single(cell, upper) && single(next, &faces[2*axis]) {
				n.joined[cell] |= 1 << (2*axis + 1)
				n.joined[next] |= 1 << (2 * axis)
			}
		}
	})
}

// vertices returns the vertices, one for each sheet of each cell, in units of voxels, and
// the centers of their cells. A vertex starts at the mean of its sheet's crossings of edges.
func (n *net) vertices() (at, center []point) {
	n.each(func(cell int, c [3]int) {
		n.first[cell] = int32(len(at))
		if !n.mixed(cell) {
			return
		}
		var corner point
		for axis := range corner {
			corner[axis] = float64(n.lo[axis] + c[axis])
		}
		sheet, count := sheets(n.corners[cell], n.joined[cell])
		for s := range count {
			var sum point
			crossed := 0.0
			for e, own := range sheet {
				if int(own) == s {
					sum = sum.plus(edgeCenter[e])
					crossed++
				}
			}
			at = append(at, corner.plus(sum.times(1/crossed)))
			center = append(center, corner.plus(point{0.5, 0.5, 0.5}))
		}
	})
	return at, center
}

// edgeCenter are the centers of a cell's edges.
var edgeCenter = func() (all [12]point) {
	for c := range 8 {
		for axis := range 3 {
			if c>>axis&1 == 0 {
				p := point{float64(c & 1), float64(c >> 1 & 1), float64(c >> 2 & 1)}
				p[axis] = 0.5
				all[edgeOf(c, axis)] = p
			}
		}
	}
	return all
}()

// quads returns the quadrilaterals, one for each pair of a foreground voxel and a
// background voxel that share a face, counterclockwise from outside.
func (n *net) quads() [][4]int32 {
	var all [][4]int32
	n.each(func(cell int, c [3]int) {
		corners := n.corners[cell]
		for axis := range 3 {
			// The edge from corner 7 against the axis is shared by this cell and the next
			// ones along the two other axes.
			u, v := (axis+1)%3, (axis+2)%3
			low, high := corners>>(7^1<<axis)&1, corners>>7&1
			if low == high {
				continue
			}
			var quad [4]int32
			for i, side := range [4][2]int{{0, 0}, {1, 0}, {1, 1}, {0, 1}} {
				shared := cell + side[0]*n.stride(u) + side[1]*n.stride(v)
				lower := (1-side[0])<<u | (1-side[1])<<v
				sheet, _ := sheets(n.corners[shared], n.joined[shared])
				quad[i] = n.first[shared] + int32(sheet[edgeOf(lower, axis)])
			}
			if low == 0 { // the background is below, so the outside is
				quad[1], quad[3] = quad[3], quad[1]
			}
			all = append(all, quad)
		}
	})
	return all
}
