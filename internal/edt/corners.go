package edt

import (
	"math"
	"math/bits"
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
func Corners(m *Mask, axes int) (corners *Mask, codes []uint8) {
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
	codes = make([]uint8, corners.Rows()*columns)
	corners.eachBatch(func() func(int, int) {
		var around [4]cornerRow
		for i := range around {
			around[i] = cornerRow{make([]uint64, corners.width), make([]uint64, corners.width)}
		}
		return func(first, end int) {
			for r := first; r < end; r++ {
				z, y := r/shape[1], r%shape[1]
				any := false
				for i := range around {
					vz, vy := z, y
					if flat != 0 {
						vz += i/2 - 1
					}
					if flat != 1 {
						vy += i%2 - 1
					}
					any = around[i].fill(m, vz, vy, flat == 2) || any
				}
				if any {
					encode(corners.row(r), codes[r*columns:][:columns], &around)
				}
			}
		}
	})
	return corners, codes
}

// cornerRow holds a row of voxels by the corners next to them: bit x of before is the voxel
// before corner x, that of after the voxel after it.
type cornerRow struct{ before, after []uint64 }

// fill takes a row of m, which may lie outside, and reports whether it holds a voxel.
func (c *cornerRow) fill(m *Mask, z, y int, flat bool) bool {
	clear(c.before)
	clear(c.after)
	if z < 0 || z >= m.shape[0] || y < 0 || y >= m.shape[1] {
		return false
	}
	row := m.row(z*m.shape[1] + y)
	copy(c.after, row)
	if flat {
		copy(c.before, row)
		return !isEmpty(row)
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
	return !isEmpty(row)
}

// encode sets the corners of a row that are on the surface, and stores their codes.
func encode(dst []uint64, codes []uint8, around *[4]cornerRow) {
	for w := range dst {
		some, all := uint64(0), ^uint64(0)
		for _, c := range around {
			some |= c.before[w] | c.after[w]
			all &= c.before[w] & c.after[w]
		}
		dst[w] = some &^ all
		for corners := dst[w]; corners != 0; corners &= corners - 1 {
			bit := bits.TrailingZeros64(corners)
			code := uint64(0)
			for i, c := range around {
				code |= (c.before[w]>>bit&1 | c.after[w]>>bit&1<<1) << (2 * i)
			}
			codes[64*w+bit] = uint8(code)
		}
	}
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
	// The area of a polygon in eighths: of the face across axis a, of the diagonal plane
	// along axis a, and of the triangle across all three.
	var across, along [3]float64
	for a := range 3 {
		b, c := plane[(a+1)%3], plane[(a+2)%3]
		across[a] = plane[a]
		along[a] = math.Sqrt(float64(b*b) + float64(c*c))
	}
	triangle := math.Sqrt(float64(plane[0]*plane[0]) + float64(plane[1]*plane[1]) + float64(plane[2]*plane[2]))
	for code := 1; code < 255; code++ {
		for _, p := range partsOf(uint8(code)) {
			switch {
			case p.voxels == 1:
				areas[code] += triangle / 8
			case p.voxels == 2:
				areas[code] += along[p.edges[0]] / 2
			case p.voxels == 3:
				areas[code] += across[3-p.edges[0]-p.edges[1]]/2 + float64(3*triangle)/8
			case len(p.edges) == 4: // two along each of two axes, which the list begins and ends with
				areas[code] += across[3-p.edges[0]-p.edges[3]]
			case p.middle < 0:
				areas[code] += float64(6*triangle) / 8
			default:
				areas[code] += (along[(p.middle+1)%3]+along[(p.middle+2)%3])/4 + triangle/2
			}
		}
	}
	return areas
}

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
