package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// TestStatsOfHardMaps compares the statistics of maps of zeros and ones, which may
// overlap, with those of the same maps as float64, which are read as numbers.
func TestStatsOfHardMaps(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	for _, space := range [][3]int{{1, 1, 1}, {1, 9, 7}, {5, 3, 67}, {3, 8, 64}, {4, 1, 130}} {
		for _, c := range []int{1, 2, 3, 5} {
			const n = 2
			v := space[0] * space[1] * space[2]
			bytes, bools := make([]uint8, n*c*v), make([]bool, n*c*v)
			narrow, wide := make([]float32, n*c*v), make([]float64, n*c*v)
			for i := range bytes {
				if r.IntN(3) == 0 {
					bytes[i], bools[i], narrow[i], wide[i] = 1, true, 1, 1
				}
			}
			stats := func(backing any) *plan.Stats {
				b := &plan.Batch{N: n, C: c, V: v, Space: space, Target: plan.Target{Dense: true,
					Tensor: tensor.New(tensor.WithShape(n, c, v), tensor.WithBacking(backing))}}
				st, err := Backend{}.Stats(b, plan.StatsRequest{Smoothness: true, PerClass: true})
				require.NoError(t, err)
				return st
			}
			want := stats(wide)
			for _, backing := range []any{bytes, bools, narrow} {
				what := fmt.Sprintf("%T, %d channels of %v", backing, c, space)
				got := stats(backing)
				assert.Equal(t, want.Valid, got.Valid, what)
				assert.Equal(t, want.Count, got.Count, what)
				assert.Equal(t, want.Foreground, got.Foreground, what)
				assert.Equal(t, want.Boundary, got.Boundary, what)
				assert.InDeltaSlice(t, want.Magnitude, got.Magnitude, 1e-9, what)
			}
		}
	}
}

// TestStatsOfBadMaps: a value that no map may have is named, and one a rounding error
// off counts as the number that it is taken for.
func TestStatsOfBadMaps(t *testing.T) {
	stats := func(backing any) (*plan.Stats, error) {
		b := &plan.Batch{N: 1, C: 2, V: 3, Space: [3]int{1, 1, 3}, Target: plan.Target{Dense: true, Argument: "target",
			Tensor: tensor.New(tensor.WithShape(1, 2, 3), tensor.WithBacking(backing))}}
		return Backend{}.Stats(b, plan.StatsRequest{Smoothness: true})
	}
	for _, backing := range []any{[]uint8{0, 1, 0, 1, 255, 1}, []uint8{0, 1, 0, 1, 2, 1}, []float32{0, 1, 0, 1, 2, 1}} {
		_, err := stats(backing)
		assert.ErrorContains(t, err, "channel 1, voxel 1")
	}
	st, err := stats([]float32{0, 1 + 5e-6, -5e-6, 1, 0, 1})
	require.NoError(t, err)
	assert.Equal(t, []float64{1, 2}, st.Count)
}
