package surface

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// filled returns the mask of the voxels whose centers, in millimeters, are inside.
func filled(dims [3]int, spacing [3]float64, inside func(p point) bool) Mask {
	m := Mask{Dims: dims, Spacing: spacing}
	for i := range dims[0] {
		for j := range dims[1] {
			for k := range dims[2] {
				m.Voxels = append(m.Voxels, inside(point{float64(i), float64(j), float64(k)}.scaled(spacing)))
			}
		}
	}
	return m
}

func ball(center point, radius float64) func(point) bool {
	return func(p point) bool {
		d := p.minus(center)
		return d.dot(d) <= radius*radius
	}
}

// random returns a mask in which ambiguous faces are frequent.
func random(seed uint64, dims [3]int, share float64) Mask {
	rng := rand.New(rand.NewPCG(seed, 1))
	return filled(dims, [3]float64{1, 1, 1}, func(point) bool { return rng.Float64() < share })
}

func masks() map[string]Mask {
	all := map[string]Mask{
		"ball":        filled([3]int{23, 25, 21}, [3]float64{1, 1, 1}, ball(point{11, 12, 10}, 8.3)),
		"anisotropic": filled([3]int{41, 43, 9}, [3]float64{0.5, 0.5, 3}, ball(point{10, 10, 12}, 8)),
		"one voxel":   filled([3]int{3, 3, 3}, [3]float64{0.5, 0.5, 3}, ball(point{0.5, 0.5, 3}, 0.1)),
		"full":        filled([3]int{5, 4, 3}, [3]float64{1, 2, 3}, func(point) bool { return true }),
		"one slice":   filled([3]int{9, 7, 1}, [3]float64{1, 1, 4}, ball(point{4, 3, 0}, 3)),
		"hollow": filled([3]int{21, 21, 21}, [3]float64{1, 1, 1}, func(p point) bool {
			return ball(point{10, 10, 10}, 9)(p) && !ball(point{10, 10, 10}, 5)(p)
		}),
		// Two plates with a checkerboard between them: the sheets of both cells touch.
		"pinched": {Dims: [3]int{2, 2, 3}, Spacing: [3]float64{1, 1, 1},
			Voxels: []bool{true, true, true, true, false, true, true, false, true, true, true, true}},
	}
	for seed := range uint64(20) {
		all["random "+string('a'+rune(seed))] = random(seed, [3]int{9, 8, 7}, 0.2+0.03*float64(seed))
	}
	return all
}

func TestEachEdgeBelongsToTwoTriangles(t *testing.T) {
	for name, mask := range masks() {
		mesh, err := Of(mask)
		require.NoError(t, err)
		require.NotEmpty(t, mesh.Triangles, name)
		edges := map[[2]int32]int{}
		used := make([]bool, len(mesh.Vertices))
		for _, tri := range mesh.Triangles {
			for i, v := range tri {
				edges[[2]int32{v, tri[(i+1)%3]}]++
				used[v] = true
			}
		}
		for e, n := range edges {
			assert.Equal(t, 1, n, "%s: edge %v in one direction", name, e)
			assert.Equal(t, 1, edges[[2]int32{e[1], e[0]}], "%s: edge %v in the other direction", name, e)
		}
		assert.NotContains(t, used, false, name)
	}
}

func TestTriangles(t *testing.T) {
	for name, mask := range masks() {
		mesh, err := Of(mask)
		require.NoError(t, err)
		faces := 0
		for i := range mask.Dims[0] {
			for j := range mask.Dims[1] {
				for k := range mask.Dims[2] {
					for _, d := range [][3]int{{1, 0, 0}, {-1, 0, 0}, {0, 1, 0}, {0, -1, 0}, {0, 0, 1}, {0, 0, -1}} {
						if mask.At(i, j, k) && !mask.At(i+d[0], j+d[1], k+d[2]) {
							faces++
						}
					}
				}
			}
		}
		assert.Len(t, mesh.Triangles, 2*faces, "%s: two triangles for each face between foreground and background", name)
	}
}

func TestEnclosedVolumeIsThatOfTheMask(t *testing.T) {
	for name, tolerance := range map[string]float64{"ball": 0.01, "anisotropic": 0.01, "hollow": 0.01, "full": 0.05, "one slice": 0.05, "one voxel": 0.15} {
		mask := masks()[name]
		mesh, err := Of(mask)
		require.NoError(t, err)
		assert.InEpsilon(t, mask.Volume(), mesh.Volume(), tolerance, name)
	}
}

func TestBallIsRound(t *testing.T) {
	center, radius := point{11, 12, 10}, 8.3
	mesh, err := Of(masks()["ball"])
	require.NoError(t, err)
	assert.InEpsilon(t, 4*math.Pi*radius*radius, mesh.Area(), 0.04)
	for i, v := range mesh.Vertices {
		d := point(v).minus(center)
		r := math.Sqrt(d.dot(d))
		assert.InDelta(t, radius, r, 0.7)
		assert.InDelta(t, 1, point(mesh.Normals[i]).dot(mesh.Normals[i]), 1e-9)
		assert.Greater(t, point(mesh.Normals[i]).dot(d)/r, 0.85, "the normal points outward")
	}
}

// TestSurfaceSeparatesVoxels checks that smoothing keeps each vertex between the voxels that
// it lies between at first.
func TestSurfaceSeparatesVoxels(t *testing.T) {
	for name, mask := range masks() {
		mesh, err := Of(mask)
		require.NoError(t, err)
		for _, v := range mesh.Vertices {
			foreground, background := false, false
			for c := range 8 {
				var at [3]int
				for axis := range at {
					at[axis] = int(math.Floor(v[axis]/mask.Spacing[axis])) + c>>axis&1
				}
				if mask.At(at[0], at[1], at[2]) {
					foreground = true
				} else {
					background = true
				}
			}
			assert.True(t, foreground && background, "%s: vertex %v", name, v)
		}
	}
}

func TestEmptyMask(t *testing.T) {
	mesh, err := Of(filled([3]int{3, 4, 5}, [3]float64{1, 1, 1}, func(point) bool { return false }))
	require.NoError(t, err)
	assert.Empty(t, mesh.Triangles)
	assert.Zero(t, mesh.Volume())
	assert.Zero(t, mesh.Area())
}

func TestRefusedMasks(t *testing.T) {
	one := [3]float64{1, 1, 1}
	for name, m := range map[string]Mask{
		"Dims":              {Dims: [3]int{0, 1, 1}, Spacing: one},
		"Dims is [1 -2 1]":  {Dims: [3]int{1, -2, 1}, Spacing: one},
		"fewer than 2³¹":    {Dims: [3]int{1 << 20, 1 << 20, 1 << 30}, Spacing: one},
		"Spacing is [1 0 1": {Dims: [3]int{1, 1, 1}, Spacing: [3]float64{1, 0, 1}, Voxels: []bool{true}},
		"Spacing is [NaN":   {Dims: [3]int{1, 1, 1}, Spacing: [3]float64{math.NaN(), 1, 1}, Voxels: []bool{true}},
		"Spacing is [1 1 +": {Dims: [3]int{1, 1, 1}, Spacing: [3]float64{1, 1, math.Inf(1)}, Voxels: []bool{true}},
		"has 1 voxels":      {Dims: [3]int{1, 1, 2}, Spacing: one, Voxels: []bool{true}},
	} {
		_, err := Of(m)
		assert.ErrorContains(t, err, name)
	}
}
