package edt

import (
	"math"
	"math/bits"
	"sync"
)

// Corners returns the corners of voxels on the surface of m: those shared by eight voxels,
// four in two dimensions, of which some but not all are in m. Everything outside the volume
// is outside m. With them it returns the code of every corner in raster order of the
// corners, 0 where it is not on the surface.
//
// The corners of a volume are one more than its voxels along each axis. Bit 4·i+2·j+k of a
// code is whether the voxel is in m that lies after the corner (1) or before it (0) along
// the three axes of the result, whose axes are turned like those of m; see [CornerAreas].
// A volume with two axes is taken as two equal slices, whose corners lie in between.
func Corners(m *Mask, axes int, kindOf *[256]uint8) (corners *Mask, kinds []uint8) {
	shape := m.shape
	flat := -1 // the axis that a volume with two axes lacks
	if axes == 2 {
		flat = m.turn
	}
	for a := range shape {
		if a != flat {
			shape[a]++
		}
	}
	corners = newMask(shape)
	corners.turn = m.turn
	columns := shape[2]
	kinds = make([]uint8, corners.Rows()*columns)
	corners.eachBatch(func() func(int, int) {
		var around [4]cornerRow
		for i := range around {
			around[i] = cornerRow{before: make([]uint64, corners.width), after: make([]uint64, corners.width)}
		}
		return func(first, end int) {
			for r := first; r < end; r++ {
				z, y := r/shape[1], r%shape[1]
				next := r > first && y > 0 && flat != 1
				if next { // the rows after the last corners are before these
					around[0], around[1] = around[1], around[0]
					around[2], around[3] = around[3], around[2]
				}
				any := false
				for i := range around {
					if next && i%2 == 0 {
						any = any || around[i].some
						continue
					}
					vz, vy := z, y
					if flat != 0 {
						vz += i/2 - 1
					}
					if flat != 1 {
						vy += i%2 - 1
					}
					around[i].fill(m, vz, vy, flat == 2)
					any = any || around[i].some
				}
				if any {
					encode(corners.row(r), kinds[r*columns:][:columns], &around, kindOf)
				}
			}
		}
	})
	return corners, kinds
}

// cornerRow holds a row of voxels by the corners next to them: bit x of before is the voxel
// before corner x, that of after the voxel after it.
type cornerRow struct {
	before, after []uint64
	some          bool // whether there is a voxel
}

// fill takes a row of m, which may lie outside.
func (c *cornerRow) fill(m *Mask, z, y int, flat bool) {
	clear(c.before)
	clear(c.after)
	c.some = false
	if z < 0 || z >= m.shape[0] || y < 0 || y >= m.shape[1] {
		return
	}
	row := m.row(z*m.shape[1] + y)
	if c.some = !isEmpty(row); !c.some {
		return
	}
	copy(c.after, row)
	if flat {
		copy(c.before, row)
		return
	}
	carry := uint64(0)
	for w := range c.before {
		word := uint64(0)
		if w < len(row) {
			word = row[w]
		}
		c.before[w] = word<<1 | carry
		carry = word >> 63
	}
}

// encode sets the corners of a row that are on the surface, and stores their kinds.
func encode(dst []uint64, kinds []uint8, around *[4]cornerRow, kindOf *[256]uint8) {
	n := len(dst)
	a, b := around[0].before[:n], around[0].after[:n]
	c, d := around[1].before[:n], around[1].after[:n]
	e, f := around[2].before[:n], around[2].after[:n]
	g, h := around[3].before[:n], around[3].after[:n]
	for w := range dst {
		// By bit of the code: whether the voxel there is in the mask, for 64 corners.
		voxels := [8]uint64{a[w], b[w], c[w], d[w], e[w], f[w], g[w], h[w]}
		some := voxels[0] | voxels[1] | voxels[2] | voxels[3] | voxels[4] | voxels[5] | voxels[6] | voxels[7]
		all := voxels[0] & voxels[1] & voxels[2] & voxels[3] & voxels[4] & voxels[5] & voxels[6] & voxels[7]
		surface := some &^ all
		dst[w] = surface
		for at := 0; surface != 0; at += 8 {
			if corners := uint8(surface); corners != 0 {
				codes := transpose8(voxels[0]>>at&0xff | voxels[1]>>at&0xff<<8 | voxels[2]>>at&0xff<<16 | voxels[3]>>at&0xff<<24 |
					voxels[4]>>at&0xff<<32 | voxels[5]>>at&0xff<<40 | voxels[6]>>at&0xff<<48 | voxels[7]>>at&0xff<<56)
				for ; corners != 0; corners &= corners - 1 {
					j := bits.TrailingZeros8(corners)
					kinds[64*w+at+j] = kindOf[uint8(codes>>(8*j))]
				}
			}
			surface >>= 8
		}
	}
}

