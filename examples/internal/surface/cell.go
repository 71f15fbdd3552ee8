package surface

// A cell is the cube between eight neighboring voxel centers, its corners. Corner c lies at
// (c&1, c>>1&1, c>>2&1). The 12 edges are numbered 4·axis + the two other bits of their lower
// corner, and the six faces 2·axis + side.

// edgeOf returns the edge along axis from the lower corner c.
func edgeOf(c, axis int) int {
	switch axis {
	case 0:
		return c >> 1 & 3
	case 1:
		return 4 + (c&1 | c>>1&2)
	}
	return 8 + c&3
}

// face is a face of a cell: its corners in cyclic order, and edge[i] between corner[i] and
// corner[i+1].
type face struct{ corner, edge [4]int }

var faces = func() (all [6]face) {
	for n := range all {
		axis, side := n/2, n%2
		u, v := 1<<((axis+1)%3), 1<<((axis+2)%3)
		base := side << axis
		f := &all[n]
		f.corner = [4]int{base, base | u, base | u | v, base | v}
		for i, c := range f.corner {
			d := f.corner[(i+1)%4]
			switch c ^ d {
			case 1:
				f.edge[i] = edgeOf(c&d, 0)
			case 2:
				f.edge[i] = edgeOf(c&d, 1)
			case 4:
				f.edge[i] = edgeOf(c&d, 2)
			}
		}
	}
	return all
}()

// ambiguous reports whether the foreground corners of a face are two that are opposite.
func (f *face) ambiguous(corners uint8) bool {
	at := func(i int) bool { return corners>>f.corner[i]&1 != 0 }
	return at(0) == at(2) && at(1) == at(3) && at(0) != at(1)
}

// sheets traces the surface through a cell. Bit c of corners says whether corner c is
// foreground. The surface crosses the edges between foreground and background; on each face
// it runs from one crossed edge to another. Where a face is ambiguous it runs around each of
// the two foreground corners or, if the face's bit of joined is set, around each of the two
// background corners, which joins the foreground. sheets returns the connected piece of the
// surface that each edge belongs to, −1 where the edge is not crossed, and the number of
// pieces.
func sheets(corners, joined uint8) (sheet [12]int8, count int) {
	var parent [12]int
	for e := range parent {
		parent[e] = -1
	}
	root := func(e int) int {
		for parent[e] != e {
			e = parent[e]
		}
		return e
	}
	link := func(a, b int) {
		for _, e := range [2]int{a, b} {
			if parent[e] < 0 {
				parent[e] = e
			}
		}
		a, b = root(a), root(b)
		parent[max(a, b)] = min(a, b)
	}
	for n := range faces {
		f := &faces[n]
		var crossed []int
		for i, e := range f.edge {
			if corners>>f.corner[i]&1 != corners>>f.corner[(i+1)%4]&1 {
				crossed = append(crossed, e)
			}
		}
		switch len(crossed) {
		case 2:
			link(crossed[0], crossed[1])
		case 4:
			// edge[i-1] and edge[i] meet at corner i.
			around := int(corners>>f.corner[0]&1) ^ 1 ^ int(joined>>n&1)
			link(f.edge[(around+3)%4], f.edge[around])
			link(f.edge[around+1], f.edge[around+2])
		}
	}
	for e := range sheet {
		switch {
		case parent[e] < 0:
			sheet[e] = -1
		case parent[e] == e: // the lowest edge of its sheet, so it comes first
			sheet[e] = int8(count)
			count++
		default:
			sheet[e] = sheet[root(e)]
		}
	}
	return sheet, count
}
