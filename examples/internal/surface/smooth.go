package surface

import "math"

const (
	// Taubin's filter alternates a step of shrinking and one of inflating. Its pass band
	// ends at 1/shrink + 1/inflate = 0.1, which keeps features of some voxels.
	shrink     = 0.5
	inflate    = -1 / (1/shrink - 0.1)
	iterations = 12

	volumeIterations = 8
)

// smooth moves the vertices, which are in units of voxels, by Taubin's filter.
func smooth(at, center []point, quads [][4]int32) {
	sum, degree := make([]point, len(at)), make([]float64, len(at))
	for step := range 2 * iterations {
		factor := shrink
		if step%2 == 1 {
			factor = inflate
		}
		clear(sum)
		clear(degree)
		// Each edge belongs to two quadrilaterals that pass it in opposite directions, so
		// the next vertices of all quadrilaterals are all neighbors.
		for _, q := range quads {
			for i, v := range q {
				sum[v] = sum[v].plus(at[q[(i+1)%4]])
				degree[v]++
			}
		}
		for i, p := range at {
			move := sum[i].times(1 / degree[i]).minus(p)
			at[i] = inCell(p.plus(move.times(factor)), center[i])
		}
	}
}

// inCell returns the point of a cell that is closest to p.
func inCell(p, center point) point {
	const half = 0.49 // less than half, so that triangles keep an area
	for axis := range p {
		p[axis] = min(max(p[axis], center[axis]-half), center[axis]+half)
	}
	return p
}

// restoreVolume moves the vertices along their normals toward the given enclosed volume.
func (m *Mesh) restoreVolume(volume float64, center []point, spacing point) {
	inverse := point{1 / spacing[0], 1 / spacing[1], 1 / spacing[2]}
	for range volumeIterations {
		missing := volume - m.Volume()
		if math.Abs(missing) < 1e-3*volume {
			return
		}
		m.setNormals()
		offset := missing / m.Area()
		for i, v := range m.Vertices {
			moved := point(v).plus(point(m.Normals[i]).times(offset))
			m.Vertices[i] = inCell(moved.scaled(inverse), center[i]).scaled(spacing)
		}
	}
}
