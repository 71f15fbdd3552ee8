package edt

import (
	"math"
	"math/bits"
	"slices"
	"sync"
)

// Areas are the areas of the surface at a corner by its code; see [Corners].
type Areas struct {
	ByCode [256]float64
	kind   [256]uint8 // by code: the index of its area in ofKind
	ofKind []float64  // the different areas, ascending
}

// NewAreas returns the areas for the corners of a mask and the spacing of the shape that it
// was made with. In two dimensions, where the spacing of the missing axis is 1, they are
// lengths.
//
// An area is that of the triangles that marching cubes puts around the corner, whose
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
func NewAreas(m *Mask, spacing [3]float64) *Areas {
	areas := new(Areas)
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
		areas.ByCode[code] = area / 8
	}
	areas.ofKind = slices.Clone(areas.ByCode[1:255])
	slices.Sort(areas.ofKind)
	areas.ofKind = slices.Compact(areas.ofKind)
	for code, area := range areas.ByCode {
		kind, _ := slices.BinarySearch(areas.ofKind, area)
		areas.kind[code] = uint8(kind)
	}
	return areas
}

// sum returns the area of a number of corners of each kind.
func (a *Areas) sum(corners []int) (area float64) {
	for kind, n := range corners {
		area += float64(a.ofKind[kind] * float64(n)) // not fused: the same bits everywhere
	}
	return area
}

// total returns the area of corners with codes. Many are counted by kind first: adding one
// at a time would lose digits.
func (a *Areas) total(codes []uint8) (area float64) {
	if len(codes) <= len(a.ofKind) {
		for _, code := range codes {
			area += a.ByCode[code]
		}
		return area
	}
	var count [256]int
	for _, code := range codes {
		count[a.kind[code]]++
	}
	return a.sum(count[:len(a.ofKind)])
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