// transpose8 exchanges bit j of byte i with bit i of byte j, after H. S. Warren, Hacker's
// Delight, section 7–3.
func transpose8(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}

// CornerAreas returns the area of the surface at a corner by its code, for the mask that
// [Corners] was given and the spacing of the shape that it was made with. In two
// dimensions, where the spacing of the missing axis is 1, it is a length.
//
// It is the area of the triangles that marching cubes puts around the corner, whose
// vertices lie half way between a voxel inside and one outside. They follow from the
// voxels on the side of the surface that has fewer, in parts joined by faces:
//
//	one voxel                          a triangle across the three edges
//	two                                a rectangle along their common axis
//	three in an L                      a triangle and half of the L's plane
//	four in a square                   a rectangle, the plane between
//	a voxel and its three neighbors    a hexagon
//	four in a zigzag                   two triangles and two half rectangles
//
// W. E. Lorensen and H. E. Cline, "Marching Cubes: A High Resolution 3D Surface
// Construction Algorithm", Computer Graphics 21 (1987) 163–169.
func CornerAreas(m *Mask, spacing [3]float64) (areas [256]float64) {
	s := m.turned(spacing)
	plane := [3]float64{s[1] * s[2], s[0] * s[2], s[0] * s[1]} // area of a voxel's face by axis
	// By axis: a voxel's face, and the diagonal plane along the axis. A triangle is an eighth
	// of the plane across all three.
	var along [3]float64
	for a := range 3 {
		b, c := plane[(a+1)%3], plane[(a+2)%3]
		along[a] = math.Sqrt(float64(b*b) + float64(c*c))
	}
	triangle := math.Sqrt(float64(plane[0]*plane[0]) + float64(plane[1]*plane[1]) + float64(plane[2]*plane[2]))
	for code, n := range eighths() {
		area := float64(float64(n.triangle) * triangle)
		for a := range 3 {
			area += float64(float64(n.across[a])*plane[a]) + float64(float64(n.along[a])*along[a])
		}
		areas[code] = area / 8
	}
	return areas
}

// polygons is the surface around a corner in eighths of the planes across each axis, of the
// diagonal planes along each, and of the plane across all three.
type polygons struct {
	across, along [3]int
	triangle      int
}

// eighths returns the polygons of every code.
var eighths = sync.OnceValue(func() (all [256]polygons) {
	for code := 1; code < 255; code++ {
		n := &all[code]
		for _, p := range partsOf(uint8(code)) {
			switch {
			case p.voxels == 1:
				n.triangle++
			case p.voxels == 2:
				n.along[p.edges[0]] += 4
			case p.voxels == 3:
				n.across[3-p.edges[0]-p.edges[1]] += 4
				n.triangle += 3
			case len(p.edges) == 4: // two along each of two axes, which the list begins and ends with
				n.across[3-p.edges[0]-p.edges[3]] += 8
			case p.middle < 0:
				n.triangle += 6
			default:
				n.along[(p.middle+1)%3] += 2
				n.along[(p.middle+2)%3] += 2
				n.triangle += 4
			}
		}
	}
	return all
})

// part is a set of voxels around a corner that are joined by faces.
type part struct {
	voxels int
	edges  []int // the axis of each pair of neighbors, ascending
	middle int   // the axis of a pair that both have another neighbor, or −1
}

// partsOf returns the parts of those voxels around a corner, inside or outside the mask,
// that are fewer.
func partsOf(code uint8) []part {
	if bits.OnesCount8(code) > 4 {
		code = ^code
	}
	neighbors := func(v int) (n int) {
		for axis := range 3 {
			n += int(code >> (v ^ 4>>axis) & 1)
		}
		return n
	}
	var all []part
	for left := code; left != 0; {
		one := left & -left
		for grown := uint8(0); grown != one; { // until no neighbor is missing
			grown = one
			one |= (one&0x0f<<4 | one>>4 | one&0x33<<2 | one>>2&0x33 | one&0x55<<1 | one>>1&0x55) & left
		}
		left &^= one
		p := part{voxels: bits.OnesCount8(one), middle: -1}
		for axis := range 3 {
			for v := range 8 {
				w := v ^ 4>>axis
				if v > w || one>>v&1 == 0 || one>>w&1 == 0 {
					continue
				}
				p.edges = append(p.edges, axis)
				if neighbors(v) > 1 && neighbors(w) > 1 {
					p.middle = axis
				}
			}
		}
		all = append(all, p)
	}
	return all
}
