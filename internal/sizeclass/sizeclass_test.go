package sizeclass

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRound checks every size up to 64 Ki against the list of the classes.
func TestRound(t *testing.T) {
	for _, granule := range []int{1, 2, 64, 512, 1024} {
		var classes []int
		for size := granule; size <= 8*granule; size += granule {
			classes = append(classes, size)
		}
		for power := 8 * granule; power < 1<<16; power *= 2 {
			for eighth := 1; eighth <= 8; eighth++ {
				classes = append(classes, power+eighth*power/8)
			}
		}
		at := 0
		for n := 1; n <= 1<<16; n++ {
			if n > classes[at] {
				at++
			}
			got := Round(n, granule)
			require.Equal(t, classes[at], got, "%d with granule %d", n, granule)
			require.LessOrEqual(t, got-n, max(n/8, granule-1), "%d with granule %d", n, granule)
		}
	}
}

// TestRoundLarge: the laws of the classes up to 2⁶¹.
func TestRoundLarge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		n := r.Int64N(1 << (1 + r.IntN(61)))
		size := Round(n, 512)
		require.GreaterOrEqual(t, size, n)
		require.LessOrEqual(t, size-n, max(n/8, 512))
		require.Zero(t, size%512)
		require.Equal(t, size, Round(size, 512), "a class is its own")
		require.GreaterOrEqual(t, Round(n+1, 512), size, "monotone")
	}
	for _, n := range []int64{0, -1, -1 << 63} {
		assert.Equal(t, int64(512), Round(n, 512))
	}
}
