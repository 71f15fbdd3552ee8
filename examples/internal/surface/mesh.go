package surface

import "math"

// point is a position or a vector.
type point [3]float64

func (p point) plus(q point) point    { return point{p[0] + q[0], p[1] + q[1], p[2] + q[2]} }
func (p point) minus(q point) point   { return point{p[0] - q[0], p[1] - q[1], p[2] - q[2]} }
func (p point) times(s float64) point { return point{p[0] * s, p[1] * s, p[2] * s} }
func (p point) dot(q point) float64   { return p[0]*q[0] + p[1]*q[1] + p[2]*q[2] }
func (p point) scaled(spacing point) point {
	return point{p[0] * spacing[0], p[1] * spacing[1], p[2] * spacing[2]}
}
func (p point) cross(q point) point {
	return point{p[1]*q[2] - p[2]*q[1], p[2]*q[0] - p[0]*q[2], p[0]*q[1] - p[1]*q[0]}
}

// Mesh is a closed triangle mesh.
type Mesh struct {
	// Vertices are positions in millimeters; voxel (i,j,k) has its center at
	// (i·Spacing[0], j·Spacing[1], k·Spacing[2]).
	Vertices [][3]float64
	// Normals are the unit normals at the vertices, which point outward.
	Normals [][3]float64
	// Triangles hold indices of vertices, counterclockwise as seen from outside.
	Triangles [][3]int32
}

// Of returns the surface of a mask, empty if the mask is. Foreground at the border of the
// grid ends there.
//
// The surface is a surface net (Gibson, "Constrained elastic surface nets", MICCAI 1998):
// one vertex in each cell between eight voxels that are not all equal, and one quadrilateral
// between each foreground voxel and each background voxel next to it. A cell that the
// surface crosses several times has a vertex for each crossing, so that each edge belongs
// to exactly two triangles. The vertices are then moved to make the surface smooth, with
// the filter of Taubin ("A signal processing approach to fair surface design", SIGGRAPH
// 1995), which does not shrink it, and along the normals until the enclosed volume is that
// of the voxels. No vertex leaves its cell, so the surface still separates the centers of
// the foreground voxels from those of the background.
func Of(m Mask) (*Mesh, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	n := newNet(m)
	if n == nil {
		return &Mesh{}, nil
	}
	at, center := n.vertices()
	quads := n.quads()
	smooth(at, center, quads)
	spacing := point(m.Spacing)
	mesh := &Mesh{Vertices: make([][3]float64, len(at))}
	for i, p := range at {
		mesh.Vertices[i] = p.scaled(spacing)
	}
	for _, q := range quads {
		mesh.addQuad(q)
	}
	mesh.restoreVolume(m.Volume(), center, spacing)
	mesh.setNormals()
	return mesh, nil
}

// addQuad divides a quadrilateral along its shorter diagonal.
func (m *Mesh) addQuad(q [4]int32) {
	length := func(a, b int32) float64 {
		d := point(m.Vertices[a]).minus(m.Vertices[b])
		return d.dot(d)
	}
	if length(q[0], q[2]) <= length(q[1], q[3]) {
		m.Triangles = append(m.Triangles, [3]int32{q[0], q[1], q[2]}, [3]int32{q[0], q[2], q[3]})
	} else {
		m.Triangles = append(m.Triangles, [3]int32{q[1], q[2], q[3]}, [3]int32{q[1], q[3], q[0]})
	}
}

// setNormals sets the normals to those of the triangles around each vertex, weighted by
// their areas.
func (m *Mesh) setNormals() {
	m.Normals = make([][3]float64, len(m.Vertices))
	for _, t := range m.Triangles {
		n := m.areaVector(t)
		for _, v := range t {
			m.Normals[v] = point(m.Normals[v]).plus(n)
		}
	}
	for i, n := range m.Normals {
		if l := math.Sqrt(point(n).dot(n)); l > 0 {
			m.Normals[i] = point(n).times(1 / l)
		}
	}
}

// areaVector returns the outward normal of a triangle whose length is its area.
func (m *Mesh) areaVector(t [3]int32) point {
	a, b, c := point(m.Vertices[t[0]]), point(m.Vertices[t[1]]), point(m.Vertices[t[2]])
	return b.minus(a).cross(c.minus(a)).times(0.5)
}

// Area returns the area of the surface in mm².
func (m *Mesh) Area() float64 {
	sum := 0.0
	for _, t := range m.Triangles {
		n := m.areaVector(t)
		sum += math.Sqrt(n.dot(n))
	}
	return sum
}

// Volume returns the enclosed volume in mm³, by the divergence theorem.
func (m *Mesh) Volume() float64 {
	if len(m.Vertices) == 0 {
		return 0
	}
	origin := point(m.Vertices[0]) // a near one, for less rounding
	sum := 0.0
	for _, t := range m.Triangles {
		sum += point(m.Vertices[t[0]]).minus(origin).dot(m.areaVector(t))
	}
	return sum / 3
}
