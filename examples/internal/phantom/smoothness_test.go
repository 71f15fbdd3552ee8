package phantom

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

// surface counts the voxels of a lesion on a 1 mm grid and the voxel faces between the
// lesion and the background.
func surface(t *testing.T, l lesion) (voxels int, faces int) {
	t.Helper()
	g := grid{dims: [3]int{64, 64, 64}, spacing: point{1, 1, 1}, world: orientation(0, point{})}
	v := g.label(func(p point) float64 {
		if l.depth(p) < 0 {
			return 1
		}
		return 0
	})
	stride := [3]int{64 * 64, 64, 1}
	for n, x := range v.Data {
		if x == 0 {
			continue
		}
		voxels++
		for axis, s := range stride {
			if n/s%64 == 0 || n/s%64 == 63 {
				t.Fatalf("the lesion reaches the border of axis %d", axis)
			}
			for _, m := range []int{n - s, n + s} {
				if v.Data[m] == 0 {
					faces++
				}
			}
		}
	}
	return voxels, faces
}

// TestRaggedLesionsHaveMoreSurface checks that a ragged lesion has more surface per voxel
// than a smoother one of the same ellipsoid, and that its center remains inside.
func TestRaggedLesionsHaveMoreSurface(t *testing.T) {
	for seed := range uint64(6) {
		l := newLesion(rand.New(rand.NewPCG(seed, 0)), point{0.5, 0.5, 0.5}, 9)
		var previous float64
		for _, ragged := range []float64{0, 0.4, 0.9} {
			l.ragged = ragged
			assert.Negative(t, l.depth(l.shape.center))
			voxels, faces := surface(t, l)
			ratio := float64(faces) / float64(voxels)
			assert.Greater(t, ratio, 1.02*previous, "seed %d, ragged %v", seed, ragged)
			previous = ratio
		}
	}
}
