package dataset

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestToRASOfAll48Orientations checks that all 48 ways to store a volume give the same
// result, in which every voxel keeps its world coordinates.
func TestToRASOfAll48Orientations(t *testing.T) {
	for name, m := range map[string]affine{
		"straight": {{1, 0, 0, -7}, {0, 2, 0, 5}, {0, 0, 3, 1}, {0, 0, 0, 1}},
		"oblique":  oblique(point{1, 2, 3}, point{-7, 5, 1}),
	} {
		t.Run(name, func(t *testing.T) {
			want := numbered(2, [3]int{2, 3, 4}, m)
			count := 0
			for _, axis := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
				for flips := range 8 {
					stored := rearrangement{axis: axis}
					for i, ax := range axis {
						stored.dims[i], stored.step[i] = want.dims[ax], 1
						if flips>>i&1 == 1 {
							stored.step[i], stored.start[i] = -1, want.dims[ax]-1
						}
					}
					a := rearrange(want, stored)
					got := rearrange(a, toRAS(a.affine, a.dims))
					require.Equal(t, want.dims, got.dims)
					require.Equal(t, want.data, got.data, "axes %v, flips %03b", axis, flips)
					requireAffine(t, want.affine, got.affine, 1e-9)
					count++
				}
			}
			assert.Equal(t, 48, count)
		})
	}
}

func TestToRASOfLPS(t *testing.T) {
	// LPS is what most scanners store: the first two axes are reversed.
	lps := affine{{-0.5, 0, 0, 10}, {0, -0.5, 0, 20}, {0, 0, 3, 30}, {0, 0, 0, 1}}
	r := toRAS(lps, [3]int{4, 3, 2})
	assert.Equal(t, rearrangement{dims: [3]int{4, 3, 2}, axis: [3]int{0, 1, 2}, step: [3]int{-1, -1, 1}, start: [3]int{3, 2, 0}}, r)
}

// TestToRASGivesEachDirectionOneAxis uses two axes that lie almost midway between two
// directions: choosing for one alone would leave the other a bad match.
func TestToRASGivesEachDirectionOneAxis(t *testing.T) {
	m := affine{{0.72, 0.70, 0, 0}, {-0.69, 0.71, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}
	r := toRAS(m, [3]int{2, 3, 4})
	assert.Equal(t, [3]int{0, 1, 2}, r.axis)
	assert.Equal(t, [3]int{1, 1, 1}, r.step)
}
