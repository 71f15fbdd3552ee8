package dataset

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRearrange compares random rearrangements with the definition, voxel by voxel, and
// checks that each voxel keeps its world coordinates.
func TestRearrange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	permutations := [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	a := numbered(2, [3]int{5, 4, 3}, oblique(point{1, 2, 3}, point{4, 5, 6}))
	for range 300 {
		r := rearrangement{axis: permutations[rng.IntN(6)]}
		for i := range 3 {
			r.dims[i] = 1 + rng.IntN(7)
			r.start[i] = rng.IntN(13) - 6
			r.step[i] = 1 - 2*rng.IntN(2)
		}
		out := rearrange(a, r)
		require.Equal(t, r.dims, out.dims)
		require.Equal(t, 2, out.channels)
		eachVoxel(out.dims, func(o [3]int) {
			var from [3]int
			for i, axis := range r.axis {
				from[axis] = r.start[i] + r.step[i]*o[i]
			}
			for c := range 2 {
				want := float32(0)
				if a.within(from) {
					want = a.value(c, from)
				}
				require.Equal(t, want, out.value(c, o), "%+v at %v", r, o)
			}
			x, y := apply(a.affine, float(from)), apply(out.affine, float(o))
			require.InDeltaSlice(t, x[:], y[:], 1e-9)
		})
	}
}

func TestRearrangeIdentityCopiesNothing(t *testing.T) {
	a := numbered(1, [3]int{2, 3, 4}, identity)
	assert.Same(t, &a.data[0], &rearrange(a, window([3]int{}, a.dims)).data[0])
	assert.NotSame(t, &a.data[0], &unshared(a, a).data[0])
}
